import { createHash } from 'node:crypto'
import zlib from 'node:zlib'
import { isValid, type ColumnBatch, type ColumnData } from '../../../core/batch.ts'
import type { ColumnDef, ColumnType } from '../../../core/types.ts'
import type { WriteTarget } from '../contract-writes.ts'

/** What Avro takes as the name of a column. */
export const avroNamed = /^[A-Za-z_][A-Za-z0-9_]*$/

/** Bytes of a block before it is packed, but for a single row that has more. */
const blockBytes = 64 << 10

/**
 * The bytes of an Avro object container file with the rows of `batches`: the same rows of the same target give the same
 * bytes. It holds one block at a time. Every column may be NULL; its type in Avro is the one that holds its values exactly.
 */
export async function* writeAvro(
  batches: AsyncIterable<ColumnBatch>,
  { id, columns }: Pick<WriteTarget, 'id' | 'columns'>,
  codec: 'null' | 'deflate',
): AsyncGenerator<Uint8Array, void> {
  const schema = JSON.stringify(avroSchema(columns))
  const sync = createHash('sha256').update(id).update(schema).digest().subarray(0, 16)
  yield headerOf(schema, codec, sync)
  const puts = columns.map(({ type }) => putOf(type))
  const block = new AvroOut()
  let rows = 0
  for await (const batch of batches) {
    const cells = batch.columns.map(cellsOf)
    for (let row = 0; row < batch.rows; row++) {
      for (let c = 0; c < cells.length; c++) putCell(block, cells[c] as Cells, row, puts[c] as Put)
      rows++
      if (block.used < blockBytes) continue
      yield blockOf(block, { rows, codec, sync })
      rows = 0
    }
  }
  if (rows > 0) yield blockOf(block, { rows, codec, sync })
}

/** The schema of a row: each column is its type or null. */
export function avroSchema(columns: readonly ColumnDef[]): unknown {
  const fields = columns.map(({ name, type }, i) => ({ name, type: ['null', avroType(type, i)], default: null }))
  return { type: 'record', name: 'row', fields }
}

function avroType(type: ColumnType, column: number): unknown {
  switch (type.kind) {
    case 'bool':
      return 'boolean'
    case 'int':
      return type.bits === 64 ? 'long' : 'int'
    case 'float':
      return type.bits === 32 ? 'float' : 'double'
    case 'decimal':
      return { type: 'bytes', logicalType: 'decimal', precision: type.precision, scale: type.scale }
    case 'date':
      return { type: 'int', logicalType: 'date' }
    case 'time':
      return { type: 'long', logicalType: 'time-micros' }
    case 'timestamp':
      return { type: 'long', logicalType: type.zoned ? 'timestamp-micros' : 'local-timestamp-micros' }
    case 'interval':
      // A fixed type has a name, which stands for one type in the whole schema.
      return { type: 'fixed', name: `duration_${column + 1}`, size: 12, logicalType: 'duration' }
    case 'uuid':
      return { type: 'string', logicalType: 'uuid' }
    case 'bytes':
      return 'bytes'
    case 'text':
    case 'enum':
    case 'json':
      return 'string'
  }
}

function headerOf(schema: string, codec: string, sync: Buffer): Buffer {
  const out = new AvroOut()
  out.raw(Buffer.from('Obj\u0001', 'latin1'))
  out.int(2)
  for (const text of ['avro.schema', schema, 'avro.codec', codec]) out.bytes(Buffer.from(text))
  out.int(0)
  out.raw(sync)
  return out.take()
}

/** The block so far, which begins anew. */
function blockOf(
  block: AvroOut,
  { rows, codec, sync }: { readonly rows: number; readonly codec: 'null' | 'deflate'; readonly sync: Buffer },
): Buffer {
  const data = block.take()
  const out = new AvroOut()
  out.int(rows)
  out.bytes(codec === 'deflate' ? zlib.deflateRawSync(data) : data)
  out.raw(sync)
  return out.take()
}

/** One column of a batch. */
interface Cells {
  readonly column: ColumnData
  readonly view: DataView
}

function cellsOf(column: ColumnData): Cells {
  const { buffer, byteOffset, byteLength } = column.data
  return { column, view: new DataView(buffer, byteOffset, byteLength) }
}

type Put = (out: AvroOut, cells: Cells, row: number) => void

/** A union: the number of its branch, then the value. */
function putCell(out: AvroOut, cells: Cells, row: number, put: Put): void {
  if (!isValid(cells.column.validity, row)) return out.int(0)
  out.int(1)
  put(out, cells, row)
}

function putOf(type: ColumnType): Put {
  switch (type.kind) {
    case 'bool':
      return (out, { view }, row) => out.byte(view.getUint8(row) === 0 ? 0 : 1)
    case 'int':
      if (type.bits === 16) return (out, { view }, row) => out.int(view.getInt16(row * 2, true))
      return type.bits === 32 ? putInt : putLong
    case 'date':
      return putInt
    case 'time':
    case 'timestamp':
      return putLong
    case 'float':
      return putFixed
    case 'decimal':
      return putDecimal
    case 'interval':
      return putDuration
    case 'uuid':
      return putUuid
    case 'text':
    case 'enum':
    case 'json':
    case 'bytes':
      return putBytes
  }
}

const putInt: Put = (out, { view }, row) => out.int(view.getInt32(row * 4, true))

const putLong: Put = (out, { view }, row) => out.long(view.getInt32(row * 8, true), view.getInt32(row * 8 + 4, true))

function putFixed(out: AvroOut, { column }: Cells, row: number): void {
  const width = widthOf(column)
  out.raw(column.data.subarray(row * width, (row + 1) * width))
}

function putBytes(out: AvroOut, { column }: Cells, row: number): void {
  if (column.layout === 'bytes') out.bytes(column.data.subarray(column.offsets[row], column.offsets[row + 1]))
}

/** Two's complement, the highest byte first, without bytes that say no more than the sign. */
function putDecimal(out: AvroOut, { column: { data }, column }: Cells, row: number): void {
  const width = widthOf(column)
  const first = row * width
  let last = first + width - 1
  const isSign = (at: number): boolean => data[at] === ((data[at - 1] as number) > 127 ? 255 : 0)
  while (last > first && isSign(last)) last--
  out.int(last - first + 1)
  for (let at = last; at >= first; at--) out.byte(data[at] as number)
}

function putDuration(out: AvroOut, { column: { data }, view }: Cells, row: number): void {
  out.raw(data.subarray(row * 16, row * 16 + 8))
  const millis = Buffer.alloc(4)
  millis.writeUInt32LE(Number(view.getBigInt64(row * 16 + 8, true) / 1000n))
  out.raw(millis)
}

function putUuid(out: AvroOut, { column: { data } }: Cells, row: number): void {
  const hex = Buffer.from(data.subarray(row * 16, row * 16 + 16)).toString('hex')
  out.bytes(Buffer.from(hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')))
}

function widthOf(column: ColumnData): number {
  return column.layout === 'fixed' ? column.width : 0
}

/** Bytes of Avro in the making: one buffer that is used again and again. */
class AvroOut {
  #bytes = Buffer.allocUnsafe(1 << 10)
  used = 0

  #room(more: number): void {
    if (this.used + more <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.used + more))
    this.#bytes.copy(larger, 0, 0, this.used)
    this.#bytes = larger
  }

  byte(value: number): void {
    this.#room(1)
    this.#bytes[this.used++] = value
  }

  /** A whole number of 32 bits. */
  int(value: number): void {
    this.long(value, value >> 31)
  }

  /** A whole number of 64 bits in two halves: zig-zag, then 7 bits in each byte. */
  long(low: number, high: number): void {
    this.#room(10)
    const sign = high >> 31
    let rest = (low << 1) ^ sign
    let above = ((high << 1) | (low >>> 31)) ^ sign
    while (above !== 0 || rest >>> 0 > 127) {
      this.#bytes[this.used++] = (rest & 127) | 128
      rest = (rest >>> 7) | (above << 25)
      above >>>= 7
    }
    this.#bytes[this.used++] = rest
  }

  /** Bytes behind their length. */
  bytes(value: Uint8Array): void {
    this.int(value.length)
    this.raw(value)
  }

  raw(value: Uint8Array): void {
    this.#room(value.length)
    this.#bytes.set(value, this.used)
    this.used += value.length
  }

  /** What was written, in a buffer of its own; the next begins. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.used))
    this.used = 0
    return taken
  }
}
