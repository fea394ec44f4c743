import type { SourceTableDef } from '../../config/model.ts'
import type { StageContext } from '../../run/context.ts'
import type { PlanRead } from '../../run/technique.ts'
import type { ControlTotals } from '../../services/adapter/contract.ts'

/**
 * What the interface stage is given. It moves rows from a source into hidden landing tables, in units of work that
 * each commit by themselves: `commit` runs one in a transaction of the caller's.
 */
export interface InterfaceContext extends Omit<StageContext, 'tx'> {
  commit<T>(body: (tx: StageContext['tx']) => Promise<T>): Promise<T>
  /** The change technique of each kind, from `src/capture/`. */
  readonly techniques: Readonly<Record<string, PlanRead>>
  /** Asks every load for the content hash beside the other totals. */
  readonly hashControls: boolean
}

/** A load whose rows are all in the landing table, not compared with the source yet. */
export interface Extracted {
  readonly load: bigint
  readonly table: SourceTableDef
  /** `all`: the landing holds the whole table. `delta`: rows to add or replace by key. */
  readonly scope: 'all' | 'delta'
  /** Every key of the source was read beside it. */
  readonly swept: boolean
  /** The source's own figures; `null` when an earlier run accepted the load already. */
  readonly controls: {
    readonly totals: ControlTotals | null
    readonly rows: bigint
    readonly keyRows: bigint | null
  } | null
}
