import { asText, distinctAbout, microsOf } from '../../core/dialect-functions.ts'
import { ident, sql, type Dialect, type Sql } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { isStagedAsText } from '../../run/tables.ts'
import type { Row } from '../../services/engine/contract.ts'

/** A staged column as it is measured: `raw` as it arrived, `value` in the declared type. */
export interface ProfiledColumn {
  readonly column: ColumnDef
  readonly raw: Sql
  readonly value: Sql
  /** The value as a double, for statistics and histograms; `null` for types without a scale. Infinite values are NULL. */
  readonly number: Sql | null
  /** Text of a file that stands for another type. */
  readonly isCast: boolean
}

/** A row of naru.profile, without the run and the table. Values of personal columns are never in it. */
export interface ColumnProfile {
  readonly column: string
  readonly rows: bigint
  readonly nulls: bigint
  readonly distinct: bigint
  readonly min: string | null
  readonly max: string | null
  readonly mean: number | null
  readonly stddev: number | null
  readonly lengthMin: bigint | null
  readonly lengthMax: bigint | null
  readonly castable: bigint | null
  readonly top: string | null
  readonly histogram: string | null
  readonly sampleRows: bigint | null
}

/** What the scan finds: the profile but for the parts that come from the sample, and the bounds of the histogram. */
export interface ColumnStatistics extends Omit<ColumnProfile, 'top' | 'histogram' | 'sampleRows'> {
  readonly bounds: readonly [number, number] | null
}

/** Characters of a value that a profile shows. */
export const SHOWN_CHARACTERS = 200

/** The columns of a staged table with their values in the declared types, over relation `s`. */
export function profiledColumns(dialect: Dialect, table: SourceTableDef): readonly ProfiledColumn[] {
  return table.columns.map(column => {
    const raw = sql`${ident('s', column.name)}`
    const isCast = isStagedAsText(table) && column.type.kind !== 'text'
    const value = isCast ? dialect.tryCast(raw, column.type) : raw
    return { column, raw, value, isCast, number: column.personal ? null : numberOf(column, value) }
  })
}

function numberOf(column: ColumnDef, value: Sql): Sql | null {
  switch (column.type.kind) {
    case 'int':
    case 'decimal':
      return sql`cast(${value} as double precision)`
    case 'float':
      // Beyond this a variance overflows, and an overflow would end the run.
      return sql`case when abs(${value}) < 1e150 then cast(${value} as double precision) end`
    case 'date':
    case 'timestamp':
      return sql`case when isfinite(${value}) then cast(${microsOf(value)} as double precision) end`
    default:
      return null
  }
}

function isTime(column: ColumnDef): boolean {
  return column.type.kind === 'date' || column.type.kind === 'timestamp'
}

function hasOrder(column: ColumnDef): boolean {
  return !column.personal && !['bytes', 'json', 'interval'].includes(column.type.kind)
}

function hasLength({ column, isCast }: ProfiledColumn): boolean {
  return column.type.kind === 'text' || column.type.kind === 'json' || isCast
}

/** The aggregates of all columns, to stand in one SELECT. */
export function statisticsOf(columns: readonly ProfiledColumn[]): readonly Sql[] {
  return [sql`count(*) as "rows"`, ...columns.flatMap(aggregatesOf)]
}

function aggregatesOf(profiled: ProfiledColumn, i: number): readonly Sql[] {
  const { column, raw, value, number, isCast } = profiled
  const none = sql`${null}`
  // Not every engine has a smallest truth value or UUID; their texts have the same order.
  const ordered = ['bool', 'uuid'].includes(column.type.kind) ? asText(value) : value
  const moments = number !== null && !isTime(column)
  const shown = (bound: Sql): Sql => sql`substr(${asText(bound)}, 1, ${SHOWN_CHARACTERS})`
  return [
    sql`count(${raw}) as ${ident(`count${i}`)}`,
    sql`least(${distinctAbout(raw)}, count(${raw})) as ${ident(`distinct${i}`)}`,
    sql`${hasOrder(column) ? shown(sql`min(${ordered})`) : none} as ${ident(`min${i}`)}`,
    sql`${hasOrder(column) ? shown(sql`max(${ordered})`) : none} as ${ident(`max${i}`)}`,
    sql`${moments ? sql`avg(${number})` : none} as ${ident(`mean${i}`)}`,
    sql`${moments ? sql`stddev_samp(${number})` : none} as ${ident(`stddev${i}`)}`,
    sql`${hasLength(profiled) ? sql`min(length(${raw}))` : none} as ${ident(`short${i}`)}`,
    sql`${hasLength(profiled) ? sql`max(length(${raw}))` : none} as ${ident(`long${i}`)}`,
    sql`${isCast ? sql`count(${value})` : none} as ${ident(`cast${i}`)}`,
    sql`${number === null ? none : sql`min(${number})`} as ${ident(`from${i}`)}`,
    sql`${number === null ? none : sql`max(${number})`} as ${ident(`to${i}`)}`,
  ]
}

/** Reads the aggregates of `statisticsOf`. */
export function readStatistics(columns: readonly ProfiledColumn[], scan: Row): readonly ColumnStatistics[] {
  const rows = BigInt(scan['rows'] as bigint)
  return columns.map(({ column }, i) => {
    const [from, to] = [finite(scan[`from${i}`]), finite(scan[`to${i}`])]
    return {
      column: column.name,
      rows,
      nulls: rows - (whole(scan[`count${i}`]) ?? 0n),
      distinct: whole(scan[`distinct${i}`]) ?? 0n,
      min: (scan[`min${i}`] ?? null) as string | null,
      max: (scan[`max${i}`] ?? null) as string | null,
      mean: finite(scan[`mean${i}`]),
      stddev: finite(scan[`stddev${i}`]),
      lengthMin: whole(scan[`short${i}`]),
      lengthMax: whole(scan[`long${i}`]),
      castable: whole(scan[`cast${i}`]),
      bounds: from === null || to === null ? null : [from, to],
    }
  })
}

function whole(cell: Row[string] | undefined): bigint | null {
  return cell === null || cell === undefined ? null : BigInt(cell as number | bigint)
}

function finite(cell: Row[string] | undefined): number | null {
  return typeof cell === 'number' && Number.isFinite(cell) ? cell : null
}
