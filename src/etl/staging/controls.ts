import { sql, type Ident } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import type { ColumnTotals, ControlTotals } from '../../services/adapter/contract.ts'
import { totalsList, totalsOfRow } from '../../services/adapter/sql-totals.ts'

/** One compared figure of a load. `equal` is `null` when rejected rows make the two ends incomparable. */
export interface Control {
  /** Empty for figures of the whole table. */
  readonly column: string
  readonly measure: 'rows' | 'count' | 'sum' | 'min' | 'max' | 'hash'
  readonly source: string | null
  readonly staged: string | null
  readonly equal: boolean | null
}

/** The control totals of a table in the engine, by the same definition as `ControlTotals` of the adapter contract. */
export async function engineTotals(
  tx: Transaction,
  table: Ident,
  columns: readonly ColumnDef[],
  options: { readonly hash: boolean },
): Promise<ControlTotals> {
  const [row] = await tx.rows(sql`select ${totalsList(columns, options)} from ${table}`)
  return totalsOfRow(row, columns)
}

/** Puts both ends side by side. With `rejected` rows only the row counts can be compared. */
export function compareTotals(source: ControlTotals, staged: ControlTotals, rejected: number): readonly Control[] {
  const rows: Control = {
    column: '',
    measure: 'rows',
    source: String(source.rows),
    staged: String(staged.rows),
    equal: source.rows === staged.rows + BigInt(rejected),
  }
  const hash: Control[] =
    source.hash === null ? [] : [control('', 'hash', source.hash, staged.hash, rejected, source.hash === staged.hash)]
  const columns = source.columns.flatMap((from, i) => {
    const to = staged.columns[i] as ColumnTotals
    const one = (measure: Control['measure'], a: string | null, b: string | null): Control =>
      control(from.column, measure, a, b, rejected, sameFigure(a, b))
    return [
      one('count', String(from.count), String(to.count)),
      one('sum', from.sum, to.sum),
      one('min', from.min, to.min),
      one('max', from.max, to.max),
    ].filter(it => it.source !== null || it.staged !== null)
  })
  return [rows, ...hash, ...columns]
}

function control(
  column: string,
  measure: Control['measure'],
  source: string | null,
  staged: string | null,
  rejected: number,
  same: boolean,
): Control {
  return { column, measure, source, staged, equal: same ? true : rejected > 0 ? null : false }
}

/** Equal as text, or as numbers that are spelled differently (1.50 and 1.5, 1e2 and 100). */
function sameFigure(a: string | null, b: string | null): boolean {
  if (a === b) return true
  if (a === null || b === null) return false
  const plain = /^-?\d+(\.\d+)?$/
  if (plain.test(a) && plain.test(b)) return trimZeros(a) === trimZeros(b)
  const numbers = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i
  return numbers.test(a) && numbers.test(b) && Number(a) === Number(b)
}

function trimZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}
