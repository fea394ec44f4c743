import { asText, byteLength, hexNumber, hexText, microsOf } from '../../core/native.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { Cell, Transaction } from '../../services/engine/contract.ts'
import type { ColumnTotals, ControlTotals } from '../../services/adapter/contract.ts'

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
  options: { readonly hash: boolean; readonly where?: Sql },
): Promise<ControlTotals> {
  const figures = columns.flatMap((column, i) => columnFigures(column, i))
  const hash = options.hash ? sql`${rowHashSum(columns)} as h` : sql`${null} as h`
  const all = joinSql([sql`count(*) as n`, hash, ...figures])
  const [row] = await tx.rows(sql`select ${all} from ${table} where ${options.where ?? sql`true`}`)
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
