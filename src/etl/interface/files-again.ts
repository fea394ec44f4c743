import { sql } from '../../core/sql.ts'
import type { ChangeDef, SourceTableDef } from '../../config/model.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { loadedFiles } from './file-records.ts'

type FilesChange = Extract<ChangeDef, { technique: 'files' }>

/** The options that decide what is read of a file, as text that can be compared: kept with each file that was read. */
export function readAs(table: SourceTableDef, { format, encoding, members, trailer }: FilesChange): string {
  // An object without a column that may not be NULL is set aside.
  const isJson = format.kind === 'json' || format.kind === 'ndjson'
  const required = isJson ? table.columns.filter(column => !column.nullable).map(column => column.name) : undefined
  return JSON.stringify({ format, encoding, members, trailer, required })
}

/** Files whose rows are staged as the config no longer reads them, with the loads that brought them, newest first. */
export interface FilesOtherwise {
  readonly files: readonly string[]
  readonly loads: readonly string[]
}

/**
 * The files that were read by other options than the config has now, until a file was read by those: whoever changes them
 * for files to come is told once, and whoever corrected a mistake before it is mixed with what is right. Of a table that
 * each file replaces only the last one counts.
 */
export async function readOtherwise(
  tx: Transaction,
  table: SourceTableDef,
  change: FilesChange,
): Promise<FilesOtherwise | null> {
  const now = readAs(table, change)
  const files = await filesOf(tx, table, change)
  if (files.length === 0 || files.some(file => file.readAs === now)) return null
  return named(files.filter(file => file.readAs !== null))
}

/** All files whose rows are staged, for a column that the config names since. */
export async function filesStaged(
  tx: Transaction,
  table: SourceTableDef,
  change: FilesChange,
): Promise<FilesOtherwise | null> {
  return named(await filesOf(tx, table, change))
}

interface StagedFile {
  readonly name: string
  readonly load: string
  readonly readAs: string | null
}

async function filesOf(tx: Transaction, table: SourceTableDef, { scope }: FilesChange): Promise<readonly StagedFile[]> {
  const rows = await tx.rows(sql`select name, load, read_as from (${loadedFiles(table)}) f order by load desc, name`)
  const files = rows.map(row => ({
    name: row['name'] as string,
    load: String(row['load']),
    readAs: row['read_as'] as string | null,
  }))
  return scope === 'full' ? files.slice(0, 1) : files
}

function named(files: readonly StagedFile[]): FilesOtherwise | null {
  if (files.length === 0) return null
  return { files: files.map(file => file.name), loads: [...new Set(files.map(file => file.load))] }
}

/** Names and commands that one note shows. */
const shown = 5

/** What to do to have files read again: the exact commands, and which files have to be put back before. */
export function againText({ files, loads }: FilesOtherwise, there: ReadonlySet<string>): string {
  const missing = files.filter(name => !there.has(name))
  const commands = [...loads.slice(0, shown).map(load => `naru undo ${load}`), 'naru run'].join(', ')
  const rest =
    loads.length > shown
      ? ` (and before the last command the same for ${loads.length - shown} older loads of naru.load)`
      : ''
  const back =
    missing.length === 0
      ? ''
      : `; first put back ${someOf(missing)}, which ${missing.length === 1 ? 'is' : 'are'} no longer in the folder`
  return `To read ${files.length === 1 ? 'it' : 'them'} again: ${commands}${rest}${back}`
}

/** The first names of a list. */
export function someOf(names: readonly string[]): string {
  const rest = names.length - shown
  return names.slice(0, shown).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}
