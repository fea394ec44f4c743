import type { ChangeDef, SourceTableDef } from '../config/model.ts'
import type { ReadPlan, SourceView, TablePosition } from '../run/technique.ts'
import type { ChangeMark } from '../services/adapter/contract.ts'
import { backWarning, nextHorizon, wentBackMicros } from './clocks.ts'
import type { TechniqueFacts } from './facts.ts'
import { sweepIsDue } from './sweep.ts'
import { horizonOf } from './timestamp.ts'
import { positionNow, versionPlan } from './version.ts'

/** What the combined technique sees. */
export const combinedFacts: TechniqueFacts = {
  technique: 'combined',
  reads: 'rows that any of its columns shows: time, number, flag',
  sees: {
    inserts: 'seen',
    updates: 'seen',
    deletes: 'rows swept',
    lateCommits: 'within the lag',
    ties: 'seen',
    silentWriters: 'rows swept',
    versionsBetween: 'missed',
    keyChanges: 'rows swept',
    truncates: 'rows swept',
  },
  cost: 'an index on each column, or every read passes over the whole table; a sweep reads all of it',
  needs: ['SELECT on the table', 'to see all open transactions (pg_read_all_stats, PROCESS), or a lag and an overlap'],
}

type CombinedDef = Extract<ChangeDef, { technique: 'combined' }>

/**
 * Time, number and flag together: a row is read when one of them shows it, so a writer has to forget all of them to be
 * missed. Each keeps its own horizon, and whatever makes one of them read the whole table makes all of them: the strictest
 * wins. The flag is only read. A sweep reads every row and compares, so it finds deletes and silent writers.
 */
export function planCombined(
  table: SourceTableDef,
  change: CombinedDef,
  view: SourceView,
  position: TablePosition | null,
): ReadPlan {
  const { timestamp, version, flag } = change
  const { warning, before } = positionNow(position, view)
  const versions = version === null ? null : versionPlan(table, version, view, before)
  const horizon = timestamp === null ? null : horizonOf(table, timestamp.lagMs, view)
  const [last, bound] = [position?.horizonMicros ?? null, before?.bound ?? null]
  const whole = { scope: 'all', since: null, sweep: false, range: null, versions, horizonMicros: horizon } as const
  if (warning !== null) return { ...whole, warning }
  const isKnown = (timestamp === null || last !== null) && (version === null || bound !== null)
  if (position === null || !isKnown || sweepIsDue(change.deletes, view, position)) return { ...whole, warning: null }
  if (last !== null && view.takenAtMicros < last) {
    return { ...whole, warning: 'the clock of the source went back: the whole table is read again' }
  }
  const backMicros = position === null || timestamp === null ? 0n : wentBackMicros(view, position)
  const changed: ChangeMark[] = []
  if (timestamp !== null && last !== null) {
    changed.push({ kind: 'stamp', column: timestamp.column, atLeastMicros: last - backMicros })
  }
  if (version !== null && bound !== null) changed.push({ kind: 'version', column: version.column, atLeast: bound })
  if (flag !== null) changed.push({ kind: 'flag', column: flag.column, is: flag.pending })
  return {
    ...whole,
    scope: 'delta',
    changed,
    horizonMicros: last !== null && horizon !== null ? nextHorizon(last, horizon, backMicros) : horizon,
    warning: backWarning(backMicros),
  }
}
