import type { Clock } from '../../core/env.ts'
import type { Snapshot, SourceBatch, SourceLimits } from '../../services/adapter/contract.ts'

const dayMs = 86_400_000
const minuteMs = 60_000

/** Keeps what a source allows its reader: one for all of its tables in a run. */
export interface Gate {
  /** True in the hours in which the source may be read. */
  isOpen(): boolean
  /** When it opens, as text for a person: `22:00 UTC`. */
  readonly opens: string
  /** What is waited for, as text for a person, and its code; as of now. */
  waits(): { readonly text: string; readonly code: 'SOURCE_HOURS' | 'GUARD_PAUSED' }
  /** Waits until the rows that were read so far were allowed to be. */
  pay(rows: number, signal: AbortSignal): Promise<void>
}

/** The gate of a source's limits. Rows are counted from the first one: a pause in reading saves up at most one second. */
export function gateOf(
  clock: Clock,
  limits: Pick<SourceLimits, 'rowsPerSecond' | 'hours'>,
  isPaused: () => boolean = () => false,
): Gate {
  const { rowsPerSecond, hours } = limits
  const isWithinHours = (): boolean => hours === null || isWithin(clock, hours)
  const opens = hours === null ? 'now' : timeOfDay(hours.fromMinute)
  /** Up to when the rows read so far have used the allowance. */
  let paidUntilMs = Number.NEGATIVE_INFINITY
  return {
    opens,
    isOpen: () => isWithinHours() && !isPaused(),
    waits: () =>
      isWithinHours()
        ? { text: 'waits until the stream of its source has caught up (guard)', code: 'GUARD_PAUSED' }
        : { text: `waits for the hours of its source, from ${opens}`, code: 'SOURCE_HOURS' },
    pay: async (rows, signal) => {
      if (rowsPerSecond === null || rows === 0) return
      const nowMs = clock.monotonicMs()
      paidUntilMs = Math.max(paidUntilMs, nowMs - 1000) + (rows / rowsPerSecond) * 1000
      if (paidUntilMs > nowMs) await clock.sleep(paidUntilMs - nowMs, signal)
    },
  }
}

function isWithin(clock: Clock, { fromMinute, toMinute }: NonNullable<SourceLimits['hours']>): boolean {
  const minute = (Number(clock.nowMicros() / 1000n) % dayMs) / minuteMs
  if (fromMinute < toMinute) return minute >= fromMinute && minute < toMinute
  return minute >= fromMinute || minute < toMinute
}

function timeOfDay(minute: number): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  return `${two(Math.floor(minute / 60))}:${two(minute % 60)} UTC`
}

/** The snapshot as it is, but nothing is read from it faster than the gate lets through: the source waits with us. */
export function gated(snapshot: Snapshot, gate: Gate): Snapshot {
  async function* read(...asked: Parameters<Snapshot['read']>): AsyncGenerator<SourceBatch, void> {
    for await (const batch of snapshot.read(...asked)) {
      yield batch
      await gate.pay(batch.batch.rows + batch.rejects.length, asked[3])
    }
  }
  const { takenAtMicros, horizonMicros } = snapshot
  return {
    takenAtMicros,
    horizonMicros,
    ...(snapshot.includes === undefined ? {} : { includes: snapshot.includes.bind(snapshot) }),
    look: remote => snapshot.look(remote),
    boundary: (table, after, rows) => snapshot.boundary(table, after, rows),
    ...(snapshot.ranges === undefined
      ? {}
      : { ranges: async (table, rows) => (await snapshot.ranges?.(table, rows)) ?? [] }),
    read,
    totals: (table, filter, options, signal) => snapshot.totals(table, filter, options, signal),
    close: () => snapshot.close(),
  }
}
