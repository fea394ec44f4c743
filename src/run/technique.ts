import type { ChangeDef, SourceTableDef } from '../config/model.ts'
import type { ChangeMark } from '../services/adapter/contract.ts'
import type { LoadRange, LoadScope } from './loads.ts'
import type { VersionPlan, VersionPosition } from './versions.ts'

/** What a change technique is told about the source's view. */
export interface SourceView {
  readonly takenAtMicros: bigint
  readonly horizonMicros: bigint | null
  /** As `TableNow.newestMicros` of the table. */
  readonly newestMicros?: bigint | undefined
  /** Our clock when the view was taken. */
  readonly oursMicros?: bigint | undefined
}

/** How far a table was read when its last load was published. */
export interface TablePosition {
  readonly horizonMicros: bigint | null
  readonly sweptMicros: bigint | null
  /** The source's clock and ours when the view of that load was taken; `null` when that is not known. */
  readonly clocks?: { readonly theirsMicros: bigint; readonly oursMicros: bigint } | null
  /** How far by the numbers of a column; `null` when the technique does not go by one. */
  readonly versions: VersionPosition | null
}

/** What has to be read to come from the position to the view. */
export interface ReadPlan {
  readonly scope: LoadScope
  readonly since: { readonly column: string; readonly atLeastMicros: bigint } | null
  /** Rows that show one of these marks; `null` when the technique asks for none. */
  readonly changed?: readonly ChangeMark[] | null
  /** How the numbers that come become a position; `null` when the technique does not go by them. */
  readonly versions?: VersionPlan | null
  /** The position to keep when the load is published. */
  readonly horizonMicros: bigint | null
  /** Read every key as well, to find deletes. */
  readonly sweep: boolean
  /** The rows of a backfill: only with scope `range`. */
  readonly range: LoadRange | null
  /** A part of the table, by a condition in the source's own SQL: only with scope `delta`. */
  readonly where?: string
  /** What a person should know of this plan; `null` when nothing is odd. */
  readonly warning: string | null
}

/** A change technique of `src/capture/`: decides what to read, never reads itself. */
export type PlanRead = (table: SourceTableDef, view: SourceView, position: TablePosition | null) => ReadPlan

/** The columns that a technique goes by: without them the table cannot be read. */
export function columnsOfChange(change: ChangeDef): readonly string[] {
  switch (change.technique) {
    case 'timestamp':
    case 'version':
      return [change.column]
    case 'status':
      return [change.flag.column]
    case 'combined':
      return [change.timestamp, change.version, change.flag].flatMap(part => (part === null ? [] : [part.column]))
    default:
      return []
  }
}
