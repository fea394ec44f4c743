import { fixedWidth } from '../../../../core/batch.ts'
import { changeOp, inNoTransaction, type ChangeMessage, type ChangeSlice } from '../../../../core/change-slice.ts'
import { rejectMessage } from '../../../../core/change-reject.ts'
import type { RowReject } from '../../../../core/reject.ts'
import { blockRows, layOver, type Block } from '../../../../systems/wire/block.ts'
import type { Relation } from './relation.ts'
import { blockFor, SLICE_ROWS_MAX, TableBuilder, type BuilderNeeds } from './table-builder.ts'

/** Rows that a slice of a table has room for at first: it grows where that is too little, and shrinks again. */
const FIRST_ROWS = 256
const GROWTH = 4
/** Most bytes that the fixed parts of a table take in a slice. */
const FIXED_BYTES_MAX = 8 * 1024 * 1024

/** Collects the changes of one slice. */
export class SliceBuilder {
  readonly #needs: Omit<BuilderNeeds, 'reject'>
  readonly #builders = new Map<Relation, TableBuilder>()
  readonly #capacities = new WeakMap<Relation, number>()
  readonly #blocks = new WeakMap<Relation, Block>()
  #bytes: Buffer = Buffer.alloc(0)
  #last: TableBuilder | null = null
  #order = 0
  #messages: ChangeMessage[] = []
  #transactions: { readonly id: bigint; readonly end: number; readonly micros: bigint }[] = []

  /** Bytes that the changes took on the wire. */
  size = 0

  constructor(needs: Omit<BuilderNeeds, 'reject'>) {
    this.#needs = needs
  }

  get isEmpty(): boolean {
    return this.#order === 0 && this.#transactions.length === 0
  }

  /** Place of the next change. */
  get order(): number {
    return this.#order
  }

  /** Values that are noted from now on lie in these bytes; those before are decoded. */
  layOver(bytes: Buffer): void {
    this.#bytes = bytes
    for (const builder of this.#builders.values()) {
      builder.decode()
      layOver(builder.block, bytes)
    }
  }

  /** The builder of a table with room for two more rows; `null` when the slice must end before them. */
  roomFor(relation: Relation): TableBuilder | null {
    const builder = this.#last?.relation === relation ? this.#last : this.#builderOf(relation)
    this.#last = builder
    if (!builder.hasRoom(2)) {
      this.#capacities.set(relation, Math.min(SLICE_ROWS_MAX, builder.capacity * GROWTH))
      return null
    }
    if (builder.block.rows + 2 > blockRows(builder.block.columns)) builder.decode()
    return builder
  }

  /** A row is noted: it gets its place. */
  add(builder: TableBuilder, op: number): void {
    builder.addRow(op, this.#order++)
  }

  truncate(relation: Relation): boolean {
    const builder = this.roomFor(relation)
    if (builder === null) return false
    const { block } = builder
    block.lengths.fill(-1, block.rows * block.columns, (block.rows + 1) * block.columns)
    this.add(builder, changeOp.truncate)
    return true
  }

  message(prefix: string, content: Buffer, isTransactional: boolean): void {
    const order = isTransactional ? this.#order++ : inNoTransaction
    this.#messages.push({ order, prefix, content: new Uint8Array(content) })
    this.size += content.length
  }

  commit(id: bigint, micros: bigint): void {
    this.#transactions.push({ id, end: this.#order, micros })
  }

  /** Hands over what was collected and begins anew. */
  finish(position: string | null, committedMicros: bigint | null): ChangeSlice {
    const tables = [...this.#builders.values()].map(it => it.finish()).filter(it => it.rows.rows > 0)
    for (const [relation, { rows, capacity }] of this.#builders) {
      if (rows * 8 < capacity) this.#capacities.set(relation, Math.max(FIRST_ROWS, capacity / GROWTH))
    }
    const done = this.#transactions
    const slice: ChangeSlice = {
      position,
      committedMicros: committedMicros ?? done.at(-1)?.micros ?? null,
      tables,
      transactions: {
        ids: BigInt64Array.from(done, it => it.id),
        ends: Uint32Array.from(done, it => it.end),
        committedMicros: BigInt64Array.from(done, it => it.micros),
      },
      messages: this.#messages,
    }
    this.#builders.clear()
    this.#last = null
    this.#order = 0
    this.size = 0
    this.#messages = []
    this.#transactions = []
    return slice
  }

  #builderOf(relation: Relation): TableBuilder {
    const known = this.#builders.get(relation)
    if (known !== undefined) return known
    const block = this.#blocks.get(relation) ?? blockFor(relation, this.#bytes)
    this.#blocks.set(relation, block)
    layOver(block, this.#bytes)
    const capacity = Math.min(this.#capacities.get(relation) ?? FIRST_ROWS, rowsMax(relation))
    const reject = (order: number, table: string, found: RowReject): void => {
      this.#messages.push(rejectMessage(order, table, found))
    }
    const builder = new TableBuilder(relation, capacity, block, { ...this.#needs, reject })
    this.#builders.set(relation, builder)
    return builder
  }
}

/** Rows whose fixed parts fit, so that a table of a thousand columns stays small too. */
function rowsMax({ columns }: Relation): number {
  const bytes = columns.reduce((sum, { type }) => sum + (fixedWidth(type) ?? 4), 8)
  return Math.max(16, Math.min(SLICE_ROWS_MAX, Math.floor(FIXED_BYTES_MAX / bytes)))
}
