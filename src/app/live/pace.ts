import type { Clock } from '../../core/env.ts'
import type { Pace } from '../publish.ts'

/** Milliseconds between two publishes that compare whole tables and keep every figure. */
const WHOLE_EVERY_MS = 600_000
/** Shortest and longest time that the warehouse waits for changes which are in the ODS: milliseconds. */
const WAREHOUSE_WAITS_MS = { min: 500, max: 2_000 } as const

/** Says publish by publish how a live project does it. Used by one loop that publishes one after the other. */
export interface LivePace {
  /** How the publish that begins now does it; `isRead`: it brings tables that were read, whose figures are worth keeping. */
  next(isRead?: boolean): Pace
  /** The publish of `next` has committed. */
  done(): void
  /** It failed, or the config is another one: what was found of the tables is looked at again, and all of them are compared. */
  failed(): void
  /** Somebody else published: what was found of the tables is looked at again. */
  changed(): void
  /** Milliseconds until the warehouse is to take what waits, when nothing else comes; 0 when it is time. */
  warehouseInMs(): number
}

/**
 * The ODS follows with every publish. The warehouse takes its turn when it has waited twice as long as it took the last
 * time, so that most publishes are quick ones; once in ten minutes, and at the beginning, a publish takes stock of everything.
 */
export function livePace(clock: Pick<Clock, 'monotonicMs'>): LivePace {
  let checked = new Set<string>()
  let wholeAtMs: number | null = null
  let warehouse = { endMs: 0, tookMs: 0, isDue: true }
  let current = { pace: {} as Pace, beganMs: 0 }

  const dueInMs = (): number => {
    if (warehouse.isDue) return 0
    const waits = Math.min(WAREHOUSE_WAITS_MS.max, Math.max(WAREHOUSE_WAITS_MS.min, 2 * warehouse.tookMs))
    return Math.max(0, warehouse.endMs + waits - clock.monotonicMs())
  }
  const changed = (): void => {
    checked = new Set()
    warehouse = { ...warehouse, isDue: true }
  }
  return {
    next: (isRead = false) => {
      const nowMs = clock.monotonicMs()
      const isWhole = isRead || wholeAtMs === null || nowMs - wholeAtMs >= WHOLE_EVERY_MS
      const isLater = !isWhole && dueInMs() > 0
      const pace: Pace = { checked, controls: isWhole ? 'whole' : 'changes', warehouse: isLater ? 'later' : 'now' }
      current = { pace, beganMs: nowMs }
      return pace
    },
    done: () => {
      const nowMs = clock.monotonicMs()
      if (current.pace.controls === 'whole') wholeAtMs = current.beganMs
      if (current.pace.warehouse === 'now') {
        warehouse = { endMs: nowMs, tookMs: nowMs - current.beganMs, isDue: false }
      }
    },
    failed: () => {
      changed()
      wholeAtMs = null
    },
    changed,
    warehouseInMs: dueInMs,
  }
}
