import type { Env } from '../../core/env.ts'
import type { Emit } from '../../core/events.ts'
import { knownError } from '../../core/known-error.ts'
import type { InterfaceContext } from '../../etl/interface/index.ts'
import { walkOf } from '../../run/comparisons.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { compareTable, type Compared, type CompareGiven } from './compare.ts'
import { isLive, type OpenStream, type StreamTable } from './session.ts'

/** How often a part of each table is compared unless its source says otherwise. */
const compareMsDefault = 3_600_000
/** Ranges of a table in one turn of a run, which somebody waits for, and of a session. */
const ranges = { run: 2, session: 20 } as const
/** Longest time between two looks whether a comparison is due. */
const lookMsMax = 60_000

/** What every comparison is given. */
interface ComparingGiven {
  readonly engine: Engine
  readonly signal: AbortSignal
  readonly context: () => InterfaceContext
}

/** Compares the tables of a run with their sources, once it is published. A source that fails now takes nothing back. */
export async function compareAfterRun(
  given: ComparingGiven,
  streams: readonly OpenStream[],
  isAsked: (table: StreamTable) => boolean,
): Promise<readonly Compared[]> {
  const found: Compared[] = []
  for (const stream of streams.filter(it => it.def.source.compareMs !== null)) {
    for (const table of stream.tables.filter(it => isAsked(it) && isLive(it))) {
      const compared = await compareOrTell(given, stream, { table, rangesMax: ranges.run })
      if (compared !== null && compared.differing > 0) found.push(compared)
    }
  }
  return found
}

/**
 * Compares the tables of a session's streams at intervals, beside its ticks, until the signal ends it. Never throws: a source
 * that does not answer is asked again at the next turn.
 */
export async function keepComparing(
  given: ComparingGiven & { readonly env: Env; readonly streams: () => readonly OpenStream[] },
): Promise<void> {
  const { env, signal } = given
  const due = new Map<string, number>()
  while (!signal.aborted) {
    let nextMs = lookMsMax
    for (const stream of given.streams()) {
      const { compareMs = compareMsDefault } = stream.def.source
      if (compareMs === null) continue
      nextMs = Math.min(nextMs, compareMs)
      for (const table of stream.tables.filter(isLive)) {
        const name = `${table.config.source}.${table.config.name}`
        const at = due.get(name) ?? (await firstDue(given, table, compareMs).catch(() => 0))
        due.set(name, at)
        if (signal.aborted || env.clock.monotonicMs() < at) continue
        await compareOrTell(given, stream, { table, rangesMax: ranges.session })
        due.set(name, env.clock.monotonicMs() + compareMs)
      }
    }
    await env.clock.sleep(nextMs, signal).catch(() => {})
  }
}

/** A session that begins anew does not begin all comparisons anew. */
async function firstDue(
  { engine, env, signal }: Pick<ComparingGiven, 'engine' | 'signal'> & { readonly env: Env },
  table: StreamTable,
  compareMs: number,
): Promise<number> {
  const { atMicros } = await engine.read(signal, tx => walkOf(tx, table.config))
  const agoMs = atMicros === null ? compareMs : Number((env.clock.nowMicros() - atMicros) / 1000n)
  // A clock that was put back puts it off no longer than the interval.
  return env.clock.monotonicMs() + Math.min(compareMs, Math.max(0, compareMs - agoMs))
}

async function compareOrTell(
  { engine, signal, context }: ComparingGiven,
  stream: OpenStream,
  { table, rangesMax }: { readonly table: StreamTable; readonly rangesMax: number },
): Promise<Compared | null> {
  const ctx = context()
  const given: CompareGiven = { ctx, stream, table, read: body => engine.read(signal, body) }
  try {
    return await compareTable(given, rangesMax)
  } catch (error) {
    if (!signal.aborted) tell(ctx.emit, table, error)
    return null
  }
}

function tell(emit: Emit, { config }: StreamTable, error: unknown): void {
  const { message, code } = knownError(error)
  const text = `${config.source}.${config.name} could not be compared with its source: ${message}; it is compared at the next turn`
  emit({ kind: 'note', level: 'warn', text, code, cause: message })
}
