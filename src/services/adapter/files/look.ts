import type { ColumnDef } from '../../../core/types.ts'
import type { DescribedColumn } from '../contract.ts'
import { isTyped, listOf, type FilesShape, type PartLook } from '../contract-files.ts'
import { describeAvro } from './avro.ts'
import { contentsOf, type Content } from './content.ts'
import { checkColumnCount } from './limits.ts'
import { materialize } from './materialize.ts'
import type { Packed } from './packed.ts'
import { describeParquet } from './parquet.ts'
import { partitionValues } from './partitions.ts'
import { readFile, type Reading } from './read.ts'

/** The columns of each part of a file, without its rows; see `ReadsFiles.look`. */
export async function lookAtFile(reading: Reading, signal: AbortSignal): Promise<readonly PartLook[] | null> {
  const { shape, packed, taken } = reading
  const { kind } = shape.format
  if (kind === 'fixed' || (kind === 'csv' && !shape.format.header) || listOf(shape.format) !== null) return null
  const parts = kind === 'parquet' || kind === 'avro' ? typedParts(packed, kind) : namedParts(reading, signal)
  const fromPath = partitionValues(taken.name, shape.columns)
  const looks: PartLook[] = []
  for await (const { name, columns, ...more } of parts) {
    const inPath = shape.columns.filter(column => fromPath.has(column.name)).map(column => fromPathOf(shape, column))
    looks.push({ name, columns: [...columns.filter(column => !fromPath.has(column.name)), ...inPath], ...more })
  }
  return looks
}

async function* typedParts(packed: Packed, kind: 'parquet' | 'avro'): AsyncGenerator<PartLook> {
  for await (const content of contentsOf(packed)) {
    yield { name: content.name, columns: await typedColumnsOf(packed, content, kind) }
  }
}

/** The columns that a content itself declares, with their types. */
export async function typedColumnsOf(
  packed: Packed,
  content: Content,
  kind: 'parquet' | 'avro',
): Promise<readonly DescribedColumn[]> {
  const from = { file: content.name, bytes: packed.bytes, limits: packed.limits }
  try {
    if (kind === 'avro') return await describeAvro(content.chunks, from)
    const there = await materialize(packed, content)
    try {
      return await describeParquet({ ...from, localPath: there.localPath })
    } finally {
      await there.remove()
    }
  } finally {
    await content.chunks[Symbol.asyncIterator]().return?.()
  }
}

/** The names of a header; of JSON all that its objects have, for which the part is read to its end. */
async function* namedParts(reading: Reading, signal: AbortSignal): AsyncGenerator<PartLook> {
  const { shape, packed } = reading
  const expected = shape.columns.map(column => column.name)
  for await (const part of readFile({ ...reading, shape: { ...shape, columns: [] }, expected }, signal)) {
    const names = new Set<string>()
    for await (const { unknownColumns = [] } of part.batches) {
      for (const name of unknownColumns) names.add(name)
      if (shape.format.kind === 'csv') break
    }
    checkColumnCount(part.name, names.size, packed.limits)
    const hasNameless = names.delete('')
    yield { name: part.name, columns: textColumns(shape, names), ...(hasNameless && { hasNameless }) }
  }
}

function textColumns({ columns, format }: FilesShape, names: ReadonlySet<string>): readonly DescribedColumn[] {
  const declared = new Map(columns.map(column => [column.name, column]))
  const implied = format.kind === 'csv' ? [] : columns.filter(column => column.nullable).map(column => column.name)
  return [...new Set([...names, ...implied])].map(name => {
    const { nullable = true, personal = true } = declared.get(name) ?? {}
    return { name, type: { kind: 'text' }, nullable, personal, nativeType: 'text' }
  })
}

function fromPathOf({ format }: FilesShape, column: ColumnDef): DescribedColumn {
  const type: ColumnDef['type'] = isTyped(format) ? column.type : { kind: 'text' }
  return { ...column, type, nativeType: 'text, from the path of the file' }
}
