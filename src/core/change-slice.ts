import type { ColumnBatch } from './batch.ts'
import type { ColumnDef } from './types.ts'

/** What happened to a row, as a byte of `TableChanges.ops`. */
export const changeOp = {
  /** There is a new row. */
  insert: 1,
  /** The row of this key has new values. */
  update: 2,
  /** The row of this key is gone. Only its key columns have values. */
  delete: 3,
  /** Every row of the table that came before is gone. No column has a value. */
  truncate: 4,
  /**
   * The row got another key. Directly before it, in the same table, stands the `delete` of its old key: values that the
   * source did not send ("unchanged") are those of that row.
   */
  move: 5,
} as const

export type ChangeOp = (typeof changeOp)[keyof typeof changeOp]

/**
 * Changes of one source in the order in which they took effect, as they leave a change stream and as they lie in the
 * durable log: what moves between the capture of a source and the stages. Holds whole transactions of the source, unless
 * `position` is `null`.
 */
export interface ChangeSlice {
  /**
   * Where the source was read to, in its own words. Everything at or before it is in this slice and those before it. `null`
   * in the middle of a large transaction: it takes effect with the first slice behind it that has a position.
   */
  readonly position: string | null
  /** The source's clock when the newest transaction committed, or at a sign of life without one: microseconds since 1970-01-01 UTC; `null` when it did not say. */
  readonly committedMicros: bigint | null
  /** Changes by table, each in order. A slice without any is a sign of life: only the position moved. */
  readonly tables: readonly TableChanges[]
  /** The transactions that the slice holds, in the order of their commits. */
  readonly transactions: SliceTransactions
  /** What the application wrote into the log beside its tables, in order. */
  readonly messages: readonly ChangeMessage[]
}

export interface TableChanges {
  /** Name of the table in the config. */
  readonly table: string
  /** The columns of `rows`: those that the stream was asked for and that the source has, in the types that it has. */
  readonly columns: readonly ColumnDef[]
  readonly rows: ColumnBatch
  /** A `changeOp` for each row. */
  readonly ops: Uint8Array
  /** Place of each row among all changes of the slice: 0, 1, 2 … over the tables together, growing within each. */
  readonly order: Uint32Array
  /**
   * For each column the rows whose value the source did not send because it did not change: one bit for each row, least
   * significant first, 1 = unchanged (the row has NULL there). `null` for a column without such rows.
   */
  readonly unchanged: readonly (Uint8Array | null)[]
}

/** Transactions as arrays side by side, one entry each. */
export interface SliceTransactions {
  /** Number by which a view of the source tells whether it has seen the transaction (`Snapshot.includes`); 0 when there is none. */
  readonly ids: BigInt64Array
  /** `order` of the first change behind the transaction. */
  readonly ends: Uint32Array
  /** When it committed, by the source's clock: microseconds since 1970-01-01 UTC. */
  readonly committedMicros: BigInt64Array
}

/** `order` of a message that stands in no transaction. */
export const inNoTransaction = 0xffff_ffff

export interface ChangeMessage {
  /** Its place among the changes of the slice, or `inNoTransaction`. */
  readonly order: number
  /** What the writer says it is for. */
  readonly prefix: string
  readonly content: Uint8Array
}
