import { fileEnding, formatOfEnding } from '../core/file-ending.ts'
import type { FileFormat as Format } from '../services/adapter/contract-files.ts'
import { checkedOptions } from './handle.ts'
import { mistake } from './mistake.ts'

/** CSV that is not as RFC 4180 says. What is not given is found from the header. */
export interface CsvFormat {
  readonly kind: 'csv'
  /** One character between two fields: `';'`, `'\t'`. */
  readonly delimiter?: string
  /** One character around a field, or `'none'`. */
  readonly quote?: string
  /**
   * One character that makes a delimiter, quote, line end or itself behind it a part of the value: `'\\'`, as Spark, Hive and
   * MySQL write. Before a letter or a digit it stands for itself.
   */
  readonly escape?: string
  /** `false`: there is no header line, and the fields are the declared columns in order. */
  readonly header?: boolean
  /** Texts without quotes that mean NULL: `['NULL', '\\N']`. An empty field always does. */
  readonly nulls?: readonly string[]
}

/** One JSON document with an array of objects in it. */
export interface JsonFormat {
  readonly kind: 'json'
  /** Names of the members that lead to the array: `'result.items'`. */
  readonly path: string
}

/** Lines in which each field has its place. */
export interface FixedFormat<N extends string> {
  readonly kind: 'fixed'
  /** The width of each field, in the order of the line; a name that begins with `_` is passed over. */
  readonly widths: { readonly [F in N | `_${string}`]?: number }
  /** What a width counts: characters unless given; older systems count bytes of their encoding. */
  readonly unit?: 'characters' | 'bytes'
  /** The first line is a header and holds no row. */
  readonly header?: boolean
}

/** How the rows of a file are written: a word, or an object where more is to be said. */
export type FileFormat<N extends string> =
  | 'csv'
  | 'ndjson'
  | 'json'
  | 'parquet'
  | 'avro'
  | CsvFormat
  | JsonFormat
  | FixedFormat<N>

const plainCsv: Format = { kind: 'csv', delimiter: null, quote: null, header: true, nulls: [] }

/** The format as the model keeps it; one that is not given is told from the end of the pattern, and is CSV otherwise. */
export function formatOf(where: string, given: FileFormat<string> | undefined, glob: string): Format {
  if (typeof given === 'object' && given !== null) return written(where, given)
  switch (given ?? formatOfEnding(fileEnding(glob)) ?? 'csv') {
    case 'ndjson':
      return { kind: 'ndjson' }
    case 'json':
      return { kind: 'json', path: [] }
    case 'parquet':
      return { kind: 'parquet' }
    case 'avro':
      return { kind: 'avro' }
    case 'csv':
      return plainCsv
    default:
      throw mistake(`${where}: the format "${String(given)}" is not one of csv, ndjson, json, fixed, parquet, avro`)
  }
}

function written(where: string, given: CsvFormat | JsonFormat | FixedFormat<string>): Format {
  switch (given.kind) {
    case 'csv':
      return csvOf(where, given)
    case 'json':
      checkedOptions(`the format of ${where}`, given, ['kind', 'path'])
      return { kind: 'json', path: given.path === '' ? [] : given.path.split('.') }
    case 'fixed':
      return fixedOf(where, given)
    default:
      throw mistake(`${where}: the format "${String((given as { kind: unknown }).kind)}" takes no options`)
  }
}

function csvOf(where: string, given: CsvFormat): Format {
  checkedOptions(`the format of ${where}`, given, ['kind', 'delimiter', 'quote', 'escape', 'header', 'nulls'])
  const { delimiter = null, escape, header = true, nulls = [] } = given
  const quote = given.quote === 'none' ? '' : (given.quote ?? null)
  for (const [name, value] of [
    ['delimiter', delimiter],
    ['quote', quote === '' ? null : quote],
    ['escape', escape ?? null],
  ] as const) {
    if (value !== null && !/^[^\r\n\0\u0080-\uffff]$/.test(value)) {
      throw mistake(`the format of ${where}: the ${name} is one ASCII character, not ${JSON.stringify(value)}`)
    }
  }
  if (delimiter !== null && delimiter === quote)
    throw mistake(`the format of ${where}: delimiter and quote are the same`)
  if (escape !== undefined && (escape === delimiter || escape === (quote ?? '"')))
    throw mistake(`the format of ${where}: the escape is the delimiter or the quote`)
  return { kind: 'csv', delimiter, quote, ...(escape === undefined ? {} : { escape }), header, nulls: [...nulls] }
}

function fixedOf(where: string, given: FixedFormat<string>): Format {
  checkedOptions(`the format of ${where}`, given, ['kind', 'widths', 'unit', 'header'])
  const fields = Object.entries(given.widths).map(([name, width]) => ({ name, width: width ?? 0 }))
  const bad = fields.find(({ width }) => !Number.isInteger(width) || width < 1 || width > 65_535)
  if (bad !== undefined) throw mistake(`the format of ${where}: the width of ${bad.name} is a whole number from 1 on`)
  return { kind: 'fixed', fields, unit: given.unit ?? 'characters', header: given.header ?? false }
}

/** Columns whose values stand in the path of a file: `orders/dt=2026-01-01/part.csv` has `dt`. */
export function partitionsOf(glob: string): readonly string[] {
  return [...glob.matchAll(/(?:^|\/)([^/=*?]+)=/g)].map(match => match[1] as string)
}
