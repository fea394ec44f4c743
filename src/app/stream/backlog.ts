import type { Position } from '../../services/bus/contract.ts'
import { isLive, type OpenStream, type StreamTable } from './session.ts'
import type { Pass } from './tick.ts'

/** About how many bytes of a topic one transaction of a run takes: what bounds its memory. */
const stepBytesDefault = 32 * 1024 * 1024
/** So many are worth one while the source is read on: applying goes on beside reading, and little is left at the end. */
const readingBytes = 16 * 1024 * 1024
/** Bytes that are read at once to see how much waits. */
const readBytes = 4 * 1024 * 1024

/** A stream on its way to where its source was. */
export interface Draining {
  readonly stream: OpenStream
  readonly tables: readonly StreamTable[]
  /** Position of the source. */
  readonly head: string
}

/** How a run takes what one transaction does not hold. */
export interface Steps {
  /** Publishes what a pass takes. */
  readonly take: (pass: Pass) => Promise<void>
  /**
   * The run brings nothing beside the stream. Otherwise rules may ask in one table for rows that only the end of the run
   * brings to another, so that a transaction takes as much as it can hold.
   */
  readonly isAlone: boolean
  /** About how many bytes of a topic one transaction takes. */
  readonly stepBytes?: number | undefined
}

/**
 * Waits until the source is read to its head, and takes meanwhile what comes: in steps of whole transactions of the source, for
 * the tables that are visible. The ODS follows step by step; the warehouse takes all of it with the publish that ends
 * the run. Gives the place of the head in the topic, before which at most one more step waits.
 */
export async function drainStream(
  { stream, tables, head }: Draining,
  { take, isAlone, stepBytes = stepBytesDefault, signal }: Steps & { readonly signal: AbortSignal },
): Promise<Position> {
  const { reader, captures, topic } = stream
  const enough = isAlone ? Math.min(stepBytes, readingBytes) : stepBytes
  /** Takes one step; false when nothing waits. */
  const step = async (upTo: Position): Promise<boolean> => {
    const live = tables.filter(isLive)
    if (live.every(({ at }) => at === null || topic.compare(at.place, upTo) >= 0)) return false
    await take({ stream, tables: live, upTo, bytes: stepBytes })
    return true
  }
  const left = await reader.grown({ position: head, bytes: 0 }, signal)
  let waiting = await bytesWaiting({ stream, tables, upTo: left, bytes: enough }, signal)
  while (waiting > enough && (await step(left))) {
    waiting = await bytesWaiting({ stream, tables, upTo: left, bytes: enough }, signal)
  }
  // From here on the reader knows what waits: what was left, and what it writes.
  for (let taken = -waiting; ;) {
    const grownTo = await reader.grown({ position: head, bytes: taken + enough }, signal)
    // All of one moment: the reader may have gone on since, and past the head.
    const { bytes, position, complete } = reader.status()
    const upTo = complete ?? grownTo
    const isRead = position !== null && captures.compare(position, head) >= 0
    while (bytes - taken >= (isRead ? stepBytes : enough)) {
      // A transaction is taken whole, however large it is.
      taken = (await step(upTo)) ? Math.min(bytes, taken + stepBytes) : bytes
    }
    if (isRead) return upTo
  }
}

/** Bytes behind the places of the visible tables: not counted further than to what the pass takes. */
async function bytesWaiting({ stream, tables, upTo, bytes }: Pass, signal: AbortSignal): Promise<number> {
  const { topic } = stream
  const places = tables.filter(isLive).flatMap(({ at }) => (at === null ? [] : [at.place]))
  const [first] = places.toSorted((a, b) => topic.compare(a, b))
  if (first === undefined || topic.compare(first, upTo) >= 0) return 0
  let found = 0
  for await (const messages of topic.read(first, { bytes: readBytes, signal })) {
    for (const { position, value } of messages) {
      found += value.byteLength
      if (topic.compare(position, upTo) >= 0 || found > bytes) return found
    }
  }
  return found
}
