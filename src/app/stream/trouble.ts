import type { Env } from '../../core/env.ts'
import { fail, isNaruError, type Code, type NaruError } from '../../core/errors.ts'
import type { Topic } from '../../services/bus/contract.ts'
import type { LiveTrouble } from '../live-status.ts'
import { decodeHead } from './message.ts'
import type { StreamReader } from './reader.ts'
import type { StreamTable } from './session.ts'

/** What stops one stream with its tables: only a person decides what becomes of what it cannot tell any more. Everything else goes on. */
export const streamFaults: readonly Code[] = ['POSITION_LOST', 'STREAM_LOG_GONE', 'BUS_GAP', 'BUS_POSITION']

/**
 * What goes wrong with a source, in the form of the status: it began with the first failure in a row. `pauseMs` is `null`
 * when nobody tries it again by himself.
 */
export function troubleOf(
  { clock }: Pick<Env, 'clock'>,
  { code, message: text, fix }: NaruError,
  { before, pauseMs }: { readonly before: LiveTrouble | null; readonly pauseMs: number | null },
): LiveTrouble {
  const nowMicros = clock.nowMicros()
  return {
    code,
    text,
    fix,
    sinceMicros: before?.sinceMicros ?? nowMicros,
    failures: (before?.failures ?? 0) + 1,
    againMicros: pauseMs === null ? null : nowMicros + BigInt(Math.round(pauseMs)) * 1000n,
  }
}

/** A table with its place, as it is compared with the durable log. */
type Placed = Pick<StreamTable, 'at'>

/**
 * Why tables cannot be read on from the durable log of their stream; `null` when they can. It is another one, or an older
 * copy that ends before where they are: new messages would get numbers that they passed long ago. Or it lacks what comes next.
 */
export async function lostLog(
  topic: Pick<Topic, 'name' | 'last' | 'compare'>,
  { source, tables }: { readonly source: string; readonly tables: readonly Placed[] },
): Promise<NaruError | null> {
  const places = tables.flatMap(({ at }) => at ?? [])
  const last = await topic.last()
  const log = last === null ? null : decodeHead(last.value).log
  for (const { log: known, place, sourcePosition } of places) {
    const position = sourcePosition ?? place
    if (last === null) return fail('STREAM_LOG_GONE', { source, topic: topic.name, position, problem: 'is gone' })
    if (known !== log)
      return fail('STREAM_LOG_GONE', { source, topic: topic.name, position, problem: 'is another one' })
    if (!isAhead(topic, place, last.position)) continue
    const problem = `is an older copy: it ends at ${decodeHead(last.value).goesOn}`
    return fail('STREAM_LOG_GONE', { source, topic: topic.name, position, problem })
  }
  return null
}

function isAhead(topic: Pick<Topic, 'compare'>, place: string, last: string): boolean {
  try {
    return topic.compare(place, last) > 0
  } catch (error) {
    if (isNaruError(error, 'BUS_POSITION')) return true
    throw error
  }
}

/** The reader of a stream that must not be read: nothing is asked of its source, and nothing is confirmed. */
export function stoppedReader(env: Pick<Env, 'clock'>, error: NaruError): StreamReader {
  const trouble = troubleOf(env, error, { before: null, pauseMs: null })
  const refuse = (): Promise<never> => Promise.reject(error)
  return {
    log: '',
    status: () => ({
      state: 'stopped',
      error,
      trouble,
      position: null,
      confirmed: null,
      complete: null,
      changed: null,
      bytes: 0,
    }),
    opened: refuse,
    reached: refuse,
    grown: refuse,
    onChange: () => () => {},
    lag: () => Promise.resolve(null),
    stop: () => Promise.resolve(),
  }
}
