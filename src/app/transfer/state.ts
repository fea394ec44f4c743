import path from 'node:path'
import { sha256, type Env } from '../../core/env.ts'
import { durableWrite } from '../../core/files.ts'
import { systemCodeOf } from '../../core/errors.ts'
import type { KeyBound } from '../../services/adapter/contract.ts'

/** A transfer that is under way: what a broken one leaves for the next call of the same command. */
export interface TransferState {
  /** Id of its stage in the target. */
  readonly id: string
  readonly units: readonly TransferUnit[]
}

/** Chunks of the source that are read at once and staged as one unit. Noted before it is staged. */
export interface TransferUnit {
  readonly unit: string
  readonly after: KeyBound | null
  /** Upper keys of its chunks in order; the last of the last unit is `null`, open. */
  readonly bounds: readonly (KeyBound | null)[]
}

/** The file that remembers a transfer, by everything that was asked for. */
export function stateFile(stateDir: string, asked: unknown): string {
  return path.join(stateDir, 'transfer', `${sha256(JSON.stringify(asked)).slice(0, 24)}.json`)
}

/** What a broken transfer left; `null` when there is none, or what is there cannot be read as one. */
export async function readState(env: Env, file: string): Promise<TransferState | null> {
  try {
    const state: unknown = JSON.parse(await env.files.readFile(file, 'utf8'))
    return isState(state) ? state : null
  } catch (error) {
    // A file that is no JSON was not written by us: the transfer begins anew, and its old stage is never used again.
    if (systemCodeOf(error) === 'ENOENT' || error instanceof SyntaxError) return null
    throw error
  }
}

function isState(value: unknown): value is TransferState {
  return typeof value === 'object' && value !== null && 'id' in value && 'units' in value && Array.isArray(value.units)
}

export async function writeState(env: Env, file: string, state: TransferState): Promise<void> {
  await durableWrite(env, file, JSON.stringify(state))
}

export async function removeState(env: Env, file: string): Promise<void> {
  await env.files.rm(file, { force: true })
}

/**
 * Removes the states that nobody touched for so long, each with its leases: a call that is at work notes every unit in its
 * state. Folders are stages of files; gives how many of those there were.
 */
export async function removeOldStates(env: Env, folder: string, untouchedMs: number): Promise<number> {
  const entries = await env.files.readdir(folder, { withFileTypes: true })
  const newest = new Map<string, number>()
  for (const { name } of entries) {
    const touched = await touchedMs(env, path.join(folder, name))
    newest.set(callOf(name), Math.max(newest.get(callOf(name)) ?? 0, touched))
  }
  const before = Number(env.clock.nowMicros() / 1000n) - untouchedMs
  const old = entries.filter(({ name }) => (newest.get(callOf(name)) ?? 0) < before)
  for (const { name } of old) await env.files.rm(path.join(folder, name), { recursive: true, force: true })
  return old.filter(entry => entry.isDirectory()).length
}

/** State and leases of one call begin with the same letters. */
function callOf(name: string): string {
  return name.split('.', 1)[0] as string
}

/** The newest of a file, or of a folder and what is in it; of one that another call has just removed: now. */
async function touchedMs(env: Env, place: string): Promise<number> {
  try {
    const stat = await env.files.stat(place)
    const inside = stat.isDirectory() ? await env.files.readdir(place) : []
    const times = await Promise.all(inside.map(name => touchedMs(env, path.join(place, name))))
    return Math.max(stat.mtimeMs, ...times)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return Infinity
    throw error
  }
}
