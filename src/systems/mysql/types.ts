import type { ColumnType } from '../../core/types.ts'

/** What the catalog says of a column's type. */
export interface NativeType {
  /** `varchar`, `bigint`, … as `information_schema.columns.data_type` has it. */
  readonly name: string
  /** With length, sign and labels: `bigint(20) unsigned`. */
  readonly full: string
  readonly precision: number | null
  readonly scale: number | null
  readonly charset: string | null
  /** The server checks that it is JSON: how MariaDB keeps a JSON column. */
  readonly isJson: boolean
}

/** How a native column is read. */
export interface NativeColumn {
  readonly type: ColumnType
  /** `utf8`: text that comes as it lies there; `other`: text that the server converts for us; `cast`: what it prints for us. */
  readonly as: 'value' | 'utf8' | 'other' | 'cast'
}

const text: ColumnType = { kind: 'text' }
const int = (bits: 16 | 32 | 64): ColumnType => ({ kind: 'int', bits })
const whole20: ColumnType = { kind: 'decimal', precision: 20, scale: 0 }

/** Charsets whose bytes are UTF-8. */
const UTF8: ReadonlySet<string> = new Set(['utf8', 'utf8mb3', 'utf8mb4', 'ascii'])

const fixed: Readonly<Record<string, ColumnType>> = {
  float: { kind: 'float', bits: 32 },
  double: { kind: 'float', bits: 64 },
  date: { kind: 'date' },
  time: { kind: 'time' },
  datetime: { kind: 'timestamp', zoned: false },
  timestamp: { kind: 'timestamp', zoned: true },
  year: int(16),
  uuid: { kind: 'uuid' },
}

/** Values whose bytes are taken as they are; a geometry is its four bytes of SRID and then WKB. */
const BYTES =
  /^((tiny|medium|long)?blob|(var)?binary|vector|geometry|point|linestring|polygon|multipoint|multilinestring|multipolygon|geom(etry)?collection)$/

/** Maps a native type. What no column type holds exactly (sets, wide decimals, addresses, …) becomes the server's own text. */
export function readAs(native: NativeType): NativeColumn {
  const { name, full } = native
  const integer = integerOf(name, full.includes('unsigned'))
  if (integer !== null) return { type: integer, as: 'value' }
  if (name === 'bit') return { type: bitOf(Number(/\((\d+)\)/.exec(full)?.[1] ?? 1)), as: 'value' }
  if (name === 'decimal') return decimalOf(native)
  const same = fixed[name]
  if (same !== undefined) return { type: same, as: 'value' }
  if (BYTES.test(name)) return { type: { kind: 'bytes' }, as: 'value' }
  if (name === 'json') return { type: { kind: 'json' }, as: 'utf8' }
  if (native.charset === null) return { type: text, as: 'cast' }
  const as = UTF8.has(native.charset) ? 'utf8' : 'other'
  if (name === 'enum') return { type: { kind: 'enum', values: labelsOf(full) }, as }
  return { type: native.isJson ? { kind: 'json' } : text, as }
}

function integerOf(name: string, unsigned: boolean): ColumnType | null {
  switch (name) {
    case 'tinyint':
      return int(16)
    case 'smallint':
      return int(unsigned ? 32 : 16)
    case 'mediumint':
      return int(32)
    case 'int':
      return int(unsigned ? 64 : 32)
    case 'bigint':
      return unsigned ? whole20 : int(64)
    default:
      return null
  }
}

/** One bit is yes or no; more of them are a number without a sign. */
function bitOf(bits: number): ColumnType {
  if (bits === 1) return { kind: 'bool' }
  return bits < 16 ? int(16) : bits < 32 ? int(32) : bits < 64 ? int(64) : whole20
}

function decimalOf({ precision, scale }: NativeType): NativeColumn {
  if (precision === null || scale === null || precision > 38) return { type: text, as: 'cast' }
  return { type: { kind: 'decimal', precision, scale }, as: 'value' }
}

const escapes: Readonly<Record<string, string>> = { '0': '\0', n: '\n', r: '\r' }

/** Labels of `enum('a','it''s')` in their order, as SHOW CREATE TABLE spells them. */
export function labelsOf(full: string): readonly string[] {
  return [...full.matchAll(/'((?:[^'\\]|''|\\.)*)'/gs)].map(([, label]) =>
    (label as string).replace(/''|\\(.)/gs, (_, escaped: string | undefined) =>
      escaped === undefined ? "'" : (escapes[escaped] ?? escaped),
    ),
  )
}
