import type { Expr } from '../core/expr.ts'
import { typeText, type ColumnDef, type ColumnType } from '../core/types.ts'
import { mistake } from './mistake.ts'
import { measureOf, recordOf, standIn, standInRow } from './record.ts'
import type { Columns } from './column.ts'
import type { SourceTableDef } from './model.ts'
import type { Row } from './value.ts'

/** The stand-ins for the rows of a source table. */
export function tableRow<C extends Columns>(table: SourceTableDef): Row<C> {
  return columnsRow(`table ${table.source}.${table.name}`, table.columns)
}

/** The stand-ins for rows that have these columns: of an entity, an export, or a dimension under its role. */
export function columnsRow<C extends Columns>(
  where: string,
  columns: readonly ColumnDef[],
  role: string | null = null,
): Row<C> {
  const make = (name: string): object => {
    const { type } = columns.find(column => column.name === name) as ColumnDef
    return standIn({ expr: { kind: 'column', name, type }, role })
  }
  return standInRow(
    where,
    columns.map(column => column.name),
    make,
  ) as Row<C>
}

/** The expression that a row function gave for `column`, in the column's type. Only what can neither fail nor round is converted by itself. */
export function fitted(where: string, column: ColumnDef, value: unknown): Expr {
  const found = recordOf(value)
  if (found === null) {
    if (measureOf(value) !== null)
      throw mistake(`${where}.${column.name} is a value of one row; a sum, count or the like is of many`)
    throw mistake(
      `${where}.${column.name} must be made from the columns of the row; this is ${value === null ? 'null' : typeof value}`,
    )
  }
  const { expr } = found
  if (expr.kind === 'literal' && expr.value === null) return { ...expr, type: column.type }
  if (typeText(expr.type) === typeText(column.type)) return expr
  assertNoRounding(`${where}.${column.name}`, expr.type, column.type)
  assertChoices(`${where}.${column.name}`, expr, column.type)
  return { kind: 'cast', arg: expr, type: column.type }
}

function assertNoRounding(where: string, from: ColumnType, to: ColumnType): void {
  if (from.kind === 'decimal' && to.kind === 'decimal' && from.scale > to.scale) {
    throw mistake(
      `${where} is ${typeText(to)}; this value is ${typeText(from)} and would be rounded: add .round(${to.scale})`,
    )
  }
}

/** A list of texts is part of a type the compiler checks; here for a config that was not type-checked. */
function assertChoices(where: string, expr: Expr, to: ColumnType): void {
  if (to.kind !== 'enum' || expr.kind !== 'map') return
  const stranger = expr.cases
    .map(([, value]) => value)
    .find(value => value !== null && !to.values.includes(String(value)))
  if (stranger !== undefined) throw mistake(`${where} is one of ${to.values.join(', ')}; '${String(stranger)}' is not`)
}
