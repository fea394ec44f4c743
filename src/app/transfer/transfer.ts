import path from 'node:path'
import type { Env } from '../../core/env.ts'
import { fail, isNaruError } from '../../core/errors.ts'
import { fileExists } from '../../core/files.ts'
import type { TableWriter, WriteTarget, Written } from '../../services/adapter/contract-writes.ts'
import { localCoordinator } from '../../services/coordinator/local/open.ts'
import { openAddress, readAddress, stateDirOf } from './address.ts'
import { readsOf, tableOfFile } from './file-tables.ts'
import {
  acquireIncrement,
  assertNothingPending,
  keepLast,
  keepPending,
  targetGone,
  type Increment,
} from './increment.ts'
import { stepName, type Given, type Moving, type TransferRequest, type Validation } from './moving.ts'
import { prepare } from './prepare.ts'
import { stageAll, validate, type Staged } from './stage.ts'
import { readState, removeOldStates, removeState, stateFile, writeState, type TransferState } from './state.ts'

/** A broken transfer that nobody went on with for so long was given up: the one rule for every system. */
const ABANDONED_DAYS = 14
const ABANDONED_MS = ABANDONED_DAYS * 24 * 3_600_000

/** What a transfer did. */
export interface Transferred extends Written {
  readonly from: string
  readonly to: string
  readonly rows: bigint
  /** Rows of chunks that a broken transfer had staged already. */
  readonly resumedRows: bigint
  readonly validated: Validation
  readonly ms: number
}

/**
 * Moves a table or a query between two systems: read in one snapshot, staged beside the target chunk by chunk, compared
 * with the source's own figures, then made visible at once. A transfer that breaks leaves the target as it was; the same
 * command again goes on behind the chunks whose source is unchanged.
 */
export async function transfer(given: Given, request: TransferRequest): Promise<Transferred> {
  const turn = await acquireIncrement(given.env, request)
  try {
    return await transferBetween(given, request)
  } finally {
    await turn?.forget()
  }
}

async function transferBetween(given: Given, request: TransferRequest): Promise<Transferred> {
  const { env, signal } = given
  const beganMs = env.clock.monotonicMs()
  const [from, to] = [
    await readAddress(env, request.from, request.configFile),
    await readAddress(env, request.to, request.configFile),
  ]
  const [source, target] = [
    await openAddress(given, from, request.configFile),
    await openAddress(given, to, request.configFile),
  ]
  try {
    const reads = readsOf(env, source, from.text)
    if (reads === undefined) throw fail('TRANSFER_CANNOT', { system: from.text, what: 'be read' })
    if (target.writes === undefined) throw fail('TRANSFER_CANNOT', { system: to.text, what: 'be written' })
    await target.writes.connect?.(signal)
    const snapshot = await reads.openSnapshot(signal)
    try {
      const ends = { from, to, snapshot, reads, writes: target.writes }
      const moving = await prepare({ given, request, ...ends, describes: source.describes })
      return { ...(await moveAlone(moving)), ms: env.clock.monotonicMs() - beganMs }
    } finally {
      await snapshot.close()
    }
  } finally {
    await source.close()
    await target.close()
  }
}

/** Two calls of one command would share a stage: the second is refused while the first lives. */
async function moveAlone(moving: Moving): Promise<Omit<Transferred, 'ms'>> {
  const { given, request, shape } = moving
  // What a stage does not depend on may be another the next time: rows that were refused are not read again for it.
  const free = { parallel: 0, validate: null, missed: null, create: null, configFile: null }
  const last = moving.increment?.last ?? null
  const file = stateFile(stateDirOf(request.configFile), { ...request, ...free, shape, last })
  const name = path.basename(file, '.json')
  if (moving.increment !== null) assertNothingPending(request, moving.increment, name)
  const lease = await localCoordinator(given.env, path.dirname(file)).acquire(name, `naru transfer ${stepName(moving)}`)
  try {
    return await move(moving, file)
  } finally {
    // Its number counts holders of one stage. When the stage is gone our own goes as well, which frees it as a release
    // does; whoever took a later number meanwhile keeps that.
    if (await fileExists(given.env, file)) await lease.release()
    else await lease.forget()
  }
}

async function move(moving: Moving, file: string): Promise<Omit<Transferred, 'ms'>> {
  const { given, request, from, to, shape, key, increment } = moving
  const { env, signal } = given
  const beganMs = env.clock.monotonicMs()
  const left = await readState(env, file)
  const state: TransferState = left ?? { id: `t${env.random.uuid().replaceAll('-', '').slice(0, 20)}`, units: [] }
  const remote = targetOf(moving)
  const { mode } = request
  const create = request.create && !goesOn(moving)
  // Noted before the stage is made: a stage that nobody knows of would stay for ever.
  if (left === null) await writeState(env, file, state)
  const columns = mode === 'delete' ? shape.columns.filter(({ name }) => key.includes(name)) : shape.columns
  const asked = { ...moving, shape: { ...shape, columns } }
  const target = { id: state.id, remote, columns, key, mode, create, file: request.file }
  const writer = await openWriter(asked, target, left === null ? file : null)
  try {
    await removeAbandoned(moving, writer, file)
    const facts = { from: from.text, to: to.text, validated: moving.validation }
    if (writer.published !== null) {
      if (increment !== null) await keepLast(env, request, increment, state.next ?? null)
      await finish(env, writer, file, signal)
      const text = `an earlier call of this command had published its rows and was broken off before it said so: nothing was read now; run it again for what changed in the source since`
      given.emit({ kind: 'note', level: 'warn', text })
      const rows = writer.staged.reduce((sum, unit) => sum + unit.rows, 0n)
      return { ...facts, ...writer.published, rows, resumedRows: rows }
    }
    if (state.units.length > 0 && writer.staged.length === 0) {
      const text =
        'what an earlier call had staged is gone or does not fit the target any more: everything is read again'
      given.emit({ kind: 'note', level: 'warn', text })
    }
    const step = stepName(moving)
    given.emit({ kind: 'step', step, state: 'begin' })
    const staged = await stageWhole(asked, writer, state, file)
    // A call that finds this one published keeps what it would have kept.
    if (increment !== null) await noteNext(moving, increment, file)
    const written = await writer.publish({ missed: request.missed }, signal)
    if (increment !== null) await keepLast(env, request, increment, increment.next)
    await finish(env, writer, file, signal)
    const ms = env.clock.monotonicMs() - beganMs
    given.emit({ kind: 'step', step, state: 'end', ms, rows: Number(staged.rows) })
    return { ...facts, ...written, ...staged }
  } catch (error) {
    if (writer.staged.length === 0 && writer.published === null) await forget(env, writer, file, signal)
    throw error
  } finally {
    await writer.close()
  }
}

async function stageWhole(moving: Moving, writer: TableWriter, state: TransferState, file: string): Promise<Staged> {
  const { where } = moving.request
  try {
    const staged = await stageAll(moving, writer, state, file)
    await validate(moving, writer, staged.rows)
    return staged
  } catch (error) {
    if (where === null || !isNaruError(error, 'SOURCE_READ')) throw error
    throw fail('TRANSFER_WHERE', { where, problem: error.message }, { cause: error })
  }
}

async function noteNext({ given, request }: Moving, increment: Increment, file: string): Promise<void> {
  const { env } = given
  const state = await readState(env, file)
  if (state !== null) await writeState(env, file, { ...state, next: increment.next })
  await keepPending(env, request, increment, path.basename(file, '.json'))
}

/** Before a unit was staged there is nothing to go on with. What is in the way of forgetting leaves it to be given up. */
async function forget(env: Env, writer: TableWriter, file: string, signal: AbortSignal): Promise<void> {
  try {
    await finish(env, writer, file, signal)
  } catch {
    // The error that broke the transfer is the one to tell.
  }
}

/** Stages and states that nobody goes on with, here and beside the target: told, because another person may miss them. */
async function removeAbandoned({ given, to }: Moving, writer: TableWriter, file: string): Promise<void> {
  const beside = await writer.removeAbandoned(ABANDONED_MS, given.signal)
  const here = await removeOldStates(given.env, path.dirname(file), ABANDONED_MS)
  if (beside + here === 0) return
  const text = `removed what ${beside + here} broken transfers had staged, here and beside ${to.text}: nobody went on with them for ${ABANDONED_DAYS} days`
  given.emit({ kind: 'note', level: 'info', text })
}

/** A target that is refused needs nothing to be remembered. */
async function openWriter(
  { writes, given, request, increment }: Moving,
  target: WriteTarget,
  fresh: string | null,
): Promise<TableWriter> {
  try {
    return await writes.openWriter(target, given.signal)
  } catch (error) {
    if (fresh !== null) await removeState(given.env, fresh)
    if (increment === null || !request.create || target.create || !isNaruError(error, 'WRITE_TARGET')) throw error
    throw targetGone(request, increment, error)
  }
}

/** A table has what earlier calls moved: one that is made anew would have only what is new. A file is taken away when it is used. */
function goesOn({ increment, to }: Moving): boolean {
  return increment !== null && (increment.kept?.last ?? null) !== null && to.system.adapter !== 'files'
}

function targetOf({ from, to, shape, request }: Moving): string {
  const ofSource = from.system.adapter === 'files' ? tableOfFile(shape.remote) : shape.remote
  const name = to.table ?? (request.query === null ? ofSource : null)
  if (name !== null) return name
  const what = request.query === null ? 'for several files' : 'with --query'
  throw fail('TRANSFER_ADDRESS', { address: to.text, problem: `${what} it must name the table that is written` })
}

/** The outcome is known: the stage goes first, so that a crash in between is told as published by the next call. */
async function finish(env: Env, writer: TableWriter, file: string, signal: AbortSignal): Promise<void> {
  await writer.discard(signal)
  await removeState(env, file)
}
