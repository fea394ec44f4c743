import { fail } from '../core/errors.ts'
import type { ChangeDef, SourceTableDef } from '../config/model.ts'
import type { ReadPlan, SourceView, TablePosition } from '../run/technique.ts'
import type { VersionPlan, VersionPosition } from '../run/versions.ts'
import type { TechniqueFacts } from './facts.ts'
import { sweepIsDue } from './sweep.ts'

/** What the version technique sees. */
export const versionFacts: TechniqueFacts = {
  technique: 'version',
  reads: 'rows whose number moved on, from the lowest that may still be committed',
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
  cost: 'an index on the column, or every read passes over the whole table; the first two read all of it',
  needs: [
    'SELECT on the table',
    'numbers that are given in the order of time, by the transaction that writes: a sequence without a cache, a counter',
    'to see all open transactions (pg_read_all_stats, PROCESS), or an overlap',
  ],
}

/**
 * The version technique: rows whose number is at or over the bound, which no transaction that was open at the last read can
 * be below (`versionsAfter` says why). Neither gaps nor equal numbers do harm. Before there is a bound the whole table is
 * read: after the first load nobody knows which lower numbers were not committed yet.
 */
export function planVersion(
  table: SourceTableDef,
  change: Extract<ChangeDef, { technique: 'version' }>,
  view: SourceView,
  position: TablePosition | null,
): ReadPlan {
  const { warning, before } = positionNow(position, view)
  const versions = versionPlan(table, change, view, before)
  const bound = before?.bound ?? null
  if (position === null || bound === null) {
    return { scope: 'all', since: null, horizonMicros: null, sweep: false, range: null, warning, versions }
  }
  return {
    scope: 'delta',
    since: null,
    changed: [{ kind: 'version', column: change.column, atLeast: bound }],
    horizonMicros: null,
    sweep: sweepIsDue(change.deletes, view, position),
    range: null,
    warning,
    versions,
  }
}

/** The position, as far as it still holds: views of a clock that went back cannot be compared with open transactions. */
export function positionNow(
  position: TablePosition | null,
  view: SourceView,
): { readonly before: VersionPosition | null; readonly warning: string | null } {
  const before = position?.versions ?? null
  const last = before?.seen.at(-1)
  if (last === undefined || view.takenAtMicros >= last.takenMicros) return { before, warning: null }
  const hours = Number(last.takenMicros - view.takenAtMicros) / 3_600_000_000
  const warning = `the clock of the source went back by ${hours.toFixed(2)} hours: the whole table is read again`
  return { before: null, warning }
}

/** How the numbers that come become the next position. Throws `OVERLAP_UNKNOWN`. */
export function versionPlan(
  table: SourceTableDef,
  { column, overlap }: { readonly column: string; readonly overlap: bigint | null },
  { takenAtMicros, horizonMicros }: SourceView,
  before: VersionPosition | null,
): VersionPlan {
  if (overlap === null && horizonMicros === null) {
    throw fail('OVERLAP_UNKNOWN', { source: table.source, table: table.name })
  }
  return { column, overlap, takenAtMicros, horizonMicros, before }
}
