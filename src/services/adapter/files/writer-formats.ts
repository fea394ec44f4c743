import { fail } from '../../../core/errors.ts'
import { ident, joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { WriteTarget, WrittenFile } from '../contract-writes.ts'
import { avroNamed } from './writer-avro.ts'
import { csvMisfits, csvOf, csvOptions, type CsvWriting, type Misfits, type Refuse } from './writer-csv.ts'

/** How the file of a target is written. `options` are those of DuckDB's COPY, where it writes the file. */
export type Format =
  | { readonly kind: 'parquet'; readonly codec: string; readonly options: Sql }
  | { readonly kind: 'avro'; readonly codec: 'null' | 'deflate' }
  | { readonly kind: 'csv'; readonly csv: CsvWriting; readonly options: Sql }
  | { readonly kind: 'ndjson'; readonly options: Sql }

/** The format of a target by its name and what is asked. Throws `WRITE_TARGET` for what the format has no place for. */
export function formatOf({ source, target }: { readonly source: string; readonly target: WriteTarget }): Format {
  const refuse: Refuse = problem => fail('WRITE_TARGET', { system: source, table: target.remote, problem })
  const { columns, file = {} } = target
  const [, ending = '', packed = ''] =
    /\.(parquet|avro|csv|tsv|ndjson|jsonl)(?:\.(gz|zst))?$/i.exec(target.remote.toLowerCase()) ?? []
  assertFits(ending, file, refuse)
  const compression = packed === '' ? sql`` : sql`, compression ${packed === 'gz' ? 'gzip' : 'zstd'}`
  switch (ending) {
    case 'parquet':
      if (packed === '') return parquetOf(file, refuse)
      break
    case 'avro':
      if (packed !== '') break
      for (const { name } of columns) if (!avroNamed.test(name)) throw refuse(`a name in Avro has letters, digits and _ of ASCII only, unlike "${name}"`) // prettier-ignore
      return { kind: 'avro', codec: chosen(file, { deflate: 'deflate', none: 'null' }, refuse) }
    case 'csv':
    case 'tsv': {
      const csv = csvOf(file, ending, columns, refuse)
      return { kind: 'csv', csv, options: sql`${csvOptions(csv, columns)}${compression}` }
    }
    case 'ndjson':
    case 'jsonl':
      return { kind: 'ndjson', options: sql`format json${compression}` }
  }
  throw refuse(
    'its name must end in .parquet, .avro, .csv, .tsv or .ndjson; the last three may be packed (.csv.gz, .csv.zst)',
  )
}

function parquetOf(file: WrittenFile, refuse: Refuse): Format {
  const codec = chosen(file, { snappy: 'snappy', zstd: 'zstd', gzip: 'gzip', none: 'uncompressed' }, refuse)
  return { kind: 'parquet', codec, options: sql`format parquet, compression ${codec}` }
}

/** The first codec is the one that is taken when nothing is said. */
function chosen<C extends string>(file: WrittenFile, codecs: Readonly<Record<string, C>>, refuse: Refuse): C {
  const { compression = Object.keys(codecs)[0] as string } = file
  const codec = Object.hasOwn(codecs, compression) ? codecs[compression] : undefined
  if (codec === undefined) throw refuse(`its compression is one of ${Object.keys(codecs).join(', ')}`)
  return codec
}

function assertFits(ending: string, file: WrittenFile, refuse: Refuse): void {
  const isText = !['parquet', 'avro'].includes(ending)
  if (isText && file.compression !== undefined) {
    throw refuse('its name says how it is packed (.csv.gz, .csv.zst); --compression is of Parquet and Avro')
  }
  if (ending === 'csv' || ending === 'tsv') return
  const odd = Object.entries({
    delimiter: file.delimiter,
    quote: file.quote,
    escape: file.escape,
    'null-text': file.nullText,
    'no-header': file.header === false ? '' : undefined,
  }).find(([, value]) => value !== undefined)
  if (odd !== undefined) throw refuse(`--${odd[0]} is of CSV`)
}

/** The column as a part of the stage keeps it: an interval of Parquet has no sign and no microseconds, so it is text there. */
export function kept({ name, type }: ColumnDef): Sql {
  const column = ident(name)
  return type.kind === 'interval' ? sql`cast(${column} as varchar) as ${column}` : sql`${column}`
}

/** What of these columns the format cannot hold. */
export function misfits(columns: readonly ColumnDef[], format: Format): readonly Misfits[] {
  switch (format.kind) {
    case 'ndjson':
      return []
    case 'csv':
      return csvMisfits(columns, format.csv)
    case 'parquet':
      return binaryMisfits(columns, 'Parquet')
    case 'avro':
      return [...binaryMisfits(columns, 'Avro'), ...avroMisfits(columns)]
  }
}

function binaryMisfits(columns: readonly ColumnDef[], format: string): readonly Misfits[] {
  return columns.flatMap(({ name, type }): readonly Misfits[] => {
    const column = sql`${ident(name)}`
    if (type.kind === 'date' || type.kind === 'timestamp') {
      return [{ name, unfit: sql`isinf(${column})`, problem: `${format} has no infinity of dates and times` }]
    }
    if (type.kind !== 'interval') return []
    const problem = `an interval of ${format} has no sign, whole milliseconds, and less than 50 days of hours`
    return [{ name, unfit: sql`not (${isDuration(column)})`, problem }]
  })
}

/** Bytes of a row of Avro that readers, ours among them, still take: they hold a block at once. */
const avroRowBytesMax = 63 << 20

function avroMisfits(columns: readonly ColumnDef[]): readonly Misfits[] {
  const times = columns.filter(({ type }) => type.kind === 'time')
  const long = columns.filter(({ type }) => ['text', 'enum', 'json', 'bytes'].includes(type.kind))
  const sizes = long.map(({ name, type }) => {
    const size = type.kind === 'bytes' ? sql`octet_length(${ident(name)})` : sql`strlen(${ident(name)})`
    return sql`coalesce(${size}, 0)`
  })
  return [
    ...times.map(({ name }) => ({
      name,
      unfit: sql`cast(${ident(name)} as varchar) = '24:00:00'`,
      problem: 'a time of Avro is before 24:00',
    })),
    ...long.slice(0, 1).map(({ name }) => ({
      name: long.length === 1 ? name : long.map(it => it.name).join('", "'),
      unfit: sql`${joinSql(sizes, ' + ')} > ${avroRowBytesMax}`,
      problem: `a row of Avro has less than ${avroRowBytesMax} bytes, because readers hold it whole`,
    })),
  ]
}

/** Months, days and milliseconds, each 32 bits without a sign. */
function isDuration(interval: Sql): Sql {
  const part = (name: string): Sql => sql`datepart(${name}, ${interval})`
  const parts = ['year', 'month', 'day', 'hour', 'minute', 'microsecond']
  const time = sql`(${part('hour')} * 3600000 + ${part('minute')} * 60000 + ${part('microsecond')} // 1000)`
  const isPositive = joinSql(
    parts.map(name => sql`${part(name)} >= 0`),
    ' and ',
  )
  return sql`${interval} is null or (${isPositive} and ${part('microsecond')} % 1000 = 0 and ${time} < 4294967296)`
}

/** Digits of a decimal that a reader of JSON, which makes floats of numbers, still gets exactly. */
const jsonDigitsMax = 15

/** The column as the format keeps it exactly: bytes in text are hexadecimal, long decimals in JSON are strings. */
export function spelled({ name, type }: ColumnDef, format: Format['kind']): Sql {
  const column = ident(name)
  if (format === 'parquet' || format === 'avro') {
    return type.kind === 'interval' ? sql`cast(${column} as interval) as ${column}` : sql`${column}`
  }
  if (type.kind === 'bytes') return sql`'\\x' || lower(hex(${column})) as ${column}`
  // As text each value is put in quotes by what stands in it, whatever its type.
  if (format === 'csv') return sql`cast(${column} as varchar) as ${column}`
  if (type.kind === 'float') {
    // JSON has no number for them: written bare, no reader would take the line.
    return sql`case when isfinite(${column}) then to_json(${column}) else to_json(cast(${column} as varchar)) end as ${column}`
  }
  if (type.kind !== 'decimal' || type.precision <= jsonDigitsMax) return sql`${column}`
  return sql`cast(${column} as varchar) as ${column}`
}
