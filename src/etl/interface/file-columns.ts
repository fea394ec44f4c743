import type { SourceTableDef } from '../../config/model.ts'
import { defaultFileContract } from '../../config/model.ts'
import { evolvedColumn } from '../../run/remembered-columns.ts'
import { stagedColumns } from '../../run/tables.ts'
import type { FilesShape, PartLook, ReadsFiles, TakenFile } from '../../services/adapter/contract-files.ts'
import { readingOf, type Found, type TableReading } from './drift.ts'

/** A file that may be read, and what its parts have where a contract asks for it. */
export interface LookedFile {
  readonly file: TakenFile
  /** `null` where the file is read as the config says. */
  readonly parts: readonly PartLook[] | null
}

/** The columns of the parts of a file, when the contract of its table is another than the one without any. */
export async function lookAt(
  adapter: ReadsFiles,
  given: { readonly file: TakenFile; readonly shape: FilesShape; readonly table: SourceTableDef },
  signal: AbortSignal,
): Promise<LookedFile> {
  const { file, shape, table } = given
  const { added, dropped, types } = table.contract ?? defaultFileContract
  const { added: a, dropped: d, types: t } = defaultFileContract
  // A column that an earlier file brought is read from every file, which need not have it.
  const asked = added !== a || dropped !== d || types !== t || shape.columns.length > table.columns.length
  return { file, parts: asked ? await adapter.look(file, shape, signal) : null }
}

/**
 * How a part is read into `known`, which is the table of the config with the columns that files brought: by the contract
 * of the table, as `readingOf` decides. Formats of text have no types, so those of the config are left to the cleansing.
 */
export function readingOfPart(config: SourceTableDef, known: SourceTableDef, part: PartLook): TableReading {
  const staged = (table: SourceTableDef): SourceTableDef => ({ ...table, columns: stagedColumns(table) })
  const now: Found = { columns: part.columns, key: [], denied: [], file: part.name }
  return readingOf(staged(config), staged(known), now, null)
}

/** The table with the columns that these parts bring to it, where its contract takes them in. */
export function withColumnsOf(known: SourceTableDef, reading: TableReading): SourceTableDef {
  const brought = reading.table.columns.filter(({ name }) => !known.columns.some(column => column.name === name))
  return { ...known, columns: [...known.columns, ...brought.map(({ name, type }) => evolvedColumn(name, type))] }
}
