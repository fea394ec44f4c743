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
