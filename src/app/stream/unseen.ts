import type { Position } from '../../services/bus/contract.ts'
import { decodeMessage } from './message.ts'
import type { OpenStream } from './session.ts'

/** Bytes of the durable log that are looked at in one step. */
const stepBytes = 16 * 1024 * 1024

/**
 * A stream may give a transaction a moment before views of its source show it. Gives the place before the first one that a
 * view `lacks`, or `place` when there is none up to there; `null` when what is before it is no longer in the durable log. What
 * the log no longer holds was given long before the view. What lies up to `shown`, an answer for an earlier view, is not looked
 * at: a later one shows it as well.
 */
export async function firstUnseen(
  { topic, reader }: Pick<OpenStream, 'topic' | 'reader'>,
  { place, shown = null }: { readonly place: Position; readonly shown?: Position | null },
  lacks: (transaction: bigint) => boolean,
  signal: AbortSignal,
): Promise<Position | null> {
  if (shown !== null && topic.compare(shown, place) >= 0) return place
  let before = shown
  for await (const messages of topic.read(shown, { bytes: stepBytes, signal, passGaps: true })) {
    for (const { position, value } of messages) {
      if (topic.compare(position, place) > 0) return place
      const message = decodeMessage(value)
      const ids = message.kind === 'slice' && message.log === reader.log ? message.slice.transactions.ids : []
      if (ids.some((id: bigint) => id !== 0n && lacks(id))) return before
      // Only behind a whole transaction may reading begin.
      if (message.kind !== 'slice' || message.slice.position !== null) before = position
      if (position === place) return place
    }
  }
  signal.throwIfAborted()
  return place
}
