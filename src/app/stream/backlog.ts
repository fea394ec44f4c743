import type { Position, Topic } from '../../services/bus/contract.ts'
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
  const { reader, captures } = stream
  const enough = isAlone ? Math.min(stepBytes, readingBytes) : stepBytes
  for (let bytes = 0; ;) {
    const upTo = await reader.grown({ position: head, bytes }, signal)
    const { bytes: written, position } = reader.status()
    const isRead = position !== null && captures.compare(position, head) >= 0
    const least = isRead ? stepBytes : enough
    for (;;) {
      const pass = { stream, tables: tables.filter(isLive), upTo, bytes: stepBytes }
      if (!(await isMore(pass, least, signal))) break
      await take(pass)
    }
    if (isRead) return upTo
    bytes = written + enough
  }
}

/** True when more than so many bytes wait. */
async function isMore({ stream, tables, upTo }: Pass, bytes: number, signal: AbortSignal): Promise<boolean> {
  const { topic } = stream
  const places = tables.flatMap(({ at }) => (at === null ? [] : [at.place]))
  const [first] = places.toSorted((a, b) => topic.compare(a, b))
  return first !== undefined && topic.compare(first, upTo) < 0 && isBehind(topic, { first, upTo, bytes, signal })
}

async function isBehind(
  topic: Topic,
  given: { readonly first: string; readonly upTo: string; readonly bytes: number; readonly signal: AbortSignal },
): Promise<boolean> {
  const leaving = new AbortController()
  let found = 0
  try {
    const until = AbortSignal.any([given.signal, leaving.signal])
    for await (const messages of topic.read(given.first, { bytes: readBytes, signal: until })) {
      for (const { position, value } of messages) {
        found += value.byteLength
        if (topic.compare(position, given.upTo) >= 0) return found > given.bytes
      }
      if (found > given.bytes) return true
    }
  } finally {
    leaving.abort()
  }
  return false
}
