import { changeOp } from '../../../../core/change-slice.ts'
import { touch } from '../../../../systems/postgres/log-values.ts'
import { BrokenStream } from './broken-stream.ts'
import type { Cursor } from './cursor.ts'
import { MESSAGE } from './messages.ts'
import type { SliceBuilder } from './slice-builder.ts'
import type { TableBuilder } from './table-builder.ts'

/** A value that was not sent, until its place is known. */
const UNCHANGED = -2
const NEW_ROW = 0x4e
const OLD_KEY = 0x4b
const OLD_ROW = 0x4f
const NULL = 0x6e
const TOASTED = 0x75
const TEXT = 0x74
const BINARY = 0x62

/** Notes the rows of changes: where in the bytes of the wire each value lies. Nothing is decoded yet. */
export class RowNotes {
  readonly #slice: SliceBuilder
  readonly #isBinary: boolean
  readonly #rowBytesMax: number

  constructor(slice: SliceBuilder, of: { readonly isBinary: boolean; readonly rowBytesMax: number }) {
    this.#slice = slice
    this.#isBinary = of.isBinary
    this.#rowBytesMax = of.rowBytesMax
  }

  /**
   * One change, behind the id of its table. The builder has room for two rows. False when it is of a row that nobody knows, for
   * the old row came without its key: a partition may have another identity than its table. Then nothing is noted.
   */
  note(kind: number, cursor: Cursor, builder: TableBuilder): boolean {
    if (kind === MESSAGE.insert) return this.#insert(cursor, builder)
    return kind === MESSAGE.update ? this.#update(cursor, builder) : this.#delete(cursor, builder)
  }

  /**
   * A row over the limit is told; a delete needs no more than its key. Without a key the row before an update is a row of
   * its own, which was shortened with it.
   */
  setTooLargeAside(kind: number, cursor: Cursor, builder: TableBuilder): void {
    const [bytes, place, largest] = [cursor.int(), cursor.int(), cursor.int()]
    const { places, columns, key } = builder.relation
    if (kind === MESSAGE.delete && key.length > 0) return
    const name = columns[places[place] ?? -1]?.name ?? 'a column that is not read'
    const detail = `the row has ${bytes} bytes, ${largest} of them in "${name}"; the limit is ${this.#rowBytesMax}`
    const told = { reason: 'VALUE_TOO_LARGE', key: null, line: null, bytes, content: '' } as const
    if (kind === MESSAGE.update && key.length === 0) {
      const both = `the row before an update, and the one after it, have ${bytes} bytes`
      builder.setAside(2, { ...told, detail: `${both}; the limit is ${this.#rowBytesMax}` })
    }
    builder.setAside(1, { ...told, detail })
  }

  #insert(cursor: Cursor, builder: TableBuilder): true {
    cursor.expect(NEW_ROW)
    const { block } = builder
    this.#tuple(cursor, builder, block.rows * block.columns)
    return this.#settle(builder, changeOp.insert)
  }

  #delete(cursor: Cursor, builder: TableBuilder): boolean {
    const tag = cursor.byte()
    if (tag !== OLD_KEY && tag !== OLD_ROW) throw new BrokenStream(`a delete of kind ${tag}`)
    const { block, relation } = builder
    // A partition may have another identity than its table.
    if (relation.key.length === 0 && tag !== OLD_ROW) throw new BrokenStream('a delete without the row before it')
    const base = block.rows * block.columns
    this.#tuple(cursor, builder, base)
    if (!hasKey(builder, base)) return false
    keepKey(builder, base)
    this.#slice.add(builder, changeOp.delete)
    return true
  }

  #update(cursor: Cursor, builder: TableBuilder): boolean {
    const tag = cursor.byte()
    const { block, relation } = builder
    const base = block.rows * block.columns
    if (relation.key.length === 0 && tag !== OLD_ROW) throw new BrokenStream('an update without the row before it')
    if (tag === NEW_ROW) {
      this.#tuple(cursor, builder, base)
      return this.#settle(builder, changeOp.update)
    }
    if (tag !== OLD_KEY && tag !== OLD_ROW) throw new BrokenStream(`an update of kind ${tag}`)
    this.#tuple(cursor, builder, base)
    cursor.expect(NEW_ROW)
    const next = base + block.columns
    this.#tuple(cursor, builder, next)
    for (let c = 0; c < block.columns; c++) {
      if (block.lengths[next + c] !== UNCHANGED) continue
      // What is too long to be sent is never NULL: a NULL before it is of an old row that has its key alone, whatever the tag says.
      if ((block.lengths[base + c] as number) < 0) continue
      block.lengths[next + c] = block.lengths[base + c] as number
      block.positions[next + c] = block.positions[base + c] as number
    }
    if (relation.key.length > 0 && isSameKey(builder, base, next)) {
      block.lengths.copyWithin(base, next, next + block.columns)
      block.positions.copyWithin(base, next, next + block.columns)
      return this.#settle(builder, changeOp.update)
    }
    if (!hasKey(builder, base)) return false
    keepKey(builder, base)
    this.#slice.add(builder, changeOp.delete)
    return this.#settle(builder, changeOp.move)
  }

  /** The row at the end of the block is complete. */
  #settle(builder: TableBuilder, op: number): true {
    const { block } = builder
    const base = block.rows * block.columns
    for (let c = 0; c < block.columns; c++) {
      if (block.lengths[base + c] !== UNCHANGED) continue
      block.lengths[base + c] = -1
      builder.setUnchanged(c)
    }
    this.#slice.add(builder, op)
    return true
  }

  /** Notes where the values of a tuple lie. */
  #tuple(cursor: Cursor, builder: TableBuilder, base: number): void {
    const { places, touches } = builder.relation
    const { positions, lengths } = builder.block
    const { view, bytes, end } = cursor
    let at = cursor.at
    if (at + 2 > end) throw new BrokenStream('a row that is cut off')
    const count = view.getInt16(at)
    at += 2
    if (count !== places.length) throw new BrokenStream(`a row of ${count} values where ${places.length} belong`)
    const wanted = this.#isBinary ? BINARY : TEXT
    for (let i = 0; i < count; i++) {
      if (at >= end) throw new BrokenStream('a row that is cut off')
      const kind = bytes[at++]
      const place = places[i] as number
      if (kind === NULL || kind === TOASTED) {
        if (place >= 0) lengths[base + place] = kind === NULL ? -1 : UNCHANGED
        continue
      }
      if (at + 4 > end) throw new BrokenStream('a row that is cut off')
      let length = view.getInt32(at)
      let position = at + 4
      at = position + length
      if (length < 0 || at > end || (kind !== wanted && (kind !== TEXT || place >= 0)))
        throw new BrokenStream(`a value of kind ${kind} and ${length} bytes`)
      if (place < 0) continue
      const change = touches[i]
      if (change === touch.skipVersion && length > 0) {
        position++
        length--
      } else if (change === touch.trim) while (length > 0 && bytes[position + length - 1] === 0x20) length--
      positions[base + place] = position
      lengths[base + place] = length
    }
    cursor.at = at
  }
}

/** Of the old row only the key counts, where there is one. */
function keepKey({ block, relation }: TableBuilder, base: number): void {
  for (let c = 0; c < block.columns; c++) {
    const isKept = relation.key.length === 0 || relation.key.includes(c)
    if (!isKept || block.lengths[base + c] === UNCHANGED) block.lengths[base + c] = -1
  }
}

/** The server tells the identity of the table, and sends the old row by that of the partition. */
function hasKey({ block, relation }: TableBuilder, base: number): boolean {
  return relation.key.every(c => (block.lengths[base + c] as number) >= 0)
}

function isSameKey({ block, relation }: TableBuilder, before: number, now: number): boolean {
  return relation.key.every(c => {
    const [a, b] = [block.lengths[before + c] as number, block.lengths[now + c] as number]
    if (a !== b) return false
    if (a <= 0) return true
    const [from, to] = [block.positions[before + c] as number, block.positions[now + c] as number]
    return block.bytes.compare(block.bytes, to, to + b, from, from + a) === 0
  })
}
