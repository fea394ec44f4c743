import { isValid } from '../../core/batch.ts'
import { cellText } from '../../core/cell-text.ts'
import {
  changeOp,
  inNoTransaction,
  type ChangeOp,
  type ChangeSlice,
  type TableChanges,
} from '../../core/change-slice.ts'
import type { ColumnType } from '../../core/types.ts'
import type { SourceTableDef } from '../../config/model.ts'

/** What stands for a personal value that is not shown. */
export const maskedText = '***'

/** A column as a subscriber sees it. */
export interface SeenColumn {
  readonly name: string
  readonly type: ColumnType
  readonly isKey: boolean
  readonly isMasked: boolean
}

/** A table of a set, with the columns that its changes have. */
export interface SeenTable {
  readonly table: string
  readonly columns: readonly SeenColumn[]
}

/** A transaction of the source. */
export interface SeenTransaction {
  /** As text, for its numbers are those of the source; `null` when it has none. */
  readonly id: string | null
  readonly committedMicros: bigint
}

/** One change: a text for each column of its table, `null` for NULL and `false` for what the source did not send. */
export interface SeenChange {
  /** Place of its table in the set. */
  readonly table: number
  readonly op: keyof typeof changeOp
  readonly cells: readonly (string | null | false)[]
  /** `null` within a transaction that goes on in the next set. */
  readonly transaction: SeenTransaction | null
}

/** What an application wrote into the log beside its tables. */
export interface SeenMessage {
  readonly prefix: string
  /** In base64, for it may be any bytes; `null` for one that is larger than 256 KiB. */
  readonly content: string | null
  readonly bytes: number
  /** `null` for one that stands in no transaction, or in one that goes on in the next set. */
  readonly transaction: SeenTransaction | null
}

/** What a subscriber may see of a slice. */
export interface Sight {
  readonly tables: readonly SourceTableDef[]
  readonly showsPersonal: boolean
  /** Prefixes of messages. */
  readonly messages?: readonly string[] | undefined
}

const messageBytesMax = 256 * 1024

/** The messages of a slice that a subscriber asked for, in order. `open`: see `seenChanges`. */
export function seenMessages(
  slice: ChangeSlice,
  { messages = [] }: Sight,
  open: SeenTransaction | null = null,
): readonly SeenMessage[] {
  return slice.messages
    .filter(({ prefix }) => messages.includes(prefix))
    .map(({ order, prefix, content }) => ({
      prefix,
      content: content.byteLength > messageBytesMax ? null : Buffer.from(content).toString('base64'),
      bytes: content.byteLength,
      transaction: order === inNoTransaction ? null : (transactionOf(slice, order) ?? open),
    }))
}

const opNames = Object.fromEntries(Object.entries(changeOp).map(([name, op]) => [op, name])) as Readonly<
  Record<ChangeOp, keyof typeof changeOp>
>

/** The tables of a slice that a subscriber may see, as it sees them. A column that the config does not name is masked. */
export function seenTables(slice: ChangeSlice, { tables, showsPersonal }: Sight): readonly SeenTable[] {
  return seen(slice, tables).map(({ changes, def }) => ({
    table: def.name,
    columns: changes.columns.map(({ name: remote, type }) => {
      const name = Object.entries(def.renamed ?? {}).find(([, it]) => it === remote)?.[0] ?? remote
      const known = def.columns.find(column => column.name === name)
      return {
        name,
        type,
        isKey: def.append === true || def.key.includes(name),
        isMasked: !showsPersonal && known?.personal !== false,
      }
    }),
  }))
}

/** The first transaction that ends in one of these slices. */
export function firstTransaction(slices: readonly ChangeSlice[]): SeenTransaction | null {
  for (const slice of slices) if (slice.transactions.ends.length > 0) return transactionAt(slice, 0)
  return null
}

/**
 * The changes of these tables in the order in which they took effect, decoded one by one. `open` is the transaction that goes on
 * behind the slice, where that is known.
 */
export function* seenChanges(
  slice: ChangeSlice,
  sight: Sight,
  open: SeenTransaction | null = null,
): Generator<SeenChange> {
  const tables = seenTables(slice, sight)
  const sources = seen(slice, sight.tables).map(({ changes }) => changes)
  const next = sources.map(() => 0)
  for (;;) {
    let table = -1
    for (const [i, { order, rows }] of sources.entries()) {
      if ((next[i] as number) >= rows.rows) continue
      const isFirst =
        table === -1 || orderAt(order, next[i]) < orderAt((sources[table] as TableChanges).order, next[table])
      if (isFirst) table = i
    }
    if (table === -1) return
    const changes = sources[table] as TableChanges
    const row = next[table] as number
    next[table] = row + 1
    const op = opNames[changes.ops[row] as ChangeOp]
    const cells = (tables[table] as SeenTable).columns.map((column, i) => cellOf(changes, { column, i, row, op }))
    yield { table, op, cells, transaction: transactionOf(slice, orderAt(changes.order, row)) ?? open }
  }
}

function seen(
  slice: ChangeSlice,
  tables: readonly SourceTableDef[],
): readonly { readonly changes: TableChanges; readonly def: SourceTableDef }[] {
  return slice.tables.flatMap(changes => {
    const def = tables.find(table => table.name === changes.table)
    return def === undefined ? [] : [{ changes, def }]
  })
}

function orderAt(order: Uint32Array, row: number | undefined): number {
  return order[row as number] as number
}

function cellOf(
  { rows, unchanged }: TableChanges,
  {
    column,
    i,
    row,
    op,
  }: { readonly column: SeenColumn; readonly i: number; readonly row: number; readonly op: keyof typeof changeOp },
): string | null | false {
  if (op === 'truncate' || (op === 'delete' && !column.isKey)) return false
  const bits = unchanged[i] ?? null
  if (bits !== null && isValid(bits, row)) return false
  const data = rows.columns[i]
  const text = data === undefined ? null : cellText(column.type, data, row)
  return text !== null && column.isMasked ? maskedText : text
}

/** The transaction of a change: the first that ends behind it. */
function transactionOf(slice: ChangeSlice, order: number): SeenTransaction | null {
  const { ends } = slice.transactions
  let [from, to] = [0, ends.length]
  while (from < to) {
    const middle = (from + to) >> 1
    if ((ends[middle] as number) > order) to = middle
    else from = middle + 1
  }
  return from === ends.length ? null : transactionAt(slice, from)
}

function transactionAt({ transactions: { ids, committedMicros } }: ChangeSlice, i: number): SeenTransaction {
  const id = ids[i] as bigint
  return { id: id === 0n ? null : String(id), committedMicros: committedMicros[i] as bigint }
}
