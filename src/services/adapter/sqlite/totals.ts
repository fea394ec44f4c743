import { decimalText } from '../../../core/cell-text.ts'
import { ident, joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import type { ColumnTotals, ControlTotals } from '../contract.ts'
import type { CatalogColumn } from './catalog.ts'
import type { SqliteRow, SqliteValue } from './database.ts'
import { fitted } from './types.ts'

const SEPARATOR = '\u001f'
const NULL_MARK = '\u001e'

/**
 * The columns of a SELECT that gives the control totals in one row; `totalsOf` reads it. Sums are of the high and the
 * low 32 bits apart, because SQLite ends a sum beyond 64 bits with an error.
 */
export function totalsList(columns: readonly CatalogColumn[], hash: boolean): Sql {
  return joinSql([
    sql`count(*) as n`,
    ...(hash ? halves(rowHash(columns), 'h') : []),
    ...columns.flatMap((column, i) => figures(column, String(i))),
  ])
}

/** The totals in the words of the contract. */
export function totalsOf(row: SqliteRow, columns: readonly CatalogColumn[]): ControlTotals {
  const cell = (name: string): SqliteValue => row[name] ?? null
  return {
    rows: BigInt(cell('n') as number),
    hash: sumText(cell('h_high'), cell('h_low'), 0),
    columns: columns.map(({ name, type }, i): ColumnTotals => {
      const scale = type.kind === 'decimal' ? type.scale : 0
      return {
        column: name,
        count: BigInt(cell(`count${i}`) as number),
        sum: sumText(cell(`${i}_high`), cell(`${i}_low`), scale),
        min: boundText(type, cell(`min${i}`)),
        max: boundText(type, cell(`max${i}`)),
      }
    }),
  }
}

function figures({ name, type }: CatalogColumn, i: string): readonly Sql[] {
  const value = fitted(type, ident(name))
  const count = sql`count(${ident(name)}) as ${ident(`count${i}`)}`
  const bounds = (of: Sql): readonly Sql[] => [
    sql`min(${of}) as ${ident(`min${i}`)}`,
    sql`max(${of}) as ${ident(`max${i}`)}`,
  ]
  switch (type.kind) {
    case 'int':
    case 'decimal':
      return [count, ...halves(value, i), ...bounds(value)]
    case 'bool':
      return [count, ...halves(value, i)]
    case 'float':
      return [count, ...bounds(sql`case when abs(${value}) < 9e999 then ${value} end`)]
    case 'bytes':
      return [count, ...halves(sql`octet_length(${value})`, i)]
    default:
      // As bytes: they sort like the binary collation, and pass the driver whole.
      return [count, ...halves(sql`octet_length(${value})`, i), ...bounds(sql`cast(substr(${value}, 1, 64) as blob)`)]
  }
}

function halves(value: Sql, name: string): readonly Sql[] {
  return [
    sql`sum((${value}) >> 32) as ${ident(`${name}_high`)}`,
    sql`sum((${value}) & 4294967295) as ${ident(`${name}_low`)}`,
  ]
}

function sumText(high: SqliteValue, low: SqliteValue, scale: number): string | null {
  if (high === null || low === null) return null
  return decimalText((BigInt(high as number) << 32n) + BigInt(low as number), scale)
}

function boundText(type: ColumnType, value: SqliteValue): string | null {
  if (value === null) return null
  if (value instanceof Uint8Array) return Buffer.from(value).toString()
  return type.kind === 'decimal' ? decimalText(BigInt(value as number), type.scale) : String(value)
}

/** The content hash of a row: SQLite spells the row, md5 alone is lent to it. */
function rowHash(columns: readonly CatalogColumn[]): Sql {
  const texts = columns
    .filter(column => column.type.kind !== 'float')
    .map(column => sql`coalesce(${canonicalText(column)}, ${NULL_MARK})`)
  const row = texts.length === 0 ? sql`''` : joinSql(texts, ` || '${SEPARATOR}' || `)
  return sql`naru_md5_15(cast(${row} as blob))`
}

/** The value as the content hash spells it. */
function canonicalText({ name, type }: CatalogColumn): Sql {
  const value = fitted(type, ident(name))
  // hex() makes empty text of NULL.
  if (type.kind === 'bytes') return sql`case when ${value} is not null then lower(hex(${value})) end`
  if (type.kind !== 'decimal' || type.scale === 0) return sql`cast(${value} as text)`
  const power = 10n ** BigInt(type.scale)
  const digits = sql`substr(${'0'.repeat(type.scale)} || (abs(${value}) % ${power}), ${-type.scale})`
  return sql`case when ${value} < 0 then '-' else '' end || (abs(${value}) / ${power}) || '.' || ${digits}`
}
