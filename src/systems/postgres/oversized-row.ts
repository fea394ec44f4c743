import { HEAD_BYTES, type SkippedRow, type SkippedValue } from '../wire/skipped-row.ts'

type Part = 'header' | 'count' | 'length' | 'value'

/** Reads over one row piece by piece and keeps only the head of each value: memory stays small whatever the row's size. */
export class OversizedRow {
  readonly #bytes: number
  #left: number
  #part: Part
  /** Bytes of the part that are still to come, and those that were kept of it. */
  #partLeft: number
  #kept: Buffer[] = []
  #keptBytes = 0
  readonly #values: SkippedValue[] = []

  /** `bytes` is the length of the row; `withHeader` when the header of the stream stands before it. */
  constructor(bytes: number, withHeader: boolean) {
    this.#bytes = bytes
    this.#left = bytes
    this.#part = withHeader ? 'header' : 'count'
    this.#partLeft = withHeader ? 19 : 2
  }

  /** Takes the next piece; gives how many bytes of it belonged to the row. */
  push(piece: Buffer): number {
    const mine = Math.min(piece.length, this.#left)
    let at = 0
    while (at < mine) {
      const taken = Math.min(this.#partLeft, mine - at)
      this.#keep(piece.subarray(at, at + taken))
      at += taken
      this.#partLeft -= taken
      if (this.#partLeft === 0) this.#next()
    }
    this.#left -= mine
    return mine
  }

  /** The row, once all of it has passed. */
  result(): SkippedRow | null {
    return this.#left === 0 ? { bytes: this.#bytes, values: this.#values } : null
  }

  #keep(bytes: Buffer): void {
    const wanted = bytes.subarray(0, HEAD_BYTES - this.#keptBytes)
    if (wanted.length === 0) return
    this.#kept.push(Buffer.from(wanted)) // a copy: the piece itself must not stay in memory
    this.#keptBytes += wanted.length
  }

  #next(): void {
    const kept = Buffer.concat(this.#kept)
    this.#kept = []
    this.#keptBytes = 0
    switch (this.#part) {
      case 'header':
        // An extension would stand here; PostgreSQL has never sent one.
        return this.#begin('count', 2)
      case 'count':
        return this.#begin('length', 4)
      case 'length': {
        const length = kept.readInt32BE(0)
        this.#values.push({ length, head: Buffer.alloc(0) })
        return length > 0 ? this.#begin('value', length) : this.#begin('length', 4)
      }
      case 'value':
        this.#values[this.#values.length - 1] = { length: this.#values.at(-1)?.length ?? -1, head: kept }
        return this.#begin('length', 4)
    }
  }

  #begin(part: Part, bytes: number): void {
    this.#part = part
    this.#partLeft = bytes
  }
}
