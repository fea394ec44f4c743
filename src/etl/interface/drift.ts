import { fail } from '../../core/errors.ts'
import { typeText, type ColumnDef, type ColumnType } from '../../core/types.ts'
import { defaultContract, type SourceTableDef } from '../../config/model.ts'
import { evolvedColumn } from '../../run/loads.ts'
import { stagedColumns } from '../../run/tables.ts'
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

/**
 * Compares what is known of a table with what the source has now, and decides by the table's contract. `known` is the
 * table of the config with the columns that earlier loads took in, `lastKey` the key that the source declared then.
 * Throws `SOURCE_COLUMN_NEW`, `SOURCE_COLUMN_GONE`, `SOURCE_TYPE_CHANGED` or `SOURCE_KEY_CHANGED` where the contract
 * freezes, and `SOURCE_DENIED`.
 */
export function readingOf(
  config: SourceTableDef,
  known: SourceTableDef,
  now: TableNow,
  lastKey: readonly string[] | null,
): TableReading {
  const contract = config.contract ?? defaultContract
  const notes: { code: string; text: string }[] = []
  const name = `${config.source}.${config.name}`
  const remoteName = (column: string): string => config.renamed?.[column] ?? column
  const taken = new Set(known.columns.map(column => remoteName(column.name)))
  const added = now.columns.filter(column => !taken.has(column.name))
  if (added.length > 0) notes.push(...addedNotes(config, added))
  const evolved = contract.added === 'evolve' ? added.map(column => evolvedColumn(column.name, column.type)) : []
  // One that was left open when the table was known otherwise is not taken any more.
  const columns = [...known.columns, ...evolved].filter(
    column => contract.added === 'evolve' || config.columns.some(it => it.name === column.name),
  )

  const gone: string[] = []
  const converted = new Set<string>()
  const retyped = new Map<string, ColumnType>()
  const shape: ColumnDef[] = []
  const staged: ColumnDef[] = []
  for (const column of columns) {
    const found = findColumn(config, now, remoteName(column.name))
    if (found === null) {
      if (config.columns.some(it => it.name === column.name)) refuseGone(config, column.name, remoteName(column.name))
      gone.push(column.name)
      continue
    }
    const isNamed = config.columns.some(it => it.name === column.name)
    if (!holds(column.type, found.type) && isNamed) {
      const types = { expected: typeText(column.type), found: nativeText(found) }
      const isKey = config.key.includes(column.name)
      if (contract.types === 'freeze' || isKey) {
        throw fail('SOURCE_TYPE_CHANGED', { source: config.source, table: config.remote, column: found.name, ...types })
      }
      converted.add(column.name)
      const text = `${name}: column ${column.name} is now ${types.found}; rows that do not fit ${types.expected} are rejected`
      notes.push({ code: 'SOURCE_TYPE_CHANGED', text })
    }
    shape.push({ ...column, name: found.name, type: found.type, nullable: found.nullable })
    // What nobody described has whatever type the source gives it.
    if (!isNamed) retyped.set(column.name, found.type)
    staged.push(column)
  }
  if (gone.length > 0) {
    const text = `${name}: the source no longer has ${gone.join(', ')}: NULL from now on`
    notes.push({ code: 'SOURCE_COLUMN_GONE', text })
  }
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
    shape: { remote: config.remote, columns: shape, key: config.key.map(remoteName) },
    staged: staged.map(({ name: it }) => all.find(column => column.name === it) as ColumnDef),
    converted,
    sourceKey,
    notes,
  }
}

type FoundColumn = TableNow['columns'][number]

function findColumn(config: SourceTableDef, now: TableNow, remote: string): FoundColumn | null {
  if (now.denied.includes(remote)) {
    const object = `column "${remote}" of table "${config.remote}"`
    throw fail('SOURCE_DENIED', { source: config.source, object, problem: 'the account has no SELECT privilege' })
  }
  return now.columns.find(it => it.name === remote) ?? null
}

function addedNotes(config: SourceTableDef, added: readonly FoundColumn[]): TableReading['notes'] {
  const { source, remote, name } = config
  const contract = config.contract ?? defaultContract
  const names = added.map(column => column.name).join(', ')
  if (contract.added === 'freeze') throw fail('SOURCE_COLUMN_NEW', { source, table: remote, columns: names })
  const told = `${source}.${name} has columns that the configuration does not name: ${names}`
  const text =
    contract.added === 'evolve' ? `${told}; they are staged, and the whole table is read again for their values` : told
  return [{ code: 'SOURCE_COLUMN_NEW', text }]
}

function refuseGone(config: SourceTableDef, column: string, remote: string): void {
  const contract = config.contract ?? defaultContract
  const { source } = config
  if (contract.dropped === 'freeze' || config.key.includes(column) || isChangeColumn(config, column)) {
    throw fail('SOURCE_COLUMN_GONE', { source, table: config.remote, column: remote })
  }
}

function isChangeColumn({ change }: SourceTableDef, column: string): boolean {
  return change.technique === 'timestamp' && change.column === column
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
  const native = found.nativeType === '' ? 'without a type' : found.nativeType
  return `${native} (${typeText(found.type)})`
}

/** True when every value of `found` is one of `expected` in the same layout. An enum may lose values, not gain them. */
function holds(expected: ColumnType, found: ColumnType): boolean {
  if (expected.kind === 'enum' && found.kind === 'enum') {
    return found.values.every(value => expected.values.includes(value))
  }
  return typeText(expected) === typeText(found)
}
