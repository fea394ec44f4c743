import type { Columns, RowIn } from './column.ts'
import type { columnsOf } from './source.ts'
import type { SummaryRow } from './summary.ts'

/** The TypeScript type of a row: `RowOf<typeof summary>`, of a source table, an entity, an export or a dimension too. */
export type RowOf<H> = [SummaryRow<H>] extends [never]
  ? H extends { readonly [columnsOf]: infer C extends Columns }
    ? RowIn<C>
    : never
  : SummaryRow<H>
