import type { Ident, Sql } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { RunContext, StageContext } from '../../run/context.ts'
import type { LoadScope } from '../../run/loads.ts'
import type { PlanRead } from '../../run/technique.ts'
import type { ControlTotals } from '../../services/adapter/contract.ts'
import type { Transaction } from '../../services/engine/contract.ts'

/** The control totals of staged rows, by the definition of `ControlTotals`: given by the staging stage. */
export type EngineTotals = (
  tx: Transaction,
  table: Ident,
  columns: readonly ColumnDef[],
  options: { readonly hash: boolean; readonly where?: Sql },
) => Promise<ControlTotals>

/**
 * What the interface stage is given. It moves rows from a source into hidden landing tables, in units of work that
 * each commit by themselves: `commit` runs one in a transaction of the caller's.
 */
export interface InterfaceContext extends RunContext {
  commit<T>(body: (tx: StageContext['tx']) => Promise<T>): Promise<T>
  /** The change technique of each kind, from `src/capture/`. */
  readonly techniques: Readonly<Record<string, PlanRead>>
  /** Asks every load for the content hash beside the other totals. */
  readonly hashControls: boolean
  readonly engineTotals: EngineTotals
  /** True while the guard lets nothing be read of a source but its stream; absent where there is no guard. */
  readonly isPaused?: (source: string) => boolean
}

/** A load whose rows are all in the landing table, not compared with the source yet. */
export interface Extracted {
  readonly load: bigint
  /** As it is staged: with the columns that its contract took in. */
  readonly table: SourceTableDef
  /** `all`: the landing holds the whole table. `delta`: rows to add or replace by key. `range`: all rows of a range. */
  readonly scope: LoadScope
  /** Every key of the source was read beside it. */
  readonly swept: boolean
  /** The source's own figures; `null` when an earlier run accepted the load already. */
  readonly controls: ExtractedControls | null
}

export interface ExtractedControls {
  /** The source's totals of the staged columns that can be compared; `null` for a source without any. */
  readonly totals: ControlTotals | null
  /** Those columns, as staged. */
  readonly columns: readonly ColumnDef[]
  readonly rows: bigint
  readonly keyRows: bigint | null
  /** The totals of each unit of the load, from the same view of the source; `null` when it has one unit or no totals. */
  readonly byUnit: (() => Promise<readonly UnitTotals[]>) | null
}

/** The source's figures of one unit: of the rows in the landing whose `_unit` is over `after` and at most `unit`. */
export interface UnitTotals {
  readonly unit: number
  readonly after: number
  readonly totals: ControlTotals
}
