import { joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { ColumnTotals, ControlTotals } from '../contract.ts'
import type { TextRow } from './connection.ts'
import { columnOf, isUtf8 } from './filter.ts'

/** What is computed for each column, in this order. */
const FIGURES = ['count', 'sum', 'min', 'max'] as const

/** What totals are computed of. */
export interface TotalsOf {
  readonly columns: readonly ColumnDef[]
  readonly encoding: string
  readonly hash: boolean
}

/** Columns whose figures one SELECT gives: PostgreSQL has a limit of 1664 for its list. */
const COLUMNS_MAX = 400

/** Computes control totals. `ask` runs `select <list>` over the rows that are meant, and gives its one row. */
export async function readTotals(
  { columns, encoding, hash }: TotalsOf,
  ask: (list: Sql) => Promise<TextRow>,
): Promise<ControlTotals> {
  const head = [sql`count(*)`, hash ? rowHashSum(columns, encoding) : sql`null`]
  const totals: ColumnTotals[] = []
  let [rows, rowHash]: TextRow = []
  for (let from = 0; from === 0 || from < columns.length; from += COLUMNS_MAX) {
    const some = columns.slice(from, from + COLUMNS_MAX)
    const row = await ask(joinSql([...head, ...some.flatMap(column => figures(column, encoding))]))
    if (from === 0) [rows, rowHash] = row
    const values = row.slice(head.length)
    totals.push(...some.map((column, i) => columnTotals(column, values.slice(i * FIGURES.length))))
    head.length = 0 // once is enough: the hash reads every value
  }
  return { rows: BigInt(rows as string), hash: rowHash ?? null, columns: totals }
}

function columnTotals({ name }: ColumnDef, [count, sum, min, max]: TextRow): ColumnTotals {
  return { column: name, count: BigInt(count as string), sum: sum ?? null, min: min ?? null, max: max ?? null }
}

function figures({ name, type }: ColumnDef, encoding: string): readonly Sql[] {
  const value = sql`${columnOf(name)}`
  const none = sql`null`
  const all = (sum: Sql, min: Sql, max: Sql): readonly Sql[] => [sql`count(${value})`, sum, min, max]
  switch (type.kind) {
    case 'int':
    case 'decimal':
      return all(sql`sum(${value})`, sql`min(${value})`, sql`max(${value})`)
    case 'bool':
      return all(sql`sum(${value}::int)`, none, none)
    case 'float': {
      const finite = sql`filter (where abs(${value}) < 'infinity')` // NaN is greater than all
      return all(none, sql`min(${value}) ${finite}`, sql`max(${value}) ${finite}`)
    }
    case 'date': {
      const finite = sql`filter (where isfinite(${value}))`
      const days = (bound: Sql): Sql => sql`${bound} ${finite} - date '1970-01-01'`
      return all(sql`sum(${daysOf(value)}) ${finite}`, days(sql`min(${value})`), days(sql`max(${value})`))
    }
    case 'timestamp':
    case 'time': {
      const finite = type.kind === 'time' ? sql`` : sql`filter (where isfinite(${value}))`
      const bound = (aggregate: Sql): Sql => microsOf(type.kind, sql`(${aggregate} ${finite})`)
      return all(
        sql`sum(${microsOf(type.kind, value)}) ${finite}`,
        bound(sql`min(${value})`),
        bound(sql`max(${value})`),
      )
    }
    case 'text':
    case 'enum': {
      const text = sql`${value}::text`
      return all(sql`sum(${utf8Bytes(text, encoding)})`, bound('min', text, encoding), bound('max', text, encoding))
    }
    case 'json':
    case 'uuid':
      return all(sql`sum(${utf8Bytes(sql`${value}::text`, encoding)})`, none, none)
    case 'bytes':
      return all(sql`sum(octet_length(${value}))`, none, none)
    case 'interval':
      return all(none, none, none)
  }
}

/**
 * Microseconds of a time, or of a timestamp since 1970. The day is counted apart: before PostgreSQL 14 `extract` gives a
 * float, which is exact for the microseconds of a day only.
 */
function microsOf(kind: 'time' | 'timestamp', value: Sql): Sql {
  if (kind === 'time') return sql`(extract(epoch from ${value}) * 1000000)::bigint`
  return sql`(${daysOf(sql`${value}::date`)}::bigint * 86400000000 + ${microsOf('time', sql`${value}::time`)})`
}

function daysOf(value: Sql): Sql {
  return sql`(${value} - date '1970-01-01')`
}

function utf8Bytes(text: Sql, encoding: string): Sql {
  return isUtf8(encoding) ? sql`octet_length(${text})` : sql`octet_length(convert_to(${text}, 'UTF8'))`
}

/** The least or greatest text by its UTF-8 bytes, cut to 64 characters. Hexadecimal digits keep the order of bytes. */
function bound(which: 'min' | 'max', text: Sql, encoding: string): Sql {
  const aggregate = (arg: Sql): Sql => (which === 'min' ? sql`min(${arg})` : sql`max(${arg})`)
  if (isUtf8(encoding)) return sql`left(${aggregate(sql`(${text}) collate "C"`)}, 64)`
  const hex = sql`encode(convert_to(left(${text}, 64), 'UTF8'), 'hex') collate "C"`
  return sql`convert_from(decode(${aggregate(hex)}, 'hex'), 'UTF8')`
}

const SEPARATOR = '\u001f'
const NULL_MARK = '\u001e'

function rowHashSum(columns: readonly ColumnDef[], encoding: string): Sql {
  const texts = columns.flatMap(column => {
    const text = canonicalText(column)
    return text === null ? [] : [sql`coalesce(${text}, ${NULL_MARK})`]
  })
  const row = texts.length === 0 ? sql`''` : joinSql(texts, ` || E'${SEPARATOR}' || `)
  const bytes = isUtf8(encoding) ? row : sql`convert_to(${row}, 'UTF8')`
  return sql`sum(('x' || left(md5(${bytes}), 15))::bit(60)::bigint)`
}

/** The value as the content hash spells it, `null` for types that are not part of it. */
function canonicalText({ name, type }: ColumnDef): Sql | null {
  const value = sql`${columnOf(name)}`
  const orInfinite = (number: Sql): Sql =>
    sql`case when isfinite(${value}) then (${number})::text else ${value}::text end`
  switch (type.kind) {
    case 'float':
    case 'interval':
      return null
    case 'bool':
      return sql`${value}::int::text`
    case 'date':
      return orInfinite(daysOf(value))
    case 'time':
      return sql`${microsOf('time', value)}::text`
    case 'timestamp':
      return orInfinite(microsOf('timestamp', value))
    case 'bytes':
      return sql`encode(${value}, 'hex')`
    default:
      return sql`${value}::text`
  }
}
