import { fixedWidth, type ColumnBatch, type ColumnData } from './batch.ts'
import type { ChangeMessage, ChangeSlice, SliceTransactions, TableChanges } from './change-slice.ts'
import { fail, isNaruError, messageOf } from './errors.ts'
import { parseHead, type SliceHead, type TableHead } from './slice-head.ts'

/**
 * A change slice as bytes, little-endian:
 *
 *     u8 version | 3 bytes 0 | u32 bytes of the head | head as JSON | the buffers
 *
 * Everything begins at a multiple of 8 bytes; what is between is 0. The head names the tables and the length of each
 * buffer (-1: there is none), in the order of `buffersOfSlice`.
 */
const VERSION = 1
const PREFIX_BYTES = 8
/** Largest head: names and types of the columns, and a length for each buffer. */
const HEAD_BYTES_MAX = 32 * 1024 * 1024
/** Largest slice: lengths within it are 32 bits. */
const SLICE_BYTES_MAX = 0xffff_fff8

/**
 * The slice as bytes that `decodeSlice` reads: one allocation, each buffer is copied once. `before` bytes, a multiple of 8, are
 * left in front for the caller, who must write all of them. `allocate` gives memory of at least so many bytes, with anything in
 * it. Throws `SLICE_MISFIT`.
 */
export function encodeSlice(
  slice: ChangeSlice,
  before = 0,
  allocate: (bytes: number) => ArrayBufferLike = bytes => Buffer.allocUnsafeSlow(bytes).buffer,
): Uint8Array {
  const buffers = buffersOfSlice(slice)
  const head = Buffer.from(JSON.stringify(headOf(slice, buffers)))
  if (head.length > HEAD_BYTES_MAX) throw misfit(`its head has ${head.length} bytes, the most is ${HEAD_BYTES_MAX}`)
  let end = PREFIX_BYTES + aligned(head.length)
  for (const buffer of buffers) end += aligned(buffer?.byteLength ?? 0)
  if (end > SLICE_BYTES_MAX) throw misfit(`it has ${end} bytes, the most is ${SLICE_BYTES_MAX}`)

  // Not zeroed: every byte is written below, those between the buffers too.
  const bytes = Buffer.from(allocate(before + end), 0, before + end)
  bytes.writeUInt32LE(VERSION, before)
  bytes.writeUInt32LE(head.length, before + 4)
  let at = place(bytes, before + PREFIX_BYTES, head)
  for (const buffer of buffers) if (buffer !== null) at = place(bytes, at, buffer)
  return new Uint8Array(bytes.buffer, 0, before + end)
}

/**
 * The slice that the bytes hold, as views on them: valid as long as they are, and no more is allocated than the head asks
 * for. Bytes that do not begin at a multiple of 8 in their memory are copied once. Every length is checked before it is
 * used; whether the values are those that were written, only the checksum of the log says. Throws `SLICE_DAMAGED`, `SLICE_VERSION`.
 */
export function decodeSlice(bytes: Uint8Array): ChangeSlice {
  try {
    const { buffer, byteOffset, byteLength } = bytes
    return decode(byteOffset % 8 === 0 ? new Uint8Array(buffer, byteOffset, byteLength) : new Uint8Array(bytes))
  } catch (error) {
    if (isNaruError(error)) throw error
    // JSON that is none, and text that is no UTF-8.
    throw fail('SLICE_DAMAGED', { problem: messageOf(error) }, { cause: error })
  }
}

function decode(bytes: Uint8Array): ChangeSlice {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.byteLength < PREFIX_BYTES) throw damaged(`it has ${bytes.byteLength} bytes`)
  const version = view.getUint32(0, true)
  if (version > VERSION && version < 256) throw fail('SLICE_VERSION', { version, known: VERSION })
  if (version !== VERSION) throw damaged('it does not begin as one')
  const headBytes = view.getUint32(4, true)
  const start = PREFIX_BYTES + aligned(headBytes)
  if (headBytes > HEAD_BYTES_MAX || start > bytes.byteLength) throw damaged(`its head has ${headBytes} bytes`)
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + headBytes))
  const head = parseHead(JSON.parse(text))
  const next = bufferReader(bytes, start, head.lengths)
  const slice: ChangeSlice = {
    position: head.position,
    committedMicros: head.committedMicros,
    tables: head.tables.map(table => tableFrom(table, next)),
    transactions: transactionsFrom(head.transactions, next),
    messages: messagesFrom(head.prefixes, next),
  }
  if (next.left() !== 0) throw damaged(`${next.left()} buffers more than it names`)
  return slice
}

function tableFrom({ table, columns, rows }: TableHead, next: BufferReader): TableChanges {
  const ops = next.exactly(rows)
  const order = uint32(next.exactly(rows * 4))
  const data: ColumnData[] = []
  const unchanged: (Uint8Array | null)[] = []
  for (const { type } of columns) {
    data.push(columnFrom(fixedWidth(type), rows, next))
    unchanged.push(next.orNull(bitBytes(rows)))
  }
  return { table, columns, rows: { rows, columns: data }, ops, order, unchanged }
}

function columnFrom(width: ReturnType<typeof fixedWidth>, rows: number, next: BufferReader): ColumnData {
  const validity = next.orNull(bitBytes(rows))
  if (width !== null) return { layout: 'fixed', width, validity, data: next.exactly(rows * width) }
  const offsets = uint32(next.exactly((rows + 1) * 4))
  return { layout: 'bytes', validity, offsets, data: next.exactly(offsets[rows] as number) }
}

function transactionsFrom(count: number, next: BufferReader): SliceTransactions {
  return {
    ids: int64(next.exactly(count * 8)),
    ends: uint32(next.exactly(count * 4)),
    committedMicros: int64(next.exactly(count * 8)),
  }
}

function messagesFrom(prefixes: readonly string[], next: BufferReader): readonly ChangeMessage[] {
  const order = uint32(next.exactly(prefixes.length * 4))
  const ends = uint32(next.exactly(prefixes.length * 4))
  const content = next.exactly(ends.at(-1) ?? 0)
  return prefixes.map((prefix, i) => ({
    order: order[i] as number,
    prefix,
    content: content.subarray(i === 0 ? 0 : ends[i - 1], ends[i]),
  }))
}

/** Gives the buffers one after the other; a length that is not the one asked for is damage. */
interface BufferReader {
  exactly(bytes: number): Uint8Array
  orNull(bytes: number): Uint8Array | null
  /** Buffers that nobody has asked for. */
  left(): number
}

function bufferReader(bytes: Uint8Array, start: number, lengths: readonly number[]): BufferReader {
  let total = start
  for (const length of lengths) total += aligned(Math.max(length, 0))
  if (total !== bytes.byteLength) throw damaged(`it names ${total} bytes and has ${bytes.byteLength}`)
  let index = 0
  let at = start
  const orNull = (expected: number): Uint8Array | null => {
    const length = lengths[index]
    if (length !== -1 && length !== expected) throw damaged(`buffer ${index} has ${length} bytes, not ${expected}`)
    index += 1
    if (length === -1) return null
    const buffer = bytes.subarray(at, at + length)
    at += aligned(length)
    return buffer
  }
  return {
    orNull,
    exactly: expected => {
      const buffer = orNull(expected)
      if (buffer === null) throw damaged(`buffer ${index - 1} is missing`)
      return buffer
    },
    left: () => lengths.length - index,
  }
}

function headOf(slice: ChangeSlice, buffers: readonly (Uint8Array | null)[]): SliceHead<string> {
  return {
    position: slice.position,
    committedMicros: slice.committedMicros === null ? null : String(slice.committedMicros),
    tables: slice.tables.map(({ table, columns, rows }) => ({ table, columns, rows: rows.rows })),
    transactions: slice.transactions.ids.length,
    prefixes: slice.messages.map(message => message.prefix),
    lengths: buffers.map(buffer => buffer?.byteLength ?? -1),
  }
}

/** The buffers of a slice in the order in which they are written: only what its rows need of each. */
function buffersOfSlice({ tables, transactions, messages }: ChangeSlice): readonly (Uint8Array | null)[] {
  const count = transactions.ids.length
  const ends = new Uint32Array(messages.length)
  messages.forEach(({ content }, i) => (ends[i] = (ends[i - 1] ?? 0) + content.byteLength))
  return [
    ...tables.flatMap(buffersOfTable),
    bytesOf(transactions.ids, count * 8, 'the ids of its transactions'),
    bytesOf(transactions.ends, count * 4, 'the ends of its transactions'),
    bytesOf(transactions.committedMicros, count * 8, 'the times of its transactions'),
    bytesOf(
      Uint32Array.from(messages, message => message.order),
      messages.length * 4,
      'its messages',
    ),
    bytesOf(ends, messages.length * 4, 'its messages'),
    Buffer.concat(messages.map(message => message.content)),
  ]
}

function buffersOfTable({ table, columns, rows, ops, order, unchanged }: TableChanges): (Uint8Array | null)[] {
  const of = (what: string): string => `${what} of table "${table}"`
  if (rows.columns.length !== columns.length || unchanged.length !== columns.length) {
    throw misfit(`${of('the columns')} are ${columns.length}, with ${rows.columns.length} of values`)
  }
  return [
    bytesOf(ops, rows.rows, of('the operations')),
    bytesOf(order, rows.rows * 4, of('the order')),
    ...columns.flatMap(({ name, type }, i) => [
      ...buffersOfColumn(rows, i, fixedWidth(type), of(`column "${name}"`)),
      bytesOrNull(unchanged[i], bitBytes(rows.rows), of(`the unchanged rows of column "${name}"`)),
    ]),
  ]
}

function buffersOfColumn(
  { rows, columns }: ColumnBatch,
  index: number,
  width: ReturnType<typeof fixedWidth>,
  what: string,
): (Uint8Array | null)[] {
  const column = columns[index] as ColumnData
  const validity = bytesOrNull(column.validity, bitBytes(rows), what)
  if ((column.layout === 'fixed' ? column.width : null) !== width) throw misfit(`${what} is not laid out as its type`)
  if (column.layout === 'fixed') return [validity, bytesOf(column.data, rows * column.width, what)]
  const { offsets } = column
  return [validity, bytesOf(offsets, (rows + 1) * 4, what), bytesOf(column.data, offsets[rows] ?? 0, what)]
}

function bytesOrNull(buffer: Uint8Array | null | undefined, bytes: number, what: string): Uint8Array | null {
  return buffer === null || buffer === undefined ? null : bytesOf(buffer, bytes, what)
}

/** The first bytes of an array, which may have room for more rows than there are. */
function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView, bytes: number, what: string): Uint8Array {
  if (byteLength < bytes) throw misfit(`${what} has ${byteLength} bytes, not ${bytes}`)
  return new Uint8Array(buffer, byteOffset, bytes)
}

function place(bytes: Uint8Array, at: number, buffer: Uint8Array): number {
  const next = at + aligned(buffer.byteLength)
  bytes.set(buffer, at)
  bytes.fill(0, at + buffer.byteLength, next)
  return next
}

function uint32({ buffer, byteOffset, byteLength }: Uint8Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, byteLength / 4)
}

function int64({ buffer, byteOffset, byteLength }: Uint8Array): BigInt64Array {
  return new BigInt64Array(buffer, byteOffset, byteLength / 8)
}

function bitBytes(rows: number): number {
  return Math.ceil(rows / 8)
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 8) * 8
}

function damaged(problem: string): Error {
  return fail('SLICE_DAMAGED', { problem })
}

function misfit(problem: string): Error {
  return fail('SLICE_MISFIT', { problem })
}
