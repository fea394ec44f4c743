import type { SourceTableDef } from '../config/model.ts'
import type { LoadRange, LoadScope } from './loads.ts'

/** What a change technique is told about the source's view. */
export interface SourceView {
  readonly takenAtMicros: bigint
  readonly horizonMicros: bigint | null
  /** As `TableNow.newestMicros` of the table. */
  readonly newestMicros?: bigint | undefined
}

/** How far a table was read when its last load was published. */
export interface TablePosition {
  readonly horizonMicros: bigint | null
  readonly sweptMicros: bigint | null
}

/** What has to be read to come from the position to the view. */
export interface ReadPlan {
  readonly scope: LoadScope
  readonly since: { readonly column: string; readonly atLeastMicros: bigint } | null
  /** The position to keep when the load is published. */
  readonly horizonMicros: bigint | null
  /** Read every key as well, to find deletes. */
  readonly sweep: boolean
  /** The rows of a backfill: only with scope `range`. */
  readonly range: LoadRange | null
  /** What a person should know of this plan; `null` when nothing is odd. */
  readonly warning: string | null
}

/** A change technique of `src/capture/`: decides what to read, never reads itself. */
export type PlanRead = (table: SourceTableDef, view: SourceView, position: TablePosition | null) => ReadPlan
