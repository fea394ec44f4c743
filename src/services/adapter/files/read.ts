import type { ColumnDef } from '../../../core/types.ts'
import { type SourceBatch } from '../contract.ts'
import { isTyped, listOf, type FilePart, type FilesShape, type TakenFile } from '../contract-files.ts'
import { readAvro } from './avro.ts'
import { contentsOf, type Content } from './content.ts'
import { readUtf8 } from './csv-text.ts'
import { readCsv } from './csv.ts'
import { readFixed } from './fixed.ts'
import { rowLimit } from './limits.ts'
import { ListRows, type ListShape } from './list-rows.ts'
import { materialize } from './materialize.ts'
import { ObjectRows, readJson, readNdjson, type JsonRows, type JsonShape } from './ndjson.ts'
import type { Packed } from './packed.ts'
import { readParquet } from './parquet.ts'
import { constantColumn, partitionColumns, partitionValues, withPartitions } from './partitions.ts'
import { Trailer } from './trailer.ts'

/** What reading a taken file needs. */
export interface Reading {
  readonly taken: TakenFile
  readonly shape: FilesShape
  readonly packed: Packed
  /** The columns to read of a part; those of the table unless given. */
  readonly columnsOf?: ((part: string) => readonly ColumnDef[]) | undefined
  /** See `HeaderShape`. */
  readonly expected?: readonly string[] | undefined
}

/** Reads a taken file: one part for it, or one for each member of an archive. */
export async function* readFile(reading: Reading, signal: AbortSignal): AsyncGenerator<FilePart> {
  for await (const content of contentsOf(reading.packed)) {
    try {
      const columns = reading.columnsOf?.(content.name)
      const part = columns === undefined ? reading : { ...reading, shape: { ...reading.shape, columns } }
      yield { name: content.name, batches: limited(part, content, readContent(part, content, signal)) }
    } finally {
      // A reader that failed early may have left it in the middle, with the file open.
      await content.chunks[Symbol.asyncIterator]().return?.()
    }
  }
}

async function* limited(
  { packed }: Reading,
  { name }: Content,
  batches: AsyncIterable<SourceBatch>,
): AsyncGenerator<SourceBatch> {
  const count = rowLimit(name, packed.limits)
  for await (const part of batches) {
    count(part.batch.rows + part.rejects.length)
    yield part
  }
}

/** The columns of the path are put to those of the file; Parquet does that itself. */
async function* readContent(reading: Reading, content: Content, signal: AbortSignal): AsyncGenerator<SourceBatch> {
  const { taken, shape } = reading
  if (listOf(shape.format) !== null) {
    yield* readText(reading, content, shape.columns, signal)
    return
  }
  const values = partitionValues(taken.name, shape.columns)
  if (shape.format.kind === 'parquet') {
    yield* readParquetContent(reading, content, values, signal)
    return
  }
  const asText = !isTyped(shape.format)
  const constants = new Map(
    shape.columns
      .filter(({ name }) => values.has(name))
      .map(column => [column.name, constantColumn(column, values.get(column.name) ?? null, taken.name, asText)]),
  )
  const own = shape.columns.filter(({ name }) => !constants.has(name))
  for await (const part of readOwn(reading, content, own, signal)) {
    yield constants.size === 0 ? part : withPartitions(part, shape.columns, constants)
  }
}

function readOwn(
  reading: Reading,
  content: Content,
  columns: readonly ColumnDef[],
  signal: AbortSignal,
): AsyncIterable<SourceBatch> {
  const { shape, packed } = reading
  if (shape.format.kind !== 'avro') return readText(reading, content, columns, signal)
  const from = { file: content.name, bytes: packed.bytes, limits: packed.limits }
  return readAvro(content.chunks, from, columns, signal)
}

async function* readText(
  reading: Reading,
  content: Content,
  columns: readonly ColumnDef[],
  signal: AbortSignal,
): AsyncGenerator<SourceBatch> {
  const { shape } = reading
  if (shape.trailer === undefined) {
    yield* readLinesOf(reading, content, columns, { trailer: null, signal })
    return
  }
  const trailer = new Trailer(content.name, shape.trailer, columns)
  for await (const part of readLinesOf(reading, content, columns, { trailer, signal })) {
    trailer.add(part)
    yield part
  }
  trailer.check()
}

async function* readLinesOf(
  reading: Reading,
  content: Content,
  columns: readonly ColumnDef[],
  { trailer, signal }: { readonly trailer: Trailer | null; readonly signal: AbortSignal },
): AsyncGenerator<SourceBatch> {
  const { shape, packed } = reading
  const { format, encoding } = shape
  const { limits } = packed
  const file = content.name
  const asked = { file, encoding, columns, maxLineBytes: limits.maxLineBytes }
  // Widths that count bytes count those of the file: they are decoded field by field.
  const isRaw = format.kind === 'fixed' && format.unit === 'bytes'
  const decoded = isRaw ? { chunks: content.chunks, transcoded: false } : await readUtf8(content.chunks, encoding, file)
  const text = trailer === null ? decoded : { ...decoded, chunks: trailer.strip(decoded.chunks) }
  switch (format.kind) {
    case 'ndjson': {
      const json = { ...asked, ...limits, passed: shape.passed }
      return yield* readNdjson(text, jsonRows(reading, json, 'line'), json, signal)
    }
    case 'json': {
      const json = { ...asked, ...limits, passed: shape.passed, path: format.path }
      return yield* readJson(text, jsonRows(reading, json, 'object'), json, signal)
    }
    case 'fixed':
      return yield* readFixed(text.chunks, { ...asked, format, transcoded: text.transcoded }, signal)
    case 'csv': {
      const names = columns.map(column => column.name)
      const { expected } = reading
      const csv = { ...format, file, encoding, limits, expected, columns: names, maxLineBytes: limits.maxLineBytes }
      return yield* readCsv(text, csv, signal)
    }
  }
}

function jsonRows({ taken, shape }: Reading, json: JsonShape, noun: ListShape['noun']): JsonRows {
  const list = listOf(shape.format)
  if (list === null) return new ObjectRows(json)
  const inPath = partitionValues(taken.name, partitionColumns(shape))
  const given = new Map(
    Object.entries(list.parent).flatMap(([column, [name = '']]) => {
      const value = inPath.get(name)
      if (value === undefined) return []
      return [[column, value === null ? null : { text: Buffer.from(value) }] as const]
    }),
  )
  return new ListRows({ ...json, list, listColumns: shape.columns, given, noun })
}

async function* readParquetContent(
  { taken, shape, packed }: Reading,
  content: Content,
  partitions: ReadonlyMap<string, string | null>,
  signal: AbortSignal,
): AsyncGenerator<SourceBatch> {
  const { localPath, remove } = await materialize(packed, content)
  try {
    const from = { file: content.name, localPath, bytes: taken.bytes, limits: packed.limits }
    yield* readParquet(from, { columns: shape.columns, partitions }, signal)
  } finally {
    await remove()
  }
}
