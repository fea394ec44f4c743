import { fail } from '../../core/errors.ts'
import { typeText, type ColumnDef, type ColumnType } from '../../core/types.ts'
import { asInSource, asLog } from '../../config/append.ts'
import { defaultContract, type SourceTableDef } from '../../config/model.ts'
import { evolvedColumn } from '../../run/remembered-columns.ts'
import { stagedColumns } from '../../run/tables.ts'
import { columnsOfChange } from '../../run/technique.ts'
import type { TableNow, TableShape } from '../../services/adapter/contract.ts'

/** How a table is read now: what is staged, and what is asked of the source for it. */
export interface TableReading {
  /** The table of the config with what its contract added to it. */
  readonly table: SourceTableDef
  /** In the source's names and types: only columns that are there. */
  readonly shape: TableShape
  /** The staged column of each column of `shape`. */
  readonly staged: readonly ColumnDef[]
  /** Staged columns whose type is another one in the source: each value is tried. */
  readonly converted: ReadonlySet<string>
  /** The key that the source itself declares, in the names of the config. */
  readonly sourceKey: readonly string[]
  /** What changed, for a person. */
  readonly notes: readonly { readonly code: string; readonly text: string }[]
}

/** What there is now to read: a table of the source, or with `file` a file of that name for the table. */
export type Found = Pick<TableNow, 'columns' | 'key' | 'denied'> & { readonly file?: string }

/**
 * Compares what is known of a table with what there is now, and decides by the table's contract. `known` is the table of
 * the config with the columns that earlier loads took in, `lastKey` the key that the source declared then. A table is read
 * as a whole, so columns that nobody described follow it; a file is one of many, so what is staged stays as it is, and the
 * file has to fit. Throws `SOURCE_COLUMN_NEW`, `SOURCE_COLUMN_GONE`, `SOURCE_TYPE_CHANGED` or `SOURCE_KEY_CHANGED` where
 * the contract freezes, and `SOURCE_DENIED`; for a file `FILE_COLUMN_NEW`, `FILE_COLUMN_MISSING`, `FILE_TYPE_CHANGED`.
 */
export function readingOf(
  config: SourceTableDef,
  known: SourceTableDef,
  now: Found,
  lastKey: readonly string[] | null,
): TableReading {
  if (config.append === true) {
    // Nothing of it depends on a key that its source may declare.
    const reading = readingOf(asInSource(config), asInSource(known), now, null)
    return { ...reading, table: asLog(config, reading.table) }
  }
  const contract = config.contract ?? defaultContract
  const notes: { code: string; text: string }[] = []
  const isFile = now.file !== undefined
  const name = nameOf(config, now)
  const remoteName = (column: string): string => config.renamed?.[column] ?? column
  const taken = new Set(known.columns.map(column => remoteName(column.name)))
  const added = now.columns.filter(column => !taken.has(column.name))
  if (added.length > 0) notes.push(addedNote(config, now, added))
  const evolved = contract.added === 'evolve' ? added.map(column => evolvedColumn(column.name, column.type)) : []
  // One that was left open when the table was known otherwise is not taken any more.
  const columns = [...known.columns, ...evolved].filter(
    column => isFile || contract.added === 'evolve' || config.columns.some(it => it.name === column.name),
  )

  const gone: string[] = []
  const converted = new Set<string>()
  const retyped = new Map<string, ColumnType>()
  const shape: ColumnDef[] = []
  const staged: ColumnDef[] = []
  for (const column of columns) {
    const found = findColumn(config, now, remoteName(column.name))
    if (found === null) {
      if (config.columns.some(it => it.name === column.name))
        refuseGone(config, now, column.name, remoteName(column.name))
      gone.push(column.name)
      continue
    }
    const isNamed = config.columns.some(it => it.name === column.name)
    const isHeld = holdsFound(config, now, column, found)
    if (!isHeld && (isNamed || isFile)) {
      converted.add(column.name)
      const text = `${name}: column ${column.name} was ${typeText(column.type)} and is now ${nativeText(found)}; rows that do not fit ${typeText(column.type)} are rejected`
      notes.push({ code: 'SOURCE_TYPE_CHANGED', text })
    }
    // The adapter of a file brings what the declared type holds into it.
    const type = isFile && isHeld ? column.type : found.type
    shape.push({ ...column, name: found.name, type, nullable: found.nullable })
    // What nobody described has whatever type the source gives it.
    if (!isNamed && !isFile) retyped.set(column.name, found.type)
    staged.push(column)
  }
  if (gone.length > 0) notes.push(goneNote(config, now, gone))
  const named = Object.entries(config.renamed ?? {})
  const sourceKey = now.key.map(column => named.find(([, remote]) => remote === column)?.[0] ?? column)
  refuseKey(config, sourceKey, lastKey, notes)
  const table: SourceTableDef = {
    ...config,
    columns: columns.map(column => ({ ...column, type: retyped.get(column.name) ?? column.type })),
    ...(gone.length === 0 ? {} : { gone }),
  }
  const all = stagedColumns(table)
  return {
    table,
    shape: { remote: config.remote, columns: shape, key: config.key.map(remoteName), where: config.where },
    staged: staged.map(({ name: it }) => all.find(column => column.name === it) as ColumnDef),
    converted,
    sourceKey,
    notes,
  }
}

type FoundColumn = TableNow['columns'][number]

function nameOf({ source, name }: SourceTableDef, { file }: Found): string {
  return file === undefined ? `${source}.${name}` : `${file} for ${source}.${name}`
}

function findColumn(config: SourceTableDef, now: Found, remote: string): FoundColumn | null {
  if (now.denied.includes(remote)) {
    const object = `column "${remote}" of table "${config.remote}"`
    throw fail('SOURCE_DENIED', { source: config.source, object, problem: 'the account has no SELECT privilege' })
  }
  return now.columns.find(it => it.name === remote) ?? null
}

function addedNote(config: SourceTableDef, now: Found, added: readonly FoundColumn[]): TableReading['notes'][number] {
  const { source, remote } = config
  const contract = config.contract ?? defaultContract
  const columns = namesText(added.map(column => column.name))
  if (contract.added === 'freeze') {
    if (now.file !== undefined) throw fail('FILE_COLUMN_NEW', { file: now.file, columns })
    throw fail('SOURCE_COLUMN_NEW', { source, table: remote, columns })
  }
  const told = `${nameOf(config, now)} has columns that the configuration does not name: ${columns}`
  const staged =
    now.file === undefined
      ? 'they are staged, and the whole table is read again for their values'
      : 'they are staged, with NULL in the rows of earlier files'
  return { code: 'SOURCE_COLUMN_NEW', text: contract.added === 'evolve' ? `${told}; ${staged}` : told }
}

/** Names that a sentence shows: JSON may have thousands. */
const namesShown = 50

/** Names in a sentence, the first of them when they are very many. */
export function namesText(names: readonly string[]): string {
  const shown = names.slice(0, namesShown).join(', ')
  return names.length > namesShown ? `${shown} and ${names.length - namesShown} more` : shown
}

function refuseGone(config: SourceTableDef, now: Found, column: string, remote: string): void {
  const contract = config.contract ?? defaultContract
  const { source } = config
  if (contract.dropped !== 'freeze' && !config.key.includes(column) && !columnsOfChange(config.change).includes(column))
    return
  if (now.file === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: config.remote, column: remote })
  const header = namesText(now.columns.map(it => it.name)) || '(nothing)'
  throw fail('FILE_COLUMN_MISSING', { file: now.file, column: remote, header })
}

function goneNote(config: SourceTableDef, now: Found, gone: readonly string[]): TableReading['notes'][number] {
  const name = nameOf(config, now)
  const text =
    now.file === undefined
      ? `${name}: the source no longer has ${gone.join(', ')}: NULL from now on`
      : `${name} has no ${gone.join(', ')}: NULL in its rows`
  return { code: 'SOURCE_COLUMN_GONE', text }
}

/** True when the column takes what was found as it comes; otherwise each value is tried. Throws where the contract freezes. */
function holdsFound(config: SourceTableDef, now: Found, column: ColumnDef, found: FoundColumn): boolean {
  const { types } = config.contract ?? defaultContract
  const isFile = now.file !== undefined
  if (types === 'value' || (isFile ? widens : holds)(column.type, found.type)) return true
  const isNamed = config.columns.some(it => it.name === column.name)
  const isFixed = types === 'freeze' || (!isFile && config.key.includes(column.name))
  if (isNamed && isFixed) throw typeFault(config, now, column, found)
  return false
}

function typeFault(config: SourceTableDef, now: Found, column: ColumnDef, found: FoundColumn): Error {
  const types = { expected: typeText(column.type), found: nativeText(found) }
  if (now.file !== undefined) return fail('FILE_TYPE_CHANGED', { file: now.file, column: found.name, ...types })
  return fail('SOURCE_TYPE_CHANGED', { source: config.source, table: config.remote, column: found.name, ...types })
}

function refuseKey(
  config: SourceTableDef,
  sourceKey: readonly string[],
  lastKey: readonly string[] | null,
  notes: { code: string; text: string }[],
): void {
  if (lastKey === null || JSON.stringify(lastKey) === JSON.stringify(sourceKey)) return
  const text = (key: readonly string[]): string => (key.length === 0 ? 'none' : key.join(', '))
  const keys = { before: text(lastKey), now: text(sourceKey) }
  const contract = config.contract ?? defaultContract
  if (contract.key === 'freeze') {
    throw fail('SOURCE_KEY_CHANGED', { source: config.source, table: config.remote, ...keys })
  }
  const told = `${config.source}.${config.name}: the source's key was ${keys.before} and is ${keys.now}; rows are still known by ${config.key.join(', ')}`
  notes.push({ code: 'SOURCE_KEY_CHANGED', text: told })
}

function nativeText(found: FoundColumn): string {
  // The log of a source says what a value becomes, and not always how the source calls it.
  return found.nativeType === '' ? typeText(found.type) : `${found.nativeType} (${typeText(found.type)})`
}

/** True when every value of `found` is one of `expected` in the same layout. An enum may lose values, not gain them. */
function holds(expected: ColumnType, found: ColumnType): boolean {
  if (expected.kind === 'enum' && found.kind === 'enum') {
    return found.values.every(value => expected.values.includes(value))
  }
  return typeText(expected) === typeText(found)
}

/** True when every value of `found` is a value of `expected`, which the reader of a file puts into its layout. */
function widens(expected: ColumnType, found: ColumnType): boolean {
  if (holds(expected, found) || expected.kind === 'text' || expected.kind === 'json') return true
  if (expected.kind === 'int' && found.kind === 'int') return found.bits <= expected.bits
  if (expected.kind === 'float' && found.kind === 'float') return found.bits <= expected.bits
  if (expected.kind !== 'decimal') return false
  const digits = { 16: 5, 32: 10, 64: 19 } as const
  const { precision, scale } =
    found.kind === 'decimal' ? found : { precision: found.kind === 'int' ? digits[found.bits] : Infinity, scale: 0 }
  return scale <= expected.scale && precision - scale <= expected.precision - expected.scale
}
