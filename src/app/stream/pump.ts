import type { ChangeStream } from '../../services/adapter/contract-capture.ts'
import type { Position } from '../../services/bus/contract.ts'
import type { LogWriter } from './log-writer.ts'

/** Slices that wait for the disk at the same time: they share its writes. */
const inFlightMax = 8

/** What is in the topic by now. */
export interface Kept {
  /** Everything up to this message is on disk, and ends whole transactions. */
  readonly place: Position
  /** The same in the source's own words. */
  readonly position: string
  /** Something since the last one is more than a sign of life. */
  readonly hasChanges: boolean
}

interface PumpGiven {
  readonly writer: LogWriter
  /** Awaited before the source is asked for more. */
  readonly ready: () => Promise<void>
  /** Called in order, one after the other: the source may be told once it is called. What it throws ends the pump. */
  readonly onKept: (kept: Kept) => Promise<void>
  readonly signal: AbortSignal
}

/**
 * Brings what a stream of the source gives into the topic until one of them fails or the signal ends it, and throws why: slices
 * are written while the next one is read. Whatever was begun to be written has ended then.
 */
export async function pump(from: ChangeStream, { writer, ready, onKept, signal }: PumpGiven): Promise<void> {
  const failing = new AbortController()
  const inFlight = new Set<Promise<void>>()
  let order: Promise<void> = Promise.resolve()
  let hasChanges = false
  const keep = async (item: Item, written: Promise<Position>, before: Promise<void>): Promise<void> => {
    const [place] = await Promise.all([written, before])
    hasChanges ||= isChange(item)
    if (item.position === null) return
    const kept = { place, position: item.position, hasChanges }
    hasChanges = false
    await onKept(kept)
  }
  try {
    for (;;) {
      await ready()
      const item = await raced(from.next(), failing.signal, signal)
      order = keep(item, write(writer, item), order)
      const done = order.catch((error: unknown) => failing.abort(error)).finally(() => inFlight.delete(done))
      inFlight.add(done)
      while (inFlight.size >= inFlightMax) await Promise.race(inFlight)
    }
  } finally {
    await Promise.all(inFlight)
  }
}

type Item = Awaited<ReturnType<ChangeStream['next']>>

/** What ends no transaction is part of one. */
function isChange(item: Item): boolean {
  return item.position === null || 'kind' in item || item.tables.length > 0
}

function write(writer: LogWriter, item: Item): Promise<Position> {
  const body = 'kind' in item ? ({ kind: 'schema', change: item } as const) : ({ kind: 'slice', slice: item } as const)
  return writer.append(body, item.position)
}

/** The promise, or what aborts one of the signals first. */
async function raced<T>(promise: Promise<T>, ...signals: readonly AbortSignal[]): Promise<T> {
  const leaving = new AbortController()
  const aborted = new Promise<never>((_, reject) => {
    for (const signal of signals) {
      if (signal.aborted) reject(signal.reason as Error)
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true, signal: leaving.signal })
    }
  })
  promise.catch(() => {})
  try {
    return await Promise.race([promise, aborted])
  } finally {
    leaving.abort()
  }
}
