import zlib from 'node:zlib'
import type { ColumnBatch } from '../../../core/batch.ts'
import { fail, isNaruError } from '../../../core/errors.ts'
import { typeText, type ColumnDef } from '../../../core/types.ts'
import type { DescribedColumn, RowReject, SourceBatch } from '../contract.ts'
import { AvroBytes, AvroFault, unsnap } from './avro-bytes.ts'
import { avroColumn, avroRowsMax, type AvroColumn } from './avro-columns.ts'
import { skipValue, type Nesting } from './avro-json.ts'
import { describedAvro } from './avro-described.ts'
import { avroTypeText, parseAvroSchema, type AvroField, type AvroType } from './avro-schema.ts'
import { ByteQueue } from './byte-queue.ts'
import { damaged, reasonOf } from './faults.ts'
import { checkColumnCount, expansionLimit, rowLimit, type FileLimits } from './limits.ts'
import { RowFault } from './row-fault.ts'

/** Bytes of a block, packed and unpacked: writers make them of 16 kB to 16 MB. */
const blockBytesMax = 64 << 20

/** Bytes of the header: a schema of thousands of columns has less. */
const headerBytesMax = 4 << 20

/** A batch ends at this many bytes of values. */
const batchBytes = 4 << 20

/** Why an object cannot be a row, and the value that is in the way. */
interface Fault {
  readonly column: string
  readonly why: string
  readonly content: string
}

export interface AvroFile {
  /** Its name, for messages. */
  readonly file: string
  /** Its size, which limits what it may become. */
  readonly bytes: number
  readonly limits: FileLimits
}

/**
 * Reads the declared columns of an Avro object container file with their types, in file order; `line` is the number of
 * the object. A value that the declared type does not hold exactly makes a reject of its row.
 */
export async function* readAvro(
  chunks: AsyncIterable<Uint8Array>,
  from: AvroFile,
  columns: readonly ColumnDef[],
  signal: AbortSignal,
): AsyncGenerator<SourceBatch> {
  const queue = new ByteQueue(chunks)
  try {
    const header = await readHeader(queue, from)
    const rows = new AvroRows(header.fields, columns, from)
    let object = 0
    while (await queue.has(1)) {
      signal.throwIfAborted()
      const block = await readBlock(queue, header, from)
      for (let left = block.count; left > 0; left--) {
        rows.read(block.data, ++object)
        if (rows.full) yield rows.take()
      }
      if (block.data.at !== block.data.bytes.length) throw new AvroFault('a block has more data than objects')
    }
    if (!rows.empty) yield rows.take()
  } catch (error) {
    if (isNaruError(error) || signal.aborted) throw error
    throw damaged(from.file, reasonOf(error), error)
  } finally {
    await queue.close()
  }
}

/** The columns of an Avro file with their types. Throws `FILE_DAMAGED`, `FILE_LIMIT`. */
export async function describeAvro(
  chunks: AsyncIterable<Uint8Array>,
  from: AvroFile,
): Promise<readonly DescribedColumn[]> {
  const queue = new ByteQueue(chunks)
  try {
    const { fields } = await readHeader(queue, from)
    return fields.map(({ name, type }) => ({ name, ...describedAvro(type), personal: false }))
  } finally {
    await queue.close()
  }
}

interface AvroHeader {
  readonly fields: readonly AvroField[]
  readonly codec: string
  readonly sync: Buffer
}

async function readHeader(queue: ByteQueue, from: AvroFile): Promise<AvroHeader> {
  await queue.fill(headerBytesMax)
  const head = new AvroBytes(queue.bytes)
  try {
    if (head.bytes.toString('latin1', 0, 4) !== 'Obj\u0001') throw new AvroFault('it is no Avro object container file')
    head.take(4)
    const meta = new Map<string, Buffer>()
    for (let count = head.count(); count !== 0; count = head.count()) {
      if (count < 0) head.count()
      for (let i = Math.abs(count); i > 0; i--) meta.set(takeBytes(head).toString(), Buffer.from(takeBytes(head)))
    }
    const sync = Buffer.from(head.bytes.subarray(head.take(16), head.at))
    queue.pass(head.at)
    const codec = meta.get('avro.codec')?.toString() ?? 'null'
    if (!['null', 'deflate', 'snappy'].includes(codec)) throw new AvroFault(`its codec ${codec} is not read`)
    const schema = parseAvroSchema(meta.get('avro.schema')?.toString() ?? '', from.file)
    if (schema.kind !== 'record') throw new AvroFault(`its objects are no records but ${avroTypeText(schema)}`)
    checkColumnCount(from.file, schema.fields.length, from.limits)
    return { fields: schema.fields, codec, sync }
  } catch (error) {
    throw isNaruError(error) ? error : damaged(from.file, reasonOf(error), error)
  }
}

function takeBytes(from: AvroBytes): Buffer {
  const start = from.take(from.count())
  return from.bytes.subarray(start, from.at)
}

async function readBlock(
  queue: ByteQueue,
  { codec, sync }: AvroHeader,
  from: AvroFile,
): Promise<{ readonly count: number; readonly data: AvroBytes }> {
  await queue.fill(20)
  const head = new AvroBytes(queue.bytes)
  const count = head.count()
  const size = head.count()
  if (count < 0 || size < 0) throw new AvroFault('a block has a negative length')
  if (size > blockBytesMax) {
    throw fail('FILE_LIMIT', {
      file: from.file,
      what: 'bytes in one block',
      limit: `${blockBytesMax}`,
      option: 'no option',
    })
  }
  queue.pass(head.at)
  await queue.fill(size + 16)
  if (queue.bytes.length < size + 16) throw new AvroFault('it ends in the middle of a block')
  const packed = queue.bytes.subarray(0, size)
  if (!queue.bytes.subarray(size, size + 16).equals(sync))
    throw new AvroFault('a block does not end with the sync marker')
  // Copied: what is unpacked is used while the queue takes more.
  const data = new AvroBytes(unpack(Buffer.from(packed), codec))
  queue.pass(size + 16)
  return { count, data }
}

function unpack(packed: Buffer, codec: string): Buffer {
  switch (codec) {
    case 'deflate':
      return zlib.inflateRawSync(packed, { maxOutputLength: blockBytesMax })
    case 'snappy': {
      if (packed.length < 4) throw new AvroFault('a block of it is too short')
      const data = unsnap(packed.subarray(0, -4), blockBytesMax)
      if (zlib.crc32(data) !== packed.readUInt32BE(packed.length - 4))
        throw new AvroFault('the checksum of a block is another')
      return data
    }
    default:
      return packed
  }
}

/** Rows in the making. */
class AvroRows {
  readonly #file: AvroFile
  readonly #columns: readonly AvroColumn[]
  readonly #names: readonly ColumnDef[]
  /** For each field of the file the column that it fills, or -1. */
  readonly #places: readonly { readonly type: AvroType; readonly column: number }[]
  readonly #lines = new Float64Array(avroRowsMax)
  readonly #nesting: Nesting
  readonly #countRows: (rows: number) => void
  readonly #countBytes: (bytes: number) => void
  #rejects: RowReject[] = []
  #unknownColumns: readonly string[]
  #rows = 0

  constructor(fields: readonly AvroField[], columns: readonly ColumnDef[], file: AvroFile) {
    const { maxDepth, maxElements } = file.limits
    this.#file = file
    this.#nesting = { maxDepth, maxElements, elements: 0 }
    this.#countRows = rowLimit(file.file, file.limits)
    this.#countBytes = expansionLimit(file.file, file.bytes, file.limits)
    this.#names = columns
    this.#columns = columns.map(column => this.#columnOf(fields, column))
    this.#places = fields.map(({ name, type }) => ({ type, column: columns.findIndex(it => it.name === name) }))
    this.#unknownColumns = fields.map(it => it.name).filter(name => !columns.some(column => column.name === name))
  }

  #columnOf(fields: readonly AvroField[], column: ColumnDef): AvroColumn {
    const { file } = this.#file
    const field = fields.find(it => it.name === column.name)
    if (field === undefined) {
      const header = fields
        .map(it => it.name)
        .join(', ')
        .slice(0, 300)
      throw fail('FILE_COLUMN_MISSING', { file, column: column.name, header })
    }
    const made = avroColumn(field.type, column, this.#nesting)
    if (made !== null) return made
    const found = avroTypeText(field.type)
    throw fail('FILE_TYPE', { file, column: column.name, declared: typeText(column.type), found })
  }

  get full(): boolean {
    const isLong = this.#columns.reduce((sum, column) => sum + column.used, 0) >= batchBytes
    return this.#rows === avroRowsMax || isLong || this.#rejects.length >= 1000
  }

  get empty(): boolean {
    return this.#rows === 0 && this.#rejects.length === 0 && this.#unknownColumns.length === 0
  }

  /** Reads one object: a row, or a reject. */
  read(data: AvroBytes, number: number): void {
    this.#countRows(1)
    this.#nesting.elements = 0
    const start = data.at
    let fault: Fault | null = null
    for (const { type, column } of this.#places) {
      const before = data.at
      if (column < 0) {
        skipValue(type, data, this.#nesting)
        continue
      }
      try {
        this.#columns[column]?.read(data, this.#rows)
      } catch (error) {
        if (!(error instanceof RowFault)) throw error
        fault ??= { column: this.#names[column]?.name ?? '', why: error.message, content: error.value }
      }
      const bytes = data.at - before
      const most = this.#file.limits.maxValueBytes
      if (bytes > most)
        fault ??= { column: this.#names[column]?.name ?? '', why: `it has ${bytes} bytes (maxValueBytes)`, content: '' }
    }
    if (fault === null) this.#lines[this.#rows++] = number
    else this.#reject(fault, number, data.at - start)
  }

  #reject({ column, why, content }: Fault, line: number, bytes: number): void {
    const reason = why.endsWith('(maxValueBytes)') ? 'VALUE_TOO_LARGE' : 'VALUE_NOT_IN_TYPE'
    this.#rejects.push({ reason, detail: `${column}: ${why}`, key: null, line, bytes, content })
  }

  take(): SourceBatch {
    const rows = this.#rows
    const batch: ColumnBatch = { rows, columns: this.#columns.map(column => column.take(rows)) }
    this.#countBytes(batch.columns.reduce((sum, column) => sum + column.data.length, rows))
    const unknownColumns = this.#unknownColumns
    const rejects = this.#rejects
    this.#rows = 0
    this.#rejects = []
    this.#unknownColumns = []
    return { batch, lines: this.#lines.slice(0, rows), rejects, ...(unknownColumns.length > 0 && { unknownColumns }) }
  }
}
