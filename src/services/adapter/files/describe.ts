import path from 'node:path'
import { cellText } from '../../../core/cell-text.ts'
import { isNaruError, fail, type Code } from '../../../core/errors.ts'
import { fileEnding, formatOfEnding } from '../../../core/file-ending.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { DescribedColumn, TableDescription } from '../contract.ts'
import type { FileFormat, FilesShape, ReadsFiles, RemoteFile, TakenFile } from '../contract-files.ts'
import { contentsOf } from './content.ts'
import { familiesOf, type Family } from './families.ts'
import { damaged } from './faults.ts'
import { matchesGlob } from '../../../core/glob.ts'
import { inferType } from './infer.ts'
import { typedColumnsOf } from './look.ts'
import type { Packed } from './packed.ts'
import { partitionNames } from './partitions.ts'

/** Tables that one folder is described as. */
const familiesMax = 50

/** Rows that the types of a file of text are told from. */
const sampleRows = 1000

/** What describing a folder needs of its adapter. */
export interface Describing {
  readonly source: string
  readonly files: ReadsFiles
  packed(file: TakenFile): Packed
  /** Takes a sentence about what is left out, and why. */
  readonly tell: (text: string) => void
}

type Format = Exclude<FileFormat, { kind: 'fixed' }>

/**
 * Describes the files of a folder as tables: those whose names differ in digits only are one, as its newest file has
 * it. Formats with types are exact; types of text are told from its first rows. A file that cannot be read is told, and
 * the others go on. Throws `SOURCE_FOLDER_EMPTY` when nothing is left.
 */
export async function describeFolder(given: Describing, signal: AbortSignal): Promise<readonly TableDescription[]> {
  const told: string[] = []
  const tell = (text: string): void => {
    told.push(text)
    given.tell(text)
  }
  const families = await findFamilies({ ...given, tell }, signal)
  const tables: TableDescription[] = []
  for (const family of families) {
    const columns = await columnsOrWhy({ ...given, tell }, family, signal)
    if (columns === null) continue
    const { glob: name, shortName } = family
    tables.push({ name, shortName, key: [], rowsEstimate: null, columns })
  }
  if (tables.length > 0) return tables.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  throw fail('SOURCE_FOLDER_EMPTY', { source: given.source, why: told.join('; ') || 'there is no file' })
}

const everyFile: FilesShape = {
  glob: '**',
  columns: [],
  format: { kind: 'csv', delimiter: null, quote: null, header: true, nulls: [] },
  encoding: 'utf-8',
  checksum: 'none',
}

async function findFamilies({ files, tell }: Describing, signal: AbortSignal): Promise<readonly Family[]> {
  const { complete, waiting } = await files.list(everyFile, signal)
  for (const { name, why } of waiting) tell(`${name} is left out: ${why}`)
  const others = complete.filter(file => !isData(file)).map(file => file.name)
  if (others.length > 0) tell(`by their names no data: ${someOf(others)}`)
  const families = familiesOf(complete.filter(isData)).toSorted(byNewest)
  const left = families.slice(familiesMax).map(it => it.glob)
  if (left.length > 0) tell(`more than ${familiesMax} kinds of names, so the older are left out: ${someOf(left)}`)
  const taken = families.slice(0, familiesMax)
  for (const { glob } of taken) {
    const also = taken.filter(other => other.glob !== glob && matchesGlob(glob, other.newest.name))
    if (also.length > 0) tell(`${glob} also matches the files of ${someOf(also.map(it => it.glob))}: narrow it`)
  }
  return taken
}

function byNewest(a: Family, b: Family): number {
  const [one, other] = [a.newest.modifiedMicros, b.newest.modifiedMicros]
  return one > other ? -1 : one < other ? 1 : a.glob < b.glob ? -1 : 1
}

const textEndings = ['csv', 'tsv', 'tab', 'psv', 'txt', 'dat', '']

/** Markers (`_SUCCESS`), side-cars, documents and programs lie in such folders as well. */
function isData({ name }: RemoteFile): boolean {
  const ending = fileEnding(name)
  return !path.posix.basename(name).startsWith('_') && (textEndings.includes(ending) || formatOfEnding(ending) !== null)
}

/** Faults of one file, behind which the others can be read. */
const faultsOfAFile: readonly Code[] = [
  'FILE_DAMAGED',
  'FILE_LIMIT',
  'FILE_TYPE',
  'FILE_MEMBER',
  'FILE_CHANGED',
  'FILE_COLUMN_MISSING',
  'FILE_COLUMN_REPEATED',
  'STORAGE_NOT_FOUND',
  'STORAGE_DENIED',
  'DRIVER_MISSING',
]

async function columnsOrWhy(
  given: Describing,
  { newest }: Family,
  signal: AbortSignal,
): Promise<readonly DescribedColumn[] | null> {
  try {
    return await describeFile(given, newest, signal)
  } catch (error) {
    if (!isNaruError(error) || !faultsOfAFile.includes(error.code)) throw error
    given.tell(`${newest.name} is left out: ${error.message}`)
    return null
  }
}

async function describeFile(
  given: Describing,
  file: RemoteFile,
  signal: AbortSignal,
): Promise<readonly DescribedColumn[]> {
  const format = formatOf(file.name)
  const shape = { ...everyFile, glob: file.name, format }
  const taken = await given.files.take(file, shape, signal)
  try {
    const fromPath = partitionNames(file.name)
    const own =
      format.kind === 'parquet' || format.kind === 'avro'
        ? await typedColumns(given.packed(taken), format.kind)
        : await textColumns(given, { taken, shape, fromPath }, signal)
    if (own.length === 0) throw damaged(file.name, 'it names no column')
    const inFile = own.filter(({ name }) => !fromPath.includes(name))
    return [...inFile, ...fromPath.map(name => textColumn(name, 'text, from the path of the file'))]
  } finally {
    await given.files.release(taken)
  }
}

function formatOf(name: string): Format {
  const kind = formatOfEnding(fileEnding(name))
  if (kind === null) return everyFile.format as Format
  return kind === 'json' ? { kind, path: [] } : { kind }
}

/** The columns that the file itself declares. */
async function typedColumns(packed: Packed, kind: 'parquet' | 'avro'): Promise<readonly DescribedColumn[]> {
  for await (const content of contentsOf(packed)) return typedColumnsOf(packed, content, kind)
  return []
}

interface TextFile {
  readonly taken: TakenFile
  readonly shape: FilesShape
  readonly fromPath: readonly string[]
}

/** Read twice: what the columns are called, then their first values. */
async function textColumns(
  { files, tell }: Describing,
  { taken, shape, fromPath }: TextFile,
  signal: AbortSignal,
): Promise<readonly DescribedColumn[]> {
  const { part, unknownColumns } = await readSample(files, taken, shape, signal)
  const names = unknownColumns.filter(name => name !== '')
  if (names.length > 0 && names.length < unknownColumns.length)
    tell(`${part}: a column without a name in the header is left out`)
  checkNames(taken.name, names, shape.format.kind)
  const columns = names.filter(name => !fromPath.includes(name)).map(name => textColumn(name, ''))
  const sample = await readSample(files, taken, { ...shape, columns }, signal)
  if (sample.rejects.length > 0) {
    tell(`${sample.part}: ${count(sample.rejects.length)} among the first lines are no rows (${sample.rejects[0]})`)
  }
  return columns.map((column, c) => {
    const values = sample.rows.map(row => row[c] as string | null)
    const { type, looksLike } = inferType(values)
    return {
      ...column,
      type,
      nativeType: `text, looks like ${looksLike} (${rowsText(values.length)} of ${sample.part})`,
    }
  })
}

function textColumn(name: string, nativeType: string): DescribedColumn {
  return { name, type: { kind: 'text' }, nullable: true, personal: false, nativeType }
}

/** Refuses names that are none: the first line of a file that has no header, or is not in this encoding. */
function checkNames(file: string, names: readonly string[], format: FileFormat['kind']): void {
  if (names.some(name => name.includes('\ufffd') || name.includes('\0'))) {
    throw damaged(file, 'its names are no text in utf-8; a table with another encoding is written by hand')
  }
  if (format !== 'csv') return
  if (names.some(name => inferType([name]).type.kind !== 'text')) {
    throw damaged(file, 'its first line has values and no names; a table without a header is written by hand')
  }
  const isCsvByName = ['csv', 'tsv', 'tab', 'psv'].includes(fileEnding(file))
  if (names.length === 1 && !isCsvByName) {
    throw damaged(file, 'its first line has one field; a table of fixed width is written by hand')
  }
}

interface Sample {
  /** The file, or the first member of an archive. */
  readonly part: string
  readonly unknownColumns: readonly string[]
  readonly rows: readonly (readonly (string | null)[])[]
  /** Reasons. */
  readonly rejects: readonly string[]
}

/** The first rows of the first part of a file. */
async function readSample(
  files: ReadsFiles,
  taken: TakenFile,
  shape: FilesShape,
  signal: AbortSignal,
): Promise<Sample> {
  const rows: (string | null)[][] = []
  const rejects: string[] = []
  for await (const part of files.read(taken, shape, {}, signal)) {
    let unknownColumns: readonly string[] = []
    for await (const { batch, ...more } of part.batches) {
      unknownColumns = more.unknownColumns ?? unknownColumns
      rejects.push(...more.rejects.map(it => it.reason))
      for (let row = 0; row < batch.rows && rows.length < sampleRows; row++) {
        rows.push(batch.columns.map(column => cellText(textType, column, row)))
      }
      if (rows.length + rejects.length >= sampleRows) break
    }
    return { part: part.name, unknownColumns, rows, rejects }
  }
  return { part: taken.name, unknownColumns: [], rows, rejects }
}

const textType: ColumnDef['type'] = { kind: 'text' }

function rowsText(rows: number): string {
  return `${count(rows)} ${rows === 1 ? 'row' : 'rows'}`
}

function count(number: number): string {
  return number.toLocaleString('en-US')
}

function someOf(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ')
  return names.length > 5 ? `${shown} and ${count(names.length - 5)} more` : shown
}
