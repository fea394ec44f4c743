import { lengthAt, ProtocolError, WIRE } from '../protocol.ts'

/** Types of columns that only the log has; the others are those of `WIRE`. */
export const LOGGED = {
  newDate: 14,
  varchar: 15,
  timestamp2: 17,
  datetime2: 18,
  time2: 19,
  blobCompressed: 140,
  varcharCompressed: 141,
  enum: 247,
  set: 248,
  blob: 252,
  varString: 253,
  string: 254,
} as const

/** A column as the log has it. What `binlog_row_metadata` leaves out is `null`. */
export interface LoggedColumn {
  /** A number of `WIRE` or `LOGGED`; enums and sets under their own. */
  readonly type: number
  /** Longest value in bytes, bytes of a length, bits, or digits after the second, as the type has it. */
  readonly size: number
  /** Digits after the point of a decimal, whose digits are `size`. */
  readonly scale: number
  readonly name: string | null
  readonly unsigned: boolean | null
  /** Number of its collation. */
  readonly collation: number | null
  /** Labels of an enum or a set, in the bytes of its charset. */
  readonly labels: readonly Buffer[] | null
}

/** A table as it was when the rows behind it were written. */
export interface TableMap {
  readonly id: number
  readonly schema: string
  readonly table: string
  readonly columns: readonly LoggedColumn[]
  /** Places of the columns of the primary key; `null` when the log does not say. */
  readonly key: readonly number[] | null
}

const COLUMNS_MAX = 4096

/** Bytes before the name of the table, which differ each time the server opens the table. */
export const TABLE_ID_BYTES = 6

/** The number of the table that a map or an event of rows is about. */
export function tableIdOf(body: Buffer): number {
  if (body.length < TABLE_ID_BYTES + 2) throw new ProtocolError('the server sent rows of no table')
  return body.readUIntLE(0, TABLE_ID_BYTES)
}

/** Reads the event that stands before the rows of a table. */
export function tableMapOf(body: Buffer): TableMap {
  const id = tableIdOf(body)
  const reader = new Reader(body, TABLE_ID_BYTES + 2)
  const schema = reader.shortText()
  const table = reader.shortText()
  const count = reader.length()
  if (count > COLUMNS_MAX) throw new ProtocolError(`the log has a table of ${count} columns`)
  const types = reader.bytes(count)
  const sizes = new Reader(reader.bytes(reader.length()), 0)
  const plain = Array.from(types, type => sizedColumn(type, sizes))
  if (!sizes.isAtEnd) throw new ProtocolError('the sizes of the columns of a table are too many')
  reader.bytes((count + 7) >> 3) // which may be NULL: the rows say it themselves
  return { id, schema, table, ...withMetadata(plain, reader) }
}

type Sized = Pick<LoggedColumn, 'type' | 'size' | 'scale'>

function sizedColumn(type: number, sizes: Reader): Sized {
  const sized = (size: number, scale = 0): Sized => ({ type, size, scale })
  switch (type) {
    case WIRE.float:
    case WIRE.double:
    case LOGGED.blob:
    case LOGGED.blobCompressed:
    case WIRE.json:
    case WIRE.geometry:
    case LOGGED.timestamp2:
    case LOGGED.datetime2:
    case LOGGED.time2:
      return sized(sizes.byte())
    case WIRE.newDecimal:
      return sized(sizes.byte(), sizes.byte())
    case WIRE.bit: {
      const rest = sizes.byte()
      return sized(sizes.byte() * 8 + rest)
    }
    case LOGGED.varchar:
    case LOGGED.varcharCompressed:
      return sized(sizes.byte() + sizes.byte() * 256)
    case LOGGED.string:
    case LOGGED.varString:
    case LOGGED.enum:
    case LOGGED.set:
      return stringColumn(sizes.byte(), sizes.byte())
    default:
      return sized(0)
  }
}

/** The first byte is the real type; two of its bits, turned round, are those above 255 of the length. */
function stringColumn(first: number, second: number): Sized {
  return { type: first | 0x30, size: second | (((first & 0x30) ^ 0x30) << 4), scale: 0 }
}

const FIELD = {
  signs: 1,
  defaultCharset: 2,
  charsets: 3,
  names: 4,
  setLabels: 5,
  enumLabels: 6,
  key: 8,
  keyParts: 9,
  defaultLabelCharset: 10,
  labelCharsets: 11,
} as const

const NUMERIC: ReadonlySet<number> = new Set([
  WIRE.tiny,
  WIRE.short,
  WIRE.int24,
  WIRE.long,
  WIRE.longlong,
  WIRE.float,
  WIRE.double,
  WIRE.newDecimal,
])
const TEXTS: ReadonlySet<number> = new Set([
  LOGGED.string,
  LOGGED.varString,
  LOGGED.varchar,
  LOGGED.blob,
  LOGGED.blobCompressed,
  LOGGED.varcharCompressed,
])
const LABELED: ReadonlySet<number> = new Set([LOGGED.enum, LOGGED.set])

type Filled = { -readonly [P in keyof LoggedColumn]: LoggedColumn[P] }

/** Reads what `binlog_row_metadata` adds, as far as it goes. */
function withMetadata(plain: readonly Sized[], reader: Reader): Pick<TableMap, 'columns' | 'key'> {
  const columns: Filled[] = plain.map(it => ({ ...it, name: null, unsigned: null, collation: null, labels: null }))
  const among = (types: ReadonlySet<number>): Filled[] => columns.filter(({ type }) => types.has(type))
  let key: number[] | null = null
  while (!reader.isAtEnd) {
    const field = reader.byte()
    const value = new Reader(reader.bytes(reader.length()), 0)
    switch (field) {
      case FIELD.signs:
        readSigns(among(NUMERIC), value)
        break
      case FIELD.defaultCharset:
      case FIELD.defaultLabelCharset:
        readDefaultCharset(among(field === FIELD.defaultCharset ? TEXTS : LABELED), value)
        break
      case FIELD.charsets:
      case FIELD.labelCharsets:
        for (const column of among(field === FIELD.charsets ? TEXTS : LABELED)) column.collation = value.length()
        break
      case FIELD.names:
        for (const column of columns) column.name = value.bytes(value.length()).toString('utf8')
        break
      case FIELD.setLabels:
      case FIELD.enumLabels:
        for (const column of among(new Set([field === FIELD.setLabels ? LOGGED.set : LOGGED.enum]))) {
          column.labels = Array.from({ length: labelCount(value) }, () => value.bytes(value.length()))
        }
        break
      case FIELD.key:
      case FIELD.keyParts:
        key = []
        while (!value.isAtEnd) {
          key.push(value.length())
          if (field === FIELD.keyParts) value.length()
        }
        break
      default:
    }
  }
  return { columns, key }
}

const LABELS_MAX = 65_535

function labelCount(value: Reader): number {
  const count = value.length()
  if (count > LABELS_MAX) throw new ProtocolError(`the log has a column of ${count} labels`)
  return count
}

/** A bit for each number, the most significant first; 1 is unsigned. */
function readSigns(columns: readonly Filled[], value: Reader): void {
  const bits = value.bytes((columns.length + 7) >> 3)
  for (const [i, column] of columns.entries()) {
    column.unsigned = ((bits[i >> 3] as number) & (0x80 >> (i & 7))) !== 0
  }
}

function readDefaultCharset(columns: readonly Filled[], value: Reader): void {
  const collation = value.length()
  for (const column of columns) column.collation = collation
  while (!value.isAtEnd) {
    const column = columns[value.length()]
    const own = value.length()
    if (column !== undefined) column.collation = own
  }
}

/** Reads on and on, and never past the end. */
class Reader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  byte(): number {
    return this.bytes(1)[0] as number
  }

  length(): number {
    if (this.isAtEnd) throw tooShort()
    const { value, next } = lengthAt(this.#bytes, this.#at)
    this.#at = next
    if (value > 0xff_ff_ff_ffn) throw tooShort()
    return Number(value)
  }

  bytes(count: number): Buffer {
    const from = this.#at
    if (from + count > this.#bytes.length) throw tooShort()
    this.#at += count
    return this.#bytes.subarray(from, this.#at)
  }

  /** Text behind its length in one byte, with a zero at its end. */
  shortText(): string {
    const text = this.bytes(this.byte()).toString('utf8')
    this.bytes(1)
    return text
  }
}

function tooShort(): Error {
  return new ProtocolError('the server sent a table that is none')
}
