import { asText, byteLength, hexNumber, hexText, microsOf } from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Sql } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { ColumnTotals, ControlTotals } from './contract.ts'

/** A value of the row of totals, as an engine gives it. */
type Cell = string | number | bigint | boolean | null | readonly Cell[]

/**
 * The columns of a SELECT that gives the control totals of a relation in one row, in the portable SQL of the engines:
 * `totalsOfRow` reads it.
 */
export function totalsList(columns: readonly ColumnDef[], options: { readonly hash: boolean }): Sql {
  const figures = columns.flatMap((column, i) => columnFigures(column, i))
  const hash = options.hash ? sql`${rowHashSum(columns)} as h` : sql`${null} as h`
  return joinSql([sql`count(*) as n`, hash, ...figures])
}

/** The totals in the words of the contract. */
export function totalsOfRow(
  row: Readonly<Record<string, Cell>> | undefined,
  columns: readonly ColumnDef[],
): ControlTotals {
  const cell = (name: string): Cell => row?.[name] ?? null
  return {
    rows: BigInt(cell('n') as bigint),
    hash: textOf(cell('h')),
    columns: columns.map((column, i): ColumnTotals => ({
      column: column.name,
      count: BigInt((cell(`c${i}`) as bigint) ?? 0n),
      sum: textOf(cell(`s${i}`)),
      min: boundOf(cell(`a${i}`)),
      max: boundOf(cell(`z${i}`)),
    })),
  }
}

function textOf(cell: Cell): string | null {
  return cell === null ? null : String(cell)
}

/** Bounds come behind a sign, because a text that begins with a byte order mark would lose it on the way here. */
function boundOf(cell: Cell): string | null {
  return cell === null ? null : String(cell).slice(1)
}

function columnFigures(column: ColumnDef, i: number): readonly Sql[] {
  const value = sql`${ident(column.name)}`
  const { sum, bound } = measuresOf(column, value)
  const nothing = sql`${null}`
  return [
    sql`count(${value}) as ${ident(`c${i}`)}`,
    sql`${asText(sum === null ? nothing : sql`sum(${sum})`)} as ${ident(`s${i}`)}`,
    sql`'=' || ${asText(bound === null ? nothing : sql`min(${bound})`)} as ${ident(`a${i}`)}`,
    sql`'=' || ${asText(bound === null ? nothing : sql`max(${bound})`)} as ${ident(`z${i}`)}`,
  ]
}

/** What is summed and what is bounded for a column, or `null` where its type has no such figure. */
function measuresOf(column: ColumnDef, value: Sql): { readonly sum: Sql | null; readonly bound: Sql | null } {
  switch (column.type.kind) {
    case 'int':
    case 'decimal':
      return { sum: value, bound: value }
    case 'bool':
      return { sum: sql`case when ${value} then 1 else 0 end`, bound: null }
    case 'float':
      return { sum: null, bound: sql`case when abs(${value}) < cast('infinity' as double precision) then ${value} end` }
    case 'date':
    case 'timestamp':
    case 'time': {
      const number = canonical(column, value)
      const finite = column.type.kind === 'time' ? number : sql`case when isfinite(${value}) then ${number} end`
      return { sum: finite, bound: finite }
    }
    case 'text':
    case 'enum':
      return { sum: byteLength(value), bound: sql`left(${value}, 64)` }
    case 'bytes':
      return { sum: sql`octet_length(${value})`, bound: null }
    case 'uuid':
    case 'json':
      return { sum: byteLength(asText(value)), bound: null }
    case 'interval':
      return { sum: null, bound: null }
  }
}

/** The value as the canonical text of the content hash spells it. */
function canonical(column: ColumnDef, value: Sql): Sql {
  switch (column.type.kind) {
    case 'date':
      return sql`(${value} - date '1970-01-01')`
    case 'timestamp':
      return microsOf(value)
    case 'time':
      return microsOf(value)
    case 'bool':
      return sql`cast(${value} as integer)`
    case 'bytes':
      return hexText(value)
    default:
      return value
  }
}

/** The text of a value in the content hash; an infinity has no number and is spelled out. */
function hashedText(column: ColumnDef): Sql {
  const value = sql`${ident(column.name)}`
  const text = sql`${asText(canonical(column, value))}`
  if (column.type.kind !== 'date' && column.type.kind !== 'timestamp') return text
  return sql`case when isfinite(${value}) then ${text} else ${asText(value)} end`
}

function rowHashSum(columns: readonly ColumnDef[]): Sql {
  const texts = columns
    .filter(column => column.type.kind !== 'float' && column.type.kind !== 'interval')
    .map(column => sql`coalesce(${hashedText(column)}, ${'\u001e'})`)
  return sql`cast(sum(${hexNumber(sql`left(md5(concat_ws(${'\u001f'}, ${joinSql(texts)})), 15)`)}) as varchar)`
}
