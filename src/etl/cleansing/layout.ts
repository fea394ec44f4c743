import { asText, same } from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import type { StageContext } from '../../run/context.ts'
import { keyShown, keyText } from '../../run/keys.ts'
import { cleansedTable, mapColumns, type Feed, type MappedColumn } from '../../run/mapping.ts'

const text: ColumnType = { kind: 'text' }

/**
 * How a cleansed table is keyed, and how its rows find their way back to staging:
 * - `direct`: the entity's key is the staged key, column by column. The common case, and the cheap one.
 * - `derived`: the key is computed, so each row also keeps the staged key in `_source_key`.
 * - `identities`: the rows have no key (`match`): one row for each distinct set of mapped values, kept in `_k_<column>`;
 *   `_rows` is the number of staged rows behind it.
 */
export type Keying = 'direct' | 'derived' | 'identities'

/** What the parts of cleansing know about one cleansed table. */
export interface Layout {
  readonly feed: Feed
  readonly target: Ident
  readonly keying: Keying
  readonly columns: readonly MappedColumn[]
  /** Columns that tell which staged row (or rows) a cleansed row comes from; present in the cleansed table. */
  readonly ids: readonly string[]
  /** Key of the cleansed table and of the change set that is handed on. */
  readonly key: readonly string[]
  /** The key as control tables show it, from relation `alias` that has the id columns. */
  keyOf(alias: string): Sql
  /** All columns of the cleansed table, in order, but for `_held`, which is last. */
  readonly stored: readonly ColumnDef[]
  /** A temporary table of this contribution. */
  temp(purpose: string): Ident
}

/** `_held` is true where the newest version of the row is in quarantine and this is the one before it. */
export const HELD: ColumnDef = { name: '_held', type: { kind: 'bool' }, nullable: false, personal: false }

export function layoutOf(ctx: StageContext, feed: Feed): Layout {
  const columns = mapColumns(ctx.project, ctx.tx.dialect, feed, 's')
  const keying = keyingOf(feed, columns)
  const ids = idsOf(feed, keying, columns)
  const personal = hasPersonalIds(feed, keying, columns)
  return {
    feed,
    target: cleansedTable(feed.entity, feed.contribution),
    keying,
    columns,
    ids,
    key: keying === 'identities' ? ids : feed.entity.key,
    keyOf: alias => {
      // `_source_key` is the text of a key already; the only value of an identity may be missing.
      const key = keyShown(
        ids.map(id => sql`${ident(alias, id)}`),
        personal,
      )
      return keying === 'identities' ? sql`coalesce(${key}, ${'\\N'})` : key
    },
    stored: storedColumns(feed, keying, ids),
    temp: purpose => ident('temp', `cleansing_${feed.entity.name}_${feed.contribution.as}_${purpose}`),
  }
}

function keyingOf(feed: Feed, columns: readonly MappedColumn[]): Keying {
  if (feed.contribution.match !== null) return 'identities'
  const { key, cleanse } = feed.entity
  const copies = keyColumns(feed, columns).map(column => column.copyOf)
  const repaired = cleanse.some(repair => key.includes(repair.column))
  const oneToOne = copies.length === feed.table.key.length && feed.table.key.every(name => copies.includes(name))
  return oneToOne && !repaired ? 'direct' : 'derived'
}

function keyColumns(feed: Feed, columns: readonly MappedColumn[]): readonly MappedColumn[] {
  return feed.entity.key.map(name => columns.find(column => column.column.name === name) as MappedColumn)
}

function idsOf(feed: Feed, keying: Keying, columns: readonly MappedColumn[]): readonly string[] {
  if (keying === 'derived') return ['_source_key']
  if (keying === 'identities') return feed.contribution.map.map(m => `_k_${m.column}`)
  // In the order of the staged key, so that the text of the key is the same on both sides.
  return feed.table.key.map(
    name => (columns.find(c => c.copyOf === name && isKey(feed, c)) as MappedColumn).column.name,
  )
}

function isKey(feed: Feed, column: MappedColumn): boolean {
  return feed.entity.key.includes(column.column.name)
}

function hasPersonalIds(feed: Feed, keying: Keying, columns: readonly MappedColumn[]): boolean {
  if (keying === 'identities') return columns.some(column => column.given && column.personal)
  const inTable = feed.table.columns.some(column => column.personal && feed.table.key.includes(column.name))
  return inTable || keyColumns(feed, columns).some(column => keying === 'direct' && column.personal)
}

function storedColumns(feed: Feed, keying: Keying, ids: readonly string[]): readonly ColumnDef[] {
  const control = (name: string, type: ColumnType): ColumnDef => ({ name, type, nullable: true, personal: false })
  if (keying === 'direct') return feed.entity.columns
  const own = ids.map(id => control(id, text))
  if (keying === 'derived') return [...feed.entity.columns, ...own]
  return [...feed.entity.columns, ...own, control('_rows', { kind: 'int', bits: 64 })]
}

/** The ids of staged rows, as columns of a SELECT over relation `s`; for identities their mapped values. */
export function idValues(layout: Layout): Sql {
  return joinSql(idSql(layout).map((value, i) => sql`${value} as ${ident(layout.ids[i] as string)}`))
}

/** The staged row in relation `s` is behind the row of `alias`, which has the id columns. */
export function isBehind(layout: Layout, alias: string): Sql {
  return joinSql(
    idSql(layout).map((value, i) => equal(layout, value, ident(alias, layout.ids[i] as string))),
    ' and ',
  )
}

function idSql({ feed, columns, keying }: Layout): readonly Sql[] {
  const key = feed.table.key.map(name => sql`${ident('s', name)}`)
  if (keying === 'direct') return key
  if (keying === 'derived') return [keyText(key)]
  return feed.contribution.map.map(m => {
    const { value } = columns.find(c => c.column.name === m.column) as MappedColumn
    return sql`${asText(value)}`
  })
}

/** The same row on both sides, by id. Identities have NULL parts. */
export function sameId(layout: Layout, a: string, b: string): Sql {
  return sameColumns(layout, layout.ids, a, b)
}

/** The same row on both sides, by the key of the cleansed table. */
export function sameKey(layout: Layout, a: string, b: string): Sql {
  return sameColumns(layout, layout.key, a, b)
}

function sameColumns(layout: Layout, names: readonly string[], a: string, b: string): Sql {
  return joinSql(
    names.map(name => equal(layout, ident(a, name), ident(b, name))),
    ' and ',
  )
}

function equal(layout: Layout, a: Sql | Ident, b: Ident): Sql {
  return layout.keying === 'identities' ? same(a, b) : sql`${a} = ${b}`
}

/** Condition on the `entity` and `contributor` columns that all control tables of this stage have. */
export function ofFeed(feed: Feed): Sql {
  return sql`entity = ${feed.entity.name} and contributor = ${feed.contribution.as}`
}
