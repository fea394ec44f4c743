import { float32Text } from '../../../core/cell-text.ts'
import { joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { ZeroDates } from '../../../systems/mysql/column-writer.ts'
import type { ColumnTotals, ControlTotals } from '../contract.ts'
import type { CatalogColumn } from './catalog.ts'
import { columnOf, numberValue, textValue } from './columns.ts'
import type { TextRow } from './connection.ts'

/** What is computed for each column, in this order. */
const FIGURES = 4

/** The columns of a SELECT that gives the control totals in one row; `totalsOf` reads it. */
export function totalsList(columns: readonly CatalogColumn[], zeroDates: ZeroDates, hash: boolean): Sql {
  return joinSql([
    sql`count(*)`,
    hash ? rowHashSum(columns) : sql`null`,
    ...columns.flatMap(column => figures(column, zeroDates)),
  ])
}

export function totalsOf(row: TextRow, columns: readonly CatalogColumn[]): ControlTotals {
  return {
    rows: BigInt(row[0] as string),
    hash: row[1] ?? null,
    columns: columns.map((column, i): ColumnTotals => {
      const at = 2 + i * FIGURES
      return {
        column: column.name,
        count: BigInt(row[at] as string),
        sum: row[at + 1] ?? null,
        min: bound(column, row[at + 2] ?? null),
        max: bound(column, row[at + 3] ?? null),
      }
    }),
  }
}

/** The server has no shortest text for a 32-bit float; it gives its exact value as a double. */
function bound({ type }: CatalogColumn, text: string | null): string | null {
  if (text === null || type.kind !== 'float') return text
  return type.bits === 32 ? float32Text(Math.fround(Number(text))) : String(Number(text))
}

function figures(column: CatalogColumn, zeroDates: ZeroDates): readonly Sql[] {
  const { type } = column
  const value = sql`${columnOf(column)}`
  const none = sql`null`
  const all = (sum: Sql, min: Sql, max: Sql): readonly Sql[] => [sql`count(${value})`, sum, min, max]
  switch (type.kind) {
    case 'bool':
      return all(sql`sum(${value} + 0)`, none, none)
    case 'int':
    case 'decimal': {
      const number = numberValue(column)
      return all(sql`sum(${number})`, sql`min(${number})`, sql`max(${number})`)
    }
    case 'float':
      return all(none, sql`min(${value}) + 0e0`, sql`max(${value}) + 0e0`)
    case 'date':
    case 'timestamp':
    case 'time': {
      const number = timeNumber(column)
      const count = zeroDates === 'null' ? sql`count(${number})` : sql`count(${value})`
      return [count, sql`sum(${number})`, sql`min(${number})`, sql`max(${number})`]
    }
    case 'text':
    case 'enum': {
      const bytes = sql`cast(${textValue(column)} as binary)`
      return all(sql`sum(length(${textValue(column)}))`, cut(sql`min(${bytes})`), cut(sql`max(${bytes})`))
    }
    case 'json':
    case 'uuid':
      return all(sql`sum(length(${textValue(column)}))`, none, none)
    case 'bytes':
      return all(sql`sum(length(${value}))`, none, none)
    case 'interval':
      return all(none, none, none)
  }
}

/** The first 64 letters of bytes that are text. Bytes are compared, because every collation takes some letters for equal. */
function cut(bytes: Sql): Sql {
  return sql`left(convert(${bytes} using utf8mb4), 64)`
}

/** Days or microseconds since 1970, or microseconds since midnight; NULL for a date with zeros. */
function timeNumber(column: CatalogColumn): Sql {
  const value = columnOf(column)
  if (column.type.kind === 'time') return sql`(truncate(time_to_sec(${value}), 0) * 1000000 + microsecond(${value}))`
  const isNone = sql`year(${value}) = 0 or month(${value}) = 0 or day(${value}) = 0`
  const number =
    column.type.kind === 'date'
      ? sql`to_days(${value}) - 719528`
      : sql`timestampdiff(microsecond, timestamp'1970-01-01 00:00:00', ${value})`
  return sql`if(${isNone}, null, ${number})`
}

function rowHashSum(columns: readonly CatalogColumn[]): Sql {
  const texts = columns.flatMap(column => {
    const text = canonicalText(column)
    return text === null ? [] : [sql`coalesce(${text}, x'1e')`]
  })
  const row = texts.length === 0 ? sql`''` : sql`concat(${joinSql(texts, `, x'1f', `)})`
  return sql`sum(cast(conv(left(md5(${row}), 15), 16, 10) as unsigned))`
}

/** The value as the content hash spells it, in bytes; `null` for types that are not part of it. */
function canonicalText(column: CatalogColumn): Sql | null {
  const bytes = (text: Sql): Sql => sql`cast(${text} as binary)`
  switch (column.type.kind) {
    case 'float':
    case 'interval':
      return null
    case 'bool':
    case 'int':
    case 'decimal':
      return bytes(
        sql`cast(${numberValue({ ...column, nativeType: column.type.kind === 'bool' ? 'bit' : column.nativeType })} as char)`,
      )
    case 'date':
    case 'timestamp':
    case 'time':
      return bytes(sql`cast(${timeNumber(column)} as char)`)
    case 'bytes':
      return bytes(sql`lower(hex(${columnOf(column)}))`)
    default:
      return bytes(textValue(column))
  }
}
