import { fail } from '../core/errors.ts'
import type { ChangeDef, SourceTableDef } from '../config/model.ts'
import type { ReadPlan, SourceView, TablePosition } from '../run/technique.ts'
import type { TechniqueFacts } from './facts.ts'
import { backWarning, nextHorizon, wentBackMicros } from './clocks.ts'
import { sweepIsDue } from './sweep.ts'

/** What the timestamp technique sees. */
export const timestampFacts: TechniqueFacts = {
  technique: 'timestamp',
  reads: 'rows whose time moved on, from the start of the oldest transaction that was open at the last read',
  sees: {
    inserts: 'seen',
    updates: 'seen',
    deletes: 'keys swept',
    lateCommits: 'within the lag',
    ties: 'seen',
    silentWriters: 'missed',
    versionsBetween: 'missed',
    keyChanges: 'keys swept',
    truncates: 'keys swept',
  },
  cost: 'an index on the column, or every read passes over the whole table',
  needs: ['SELECT on the table', 'to see all open transactions (pg_read_all_stats, PROCESS), or a lag'],
}

/**
 * The timestamp technique: rows whose stamp lies at or after the last horizon. The horizon is the start of the oldest
 * transaction that was open when the view was taken: whoever commits later began later, and so stamps later (M9).
 * Reading from the horizon on, inclusive, neither loses ties nor late commits (M7, M8); what is re-read unchanged
 * disappears when staging compares it with the image. Blind to deletes and to writers who forget the stamp: a key sweep
 * finds the former.
 */
export function planTimestamp(
  table: SourceTableDef,
  change: Extract<ChangeDef, { technique: 'timestamp' }>,
  view: SourceView,
  position: TablePosition | null,
): ReadPlan {
  const horizonMicros = horizonOf(table, change.lagMs, view)
  if (position === null || position.horizonMicros === null) {
    return { scope: 'all', since: null, horizonMicros, sweep: false, range: null, warning: null }
  }
  if (view.newestMicros !== undefined && view.newestMicros < position.horizonMicros) {
    const warning =
      'its newest row is older than the last one that was read, so it was made anew: all of it is read again'
    return { scope: 'all', since: null, horizonMicros, sweep: false, range: null, warning }
  }
  if (view.newestMicros === undefined && view.takenAtMicros < position.horizonMicros) {
    // A restored or failed-over source: what is stamped now would lie before the position and never be seen.
    const hours = Number(position.horizonMicros - view.takenAtMicros) / 3_600_000_000
    const warning = `the clock of the source went back by ${hours.toFixed(2)} hours: the whole table is read again`
    return { scope: 'all', since: null, horizonMicros, sweep: false, range: null, warning }
  }
  const backMicros = wentBackMicros(view, position)
  return {
    scope: 'delta',
    since: { column: change.column, atLeastMicros: position.horizonMicros - backMicros },
    horizonMicros: nextHorizon(position.horizonMicros, horizonMicros, backMicros),
    sweep: sweepIsDue(change.deletes, view, position),
    range: null,
    warning: backWarning(backMicros),
  }
}

/** Rows that are not in the view are stamped at or after it. Throws `HORIZON_UNKNOWN`. */
export function horizonOf(table: SourceTableDef, lagMs: number | null, view: SourceView): bigint {
  if (view.newestMicros !== undefined) return view.newestMicros
  if (lagMs !== null) {
    const lagged = view.takenAtMicros - BigInt(lagMs) * 1000n
    return view.horizonMicros !== null && view.horizonMicros < lagged ? view.horizonMicros : lagged
  }
  if (view.horizonMicros !== null) return view.horizonMicros
  throw fail('HORIZON_UNKNOWN', { source: table.source, table: table.name })
}
