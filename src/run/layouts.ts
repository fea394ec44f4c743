import { sql } from '../core/sql.ts'
import { typeText, type ColumnDef } from '../core/types.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { Transaction } from '../services/engine/contract.ts'
import { ofTable, stagedColumns } from './tables.ts'

/** What a staged table looks like, as text: a load made for other columns, another key or other rows is of no use. */
export function layoutOf(table: SourceTableDef): string {
  const columns = stagedColumns(table).map(({ name, type }) => [name, typeText(type)])
  return JSON.stringify({ columns, key: table.key, gone: table.gone ?? [], where: table.where })
}

interface Layout {
  readonly columns: readonly (readonly [name: string, type: string])[]
  readonly key: readonly string[]
  readonly gone: readonly string[]
  readonly where?: string
}

/** Two layouts hold the same when their columns do, in whatever order. */
export function holdsSame(a: string | null, b: string): boolean {
  if (a === b) return true
  const [one, two] = [parsedLayout(a), parsedLayout(b)]
  if (one === null || two === null) return false
  const text = (it: Layout): string => JSON.stringify([it.columns.toSorted(byName), it.key, it.gone.toSorted()])
  return text(one) === text(two)
}

/** The rows of the one were chosen as those of the other. */
export function hasSameRows(layout: string | null, table: SourceTableDef): boolean {
  return parsedLayout(layout)?.where === table.where
}

/** Columns that `next` has and `last` has not, when that is the only difference; `null` otherwise. */
function columnsAdded(last: string | null, next: string): readonly string[] | null {
  const [old, now] = [parsedLayout(last), parsedLayout(next)]
  if (old === null || now === null || JSON.stringify(old.key) !== JSON.stringify(now.key)) return null
  const has = (all: Layout['columns'], [name, type]: Layout['columns'][number]): boolean =>
    all.some(other => other[0] === name && other[1] === type)
  if (!old.columns.every(column => has(now.columns, column))) return null
  return now.columns.filter(column => !has(old.columns, column)).map(([name]) => name)
}

function parsedLayout(text: string | null): Layout | null {
  // Databases of the first version kept a hash here: nothing is known of those.
  return text !== null && text.startsWith('{') ? (JSON.parse(text) as Layout) : null
}

function byName(a: readonly [string, string], b: readonly [string, string]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0
}

/** What a table's present image is to the columns that are staged now: no stage can read one of `other` columns. */
export async function imageState(tx: Transaction, table: SourceTableDef): Promise<'none' | 'same' | 'other'> {
  const layout = await imageLayout(tx, table)
  if (layout === undefined) return 'none'
  return holdsSame(layout, layoutOf(table)) ? 'same' : 'other'
}

/** True unless there is an image of other columns, whichever of them the source has no more, or of other rows than are asked for now. */
export async function imageHasRows(tx: Transaction, table: SourceTableDef): Promise<boolean> {
  const layout = await imageLayout(tx, table)
  if (layout === undefined) return true
  return hasSameRows(layout, table) && holdsSame(layout, layoutOf({ ...table, gone: parsedLayout(layout)?.gone ?? [] }))
}

/** Columns that the image needs beside those it has, when it can be widened to fit; `null` when it has to be made anew. */
export async function columnsToAdd(tx: Transaction, table: SourceTableDef): Promise<readonly ColumnDef[] | null> {
  const names = columnsAdded((await imageLayout(tx, table)) ?? null, layoutOf(table))
  return names === null ? null : stagedColumns(table).filter(column => names.includes(column.name))
}

async function imageLayout(tx: Transaction, table: SourceTableDef): Promise<string | null | undefined> {
  const [row] = await tx.rows(sql`
    select layout from naru.load where ${ofTable(table)} and state = 'published'
    order by published_run desc, load desc limit 1`)
  return row === undefined ? undefined : (row['layout'] as string | null)
}
