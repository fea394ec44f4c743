import type { SourceView, TablePosition } from '../run/technique.ts'
import { anyTime } from '../run/versions.ts'

/**
 * By how much the source's clock went back since the last read, as far as ours tells: it showed less time to pass than ours.
 * Rows that were stamped since lie so much before those of the last read at most. Never below 0.
 */
export function wentBackMicros(view: SourceView, { clocks }: TablePosition): bigint {
  // Whose newest row tells where it stands, as a stream's ids do, is not read by its clock.
  if (clocks == null || view.oursMicros === undefined || view.newestMicros !== undefined) return 0n
  const micros = view.oursMicros - clocks.oursMicros - (view.takenAtMicros - clocks.theirsMicros)
  return micros > 0n ? micros : 0n
}

/** From here on a person is told: less is how clocks run. */
const tellMicros = 60_000_000n

/** What a person is told of rows that are read once more; `null` when there is little to tell. */
export function backWarning(backMicros: bigint): string | null {
  if (backMicros < tellMicros) return null
  const seconds = Number(backMicros / 1_000_000n)
  return `the clock of the source went back by ${seconds} s, or ours forward: the rows of as many seconds more are read again`
}

/**
 * The horizon behind this read. It does not go back, for rows before the old one were read already; unless the clock went back,
 * or a transaction is open that began before it did: then what is still to come may be stamped earlier.
 */
export function nextHorizon(last: bigint, now: bigint, backMicros: bigint): bigint {
  if (now === anyTime) return now
  const earliest = now - backMicros
  return backMicros > 0n || now > last ? earliest : last
}
