import { isUtf8 } from 'node:buffer'
import { fixedWidth, type ColumnData } from '../../../core/batch.ts'
import { decimalText } from '../../../core/cell-text.ts'
import type { ColumnDef, ColumnType } from '../../../core/types.ts'
import { AvroFault, type AvroBytes } from './avro-bytes.ts'
import { readJsonText, skipValue, unscaled, type Nesting } from './avro-json.ts'
import type { AvroDecimal, AvroType } from './avro-schema.ts'
import { RowFault } from './row-fault.ts'

/** Rows of a batch. */
export const avroRowsMax = 8192

/** Reads the values of one column, row by row, into the buffers of a batch. */
export interface AvroColumn {
  /** Reads the value of `row`; a `RowFault` leaves the cursor behind the value, and the row may be written again. */
  read(from: AvroBytes, row: number): void
  setNull(row: number): void
  /** Bytes of the values so far. */
  readonly used: number
  /** The first `rows` rows, in buffers of their own. */
  take(rows: number): ColumnData
}

/** Makes the reader of a column; `null` when values of the file's type cannot become the declared ones. */
export function avroColumn(type: AvroType, column: ColumnDef, nesting: Nesting): AvroColumn | null {
  const width = fixedWidth(column.type)
  const store = width === null ? new BytesStore() : new FixedStore(width)
  const put = putOf(type, column.type, store, nesting)
  if (put === null) return null
  return {
    read: (from, row) => {
      const start = from.at
      try {
        put(from, row)
      } catch (error) {
        if (!(error instanceof RowFault)) throw error
        from.at = start
        skipValue(type, from, nesting)
        throw error
      }
    },
    setNull: row => store.setNull(row),
    get used() {
      return store.used
    },
    take: rows => store.take(rows),
  }
}

type Put = (from: AvroBytes, row: number) => void

function putOf(type: AvroType, wanted: ColumnType, store: FixedStore | BytesStore, nesting: Nesting): Put | null {
  if (type.kind === 'null') return (_, row) => store.setNull(row)
  if (type.kind === 'union') return putUnion(type.of, wanted, store, nesting)
  if (store instanceof BytesStore) return putBytes(type, wanted, store, nesting)
  return putFixed(type, wanted, store)
}

function putUnion(
  types: readonly AvroType[],
  wanted: ColumnType,
  store: FixedStore | BytesStore,
  nesting: Nesting,
): Put | null {
  const puts = types.map(type => putOf(type, wanted, store, nesting))
  if (puts.includes(null)) return null
  return (from, row) => {
    const put = puts[from.count()]
    if (put === undefined || put === null) throw new AvroFault('a union of its data has a type that the schema lacks')
    put(from, row)
  }
}

function putBytes(type: AvroType, wanted: ColumnType, store: BytesStore, nesting: Nesting): Put | null {
  const isBytes = type.kind === 'bytes' || type.kind === 'fixed'
  if (wanted.kind === 'bytes') {
    if (!isBytes) return null
    return (from, row) => store.put(from, row, type.kind === 'fixed' ? type.size : from.count())
  }
  if (type.kind === 'string' && wanted.kind !== 'json') return (from, row) => store.putText(from, row, from.count())
  if (isBytes && type.decimal === null && wanted.kind !== 'json') {
    return (from, row) => store.putText(from, row, type.kind === 'fixed' ? type.size : from.count())
  }
  return (from, row) => {
    const json = readJsonText(type, from, nesting)
    // A text may hold JSON itself; every other value is written as JSON, or in a text column as it reads.
    const text =
      json.startsWith('"') && (wanted.kind !== 'json' || type.kind === 'string') ? (JSON.parse(json) as string) : json
    if (wanted.kind === 'json' && type.kind === 'string') assertJson(text)
    if (text.includes('\0')) throw new RowFault('it holds a NUL character')
    store.putBuffer(Buffer.from(text), row)
  }
}

function assertJson(text: string): void {
  try {
    JSON.parse(text)
  } catch {
    throw new RowFault('it is no JSON')
  }
}

const instants = /^(?:local-)?timestamp-(millis|micros|nanos)$/

function putFixed(type: AvroType, wanted: ColumnType, store: FixedStore): Put | null {
  const logical = type.kind === 'int' || type.kind === 'long' || type.kind === 'fixed' ? type.logical : null
  const isWhole = (type.kind === 'int' || type.kind === 'long') && logical === null
  switch (wanted.kind) {
    case 'bool':
      return type.kind === 'boolean' ? (from, row) => store.setByte(row, from.byte() === 0 ? 0 : 1) : null
    case 'int':
      return isWhole ? (from, row) => store.setLong(from, row) : null
    case 'float':
      return isWhole || type.kind === 'float' || type.kind === 'double' ? putFloat(type.kind, wanted.bits, store) : null
    case 'decimal':
      return putDecimal(type, isWhole, wanted, store)
    case 'date':
      return logical === 'date' ? (from, row) => store.setLong(from, row) : null
    case 'time':
      if (logical === 'time-micros') return (from, row) => store.setLong(from, row)
      return logical === 'time-millis' ? (from, row) => store.setBigint(row, from.bigint() * 1000n) : null
    case 'timestamp': {
      const unit = instants.exec(logical ?? '')?.[1]
      if (unit === 'micros') return (from, row) => store.setLong(from, row)
      if (unit === 'millis') return (from, row) => store.setBigint(row, from.bigint() * 1000n)
      return unit === 'nanos' ? (from, row) => store.setBigint(row, micros(from.bigint())) : null
    }
    case 'uuid':
      return putUuid(type, store)
    case 'interval':
      return logical === 'duration' ? (from, row) => store.setDuration(from, row) : null
    default:
      return null
  }
}

function micros(nanos: bigint): bigint {
  if (nanos % 1000n !== 0n) throw new RowFault('its nanoseconds are no whole microseconds', nanos)
  return nanos / 1000n
}

function putFloat(kind: AvroType['kind'], bits: 32 | 64, store: FixedStore): Put {
  return (from, row) => {
    const value =
      kind === 'float'
        ? from.bytes.readFloatLE(from.take(4))
        : kind === 'double'
          ? from.bytes.readDoubleLE(from.take(8))
          : exactNumber(from.bigint())
    if (bits === 32 && !Object.is(Math.fround(value), value)) throw new RowFault('it is no number of 32 bits', value)
    store.setFloat(row, value)
  }
}

function exactNumber(value: bigint): number {
  if (BigInt(Number(value)) !== value) throw new RowFault('it is no exact floating point number', value)
  return Number(value)
}

function putDecimal(
  type: AvroType,
  isWhole: boolean,
  wanted: Extract<ColumnType, { kind: 'decimal' }>,
  store: FixedStore,
): Put | null {
  const limit = 10n ** BigInt(wanted.precision)
  const set = (row: number, units: bigint, given: AvroDecimal): void => {
    const shift = wanted.scale - given.scale
    const scaled = shift >= 0 ? units * 10n ** BigInt(shift) : units / 10n ** BigInt(-shift)
    const isExact = shift >= 0 || scaled * 10n ** BigInt(-shift) === units
    if (!isExact || scaled <= -limit || scaled >= limit)
      throw new RowFault('it does not fit', decimalText(units, given.scale))
    store.setBigint(row, scaled)
  }
  if (isWhole) return (from, row) => set(row, from.bigint(), { precision: 19, scale: 0 })
  if ((type.kind !== 'bytes' && type.kind !== 'fixed') || type.decimal === null) return null
  const { decimal } = type
  return (from, row) => {
    const length = type.kind === 'fixed' ? type.size : from.count()
    const start = from.take(length)
    if (length > 64) throw new RowFault(`a decimal of ${length} bytes does not fit`)
    set(row, unscaled(from.bytes.subarray(start, start + length)), decimal)
  }
}

function putUuid(type: AvroType, store: FixedStore): Put | null {
  if (type.kind === 'fixed' && type.size === 16) {
    return (from, row) => {
      const start = from.take(16)
      store.setUuid(row, from.bytes.subarray(start, start + 16))
    }
  }
  if (type.kind !== 'string') return null
  return (from, row) => {
    const start = from.take(from.count())
    const text = from.bytes.toString('latin1', start, Math.min(from.at, start + 40))
    if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) throw new RowFault('it is no UUID', text)
    store.setUuid(row, Buffer.from(text.replaceAll('-', ''), 'hex'))
  }
}

class Validity {
  readonly bits = new Uint8Array(avroRowsMax / 8)
  #nulls = false

  set(row: number, valid: boolean): void {
    const bit = 1 << (row & 7)
    const before = this.bits[row >> 3] as number
    this.bits[row >> 3] = valid ? before | bit : before & ~bit
    if (!valid) this.#nulls = true
  }

  take(rows: number): Uint8Array | null {
    const taken = this.#nulls ? this.bits.slice(0, Math.ceil(rows / 8)) : null
    this.#nulls = false
    return taken
  }
}

class FixedStore {
  readonly #width: 1 | 2 | 4 | 8 | 16
  readonly #data: Uint8Array
  readonly #view: DataView
  readonly #validity = new Validity()
  readonly used = 0

  constructor(width: 1 | 2 | 4 | 8 | 16) {
    this.#width = width
    this.#data = new Uint8Array(avroRowsMax * width)
    this.#view = new DataView(this.#data.buffer)
  }

  setNull(row: number): void {
    this.#validity.set(row, false)
  }

  setByte(row: number, value: number): void {
    this.#data[row] = value
    this.#validity.set(row, true)
  }

  /** The next number of the data, when this width holds it. */
  setLong(from: AvroBytes, row: number): void {
    from.long()
    const { low, high } = from
    const fits = this.#width === 8 || (high === low >> 31 && (this.#width === 4 || low === (low << 16) >> 16))
    if (!fits)
      throw new RowFault(`it does not fit into ${this.#width * 8} bits`, (BigInt(high) << 32n) | BigInt(low >>> 0))
    const at = row * this.#width
    if (this.#width === 2) this.#view.setInt16(at, low, true)
    else this.#view.setInt32(at, low, true)
    if (this.#width === 8) this.#view.setInt32(at + 4, high, true)
    this.#validity.set(row, true)
  }

  /** A whole number that is known to fit into 128 bits. */
  setBigint(row: number, value: bigint): void {
    const bits = this.#width * 8
    if (BigInt.asIntN(bits, value) !== value) throw new RowFault(`it does not fit into ${bits} bits`, value)
    const at = row * this.#width
    if (this.#width === 2) this.#view.setInt16(at, Number(value), true)
    else if (this.#width === 4) this.#view.setInt32(at, Number(value), true)
    else this.#view.setBigInt64(at, BigInt.asIntN(64, value), true)
    if (this.#width === 16) this.#view.setBigInt64(at + 8, value >> 64n, true)
    this.#validity.set(row, true)
  }

  setFloat(row: number, value: number): void {
    if (this.#width === 4) this.#view.setFloat32(row * 4, value, true)
    else this.#view.setFloat64(row * 8, value, true)
    this.#validity.set(row, true)
  }

  setUuid(row: number, bytes: Uint8Array): void {
    this.#data.set(bytes, row * 16)
    this.#validity.set(row, true)
  }

  /** Months, days and milliseconds without sign. */
  setDuration(from: AvroBytes, row: number): void {
    const start = from.take(12)
    const [months, days, millis] = [0, 4, 8].map(at => from.bytes.readUInt32LE(start + at)) as [number, number, number]
    if (months > 0x7fffffff || days > 0x7fffffff) throw new RowFault('its months or days do not fit into 32 bits')
    this.#view.setInt32(row * 16, months, true)
    this.#view.setInt32(row * 16 + 4, days, true)
    this.#view.setBigInt64(row * 16 + 8, BigInt(millis) * 1000n, true)
    this.#validity.set(row, true)
  }

  take(rows: number): ColumnData {
    const data = this.#data.slice(0, rows * this.#width)
    return { layout: 'fixed', width: this.#width, validity: this.#validity.take(rows), data }
  }
}

class BytesStore {
  #data = Buffer.allocUnsafe(64 << 10)
  readonly #offsets = new Uint32Array(avroRowsMax + 1)
  readonly #validity = new Validity()
  used = 0

  setNull(row: number): void {
    this.#validity.set(row, false)
    this.#end(row, this.#offsets[row] as number)
  }

  put(from: AvroBytes, row: number, length: number): void {
    const start = from.take(length)
    this.putBuffer(from.bytes.subarray(start, start + length), row)
  }

  putText(from: AvroBytes, row: number, length: number): void {
    const start = from.take(length)
    const bytes = from.bytes.subarray(start, start + length)
    let odd = false
    for (const byte of bytes) odd ||= byte === 0 || byte > 127
    if (odd && bytes.includes(0)) throw new RowFault('it holds a NUL character')
    if (odd && !isUtf8(bytes)) throw new RowFault('it is not text in UTF-8')
    this.putBuffer(bytes, row)
  }

  putBuffer(bytes: Uint8Array, row: number): void {
    const at = this.#offsets[row] as number
    if (at + bytes.length > this.#data.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#data.length * 2, at + bytes.length))
      this.#data.copy(larger, 0, 0, at)
      this.#data = larger
    }
    this.#data.set(bytes, at)
    this.#validity.set(row, true)
    this.#end(row, at + bytes.length)
  }

  #end(row: number, at: number): void {
    this.#offsets[row + 1] = at
    this.used = at
  }

  take(rows: number): ColumnData {
    const offsets = this.#offsets.slice(0, rows + 1)
    const data = Uint8Array.prototype.slice.call(this.#data, 0, offsets[rows])
    this.used = 0
    return { layout: 'bytes', validity: this.#validity.take(rows), offsets, data }
  }
}
