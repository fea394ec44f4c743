import { INFINITY_DAYS, INFINITY_MICROS } from '../../../core/batch.ts'
import { ident, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import type { Value } from '../../../systems/cells/batches.ts'

/** How a type of CQL is read: what it becomes, what is selected for it, and how that is decoded. */
interface Reading {
  readonly type: ColumnType
  readonly select: 'blob' | 'bytes' | 'text' | 'json'
  readonly decode: (bytes: Buffer) => Value
}

const text: ColumnType = { kind: 'text' }
const asText = (bytes: Buffer): Value => ({ text: bytes })
/** A value in the server's own words: what no column type holds exactly. */
const inWords: Reading = { type: text, select: 'text', decode: asText }

const readings: Readonly<Record<string, Reading>> = {
  ascii: { type: text, select: 'blob', decode: asText },
  text: { type: text, select: 'blob', decode: asText },
  varchar: { type: text, select: 'blob', decode: asText },
  blob: { type: { kind: 'bytes' }, select: 'bytes', decode: bytes => ({ cell: bytes }) },
  boolean: fixed({ kind: 'bool' }, 1, bytes => bytes.readUInt8(0)),
  tinyint: fixed({ kind: 'int', bits: 16 }, 1, bytes => bytes.readInt8(0)),
  smallint: fixed({ kind: 'int', bits: 16 }, 2, bytes => bytes.readInt16BE(0)),
  int: fixed({ kind: 'int', bits: 32 }, 4, bytes => bytes.readInt32BE(0)),
  bigint: fixed({ kind: 'int', bits: 64 }, 8, bytes => bytes.readBigInt64BE(0)),
  counter: { type: { kind: 'int', bits: 64 }, select: 'text', decode: asText },
  float: fixed({ kind: 'float', bits: 32 }, 4, bytes => bytes.readFloatBE(0)),
  double: fixed({ kind: 'float', bits: 64 }, 8, bytes => bytes.readDoubleBE(0)),
  uuid: fixed({ kind: 'uuid' }, 16, bytes => bytes),
  timeuuid: fixed({ kind: 'uuid' }, 16, bytes => bytes),
  date: { type: { kind: 'date' }, select: 'blob', decode: dateValue },
  timestamp: { type: { kind: 'timestamp', zoned: true }, select: 'blob', decode: timestampValue },
  // Any number of digits, nanoseconds, months beside days: no column type holds them.
  varint: inWords,
  decimal: inWords,
  inet: inWords,
  time: inWords,
  duration: { type: text, select: 'json', decode: bytes => ({ text: Buffer.from(String(JSON.parse(String(bytes)))) }) },
}

/** Lists, sets, maps, tuples, vectors and user types: the server's own JSON. */
const nested: Reading = { type: { kind: 'json' }, select: 'json', decode: asText }

function readingOf(nativeType: string): Reading {
  return Object.hasOwn(readings, nativeType) ? (readings[nativeType] as Reading) : nested
}

/** The column type of a type of CQL. */
export function typeOf(nativeType: string): ColumnType {
  return readingOf(nativeType).type
}

/** What is selected for a column, so that its value arrives as the server holds or spells it. */
export function selected(column: string, nativeType: string): Sql {
  const name = ident(column)
  switch (readingOf(nativeType).select) {
    case 'bytes':
      return sql`${name}`
    case 'blob':
      return sql`${rawSql(`${nativeType}asblob`)}(${name})`
    case 'text':
      return sql`cast(${name} as text)`
    case 'json':
      return sql`tojson(${name})`
  }
}

/** The value of a column as the driver gave it: bytes, or text of the server. */
export function valueOf(nativeType: string, given: unknown): Value {
  if (given === null || given === undefined) return null
  const reading = readingOf(nativeType)
  // The server spells a missing value so, and no list or object.
  if (reading.select === 'json' && given === 'null') return null
  return reading.decode(Buffer.isBuffer(given) ? given : Buffer.from(String(given)))
}

/** A value of so many bytes. Cassandra also keeps empty ones, which are neither a value nor NULL. */
function fixed(type: ColumnType, width: number, read: (bytes: Buffer) => number | bigint | Buffer): Reading {
  const decode = (bytes: Buffer): Value =>
    bytes.length === width
      ? { cell: read(bytes) }
      : { misfit: `has ${bytes.length} bytes, not ${width}`, content: hex(bytes) }
  return { type, select: 'blob', decode }
}

const daysOffset = 2 ** 31

function dateValue(bytes: Buffer): Value {
  if (bytes.length !== 4) return { misfit: `has ${bytes.length} bytes, not 4`, content: hex(bytes) }
  const days = bytes.readUInt32BE(0) - daysOffset
  // The outermost days stand for the infinities that other systems have.
  if (Math.abs(days) >= INFINITY_DAYS) return { misfit: 'is out of the range of dates', content: hex(bytes) }
  return { cell: days }
}

/** The first moment that a column of an engine holds, in microseconds: 290309-12-22 BC. */
const microsMin = -9_223_372_022_400_000_000n

function timestampValue(bytes: Buffer): Value {
  if (bytes.length !== 8) return { misfit: `has ${bytes.length} bytes, not 8`, content: hex(bytes) }
  const micros = bytes.readBigInt64BE(0) * 1000n
  if (micros < microsMin || micros >= INFINITY_MICROS) {
    return { misfit: 'is out of the range of timestamps', content: Buffer.from(String(micros / 1000n)) }
  }
  return { cell: micros }
}

function hex(bytes: Buffer): Buffer {
  return Buffer.from(`0x${bytes.toString('hex')}`)
}
