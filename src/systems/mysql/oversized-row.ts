import { HEAD_BYTES, type SkippedRow, type SkippedValue } from '../wire/skipped-row.ts'
import { ProtocolError } from './protocol.ts'

type Part = 'bitmap' | 'length' | 'long length' | 'value' | 'end'

/** Reads over one binary row piece by piece and keeps only the head of each value: memory stays small whatever the row's size. */
export class OversizedRow {
  readonly #widths: Uint8Array
  #bytes = 0
  #part: Part = 'bitmap'
  /** Bytes of the part that are still to come, and those that were kept of it. */
  #partLeft: number
  #kept: Buffer[] = []
  #keptBytes = 0
  #bitmap: Buffer = Buffer.alloc(0)
  readonly #values: SkippedValue[] = []

  /** `widths` are those of `wireBytes`, one for each column. */
  constructor(widths: Uint8Array) {
    this.#widths = widths
    this.#partLeft = 1 + ((widths.length + 9) >> 3)
  }

  /** Takes the next piece of the row. Throws when it is longer than its values. */
  push(piece: Buffer): void {
    this.#bytes += piece.length
    let at = 0
    while (at < piece.length) {
      if (this.#part === 'end') throw new ProtocolError('the server sent a row that is longer than its values')
      const taken = Math.min(this.#partLeft, piece.length - at)
      this.#keep(piece.subarray(at, at + taken))
      at += taken
      this.#partLeft -= taken
      while (this.#partLeft === 0 && !this.#isOver()) this.#next()
    }
  }

  /** The row, once all of it has passed. */
  result(): SkippedRow {
    if (this.#part !== 'end') throw new ProtocolError('the server sent a row that its values do not fill')
    return { bytes: this.#bytes, values: this.#values }
  }

  #isOver(): boolean {
    return this.#part === 'end'
  }

  #keep(bytes: Buffer): void {
    const room = this.#part === 'bitmap' ? bytes.length : HEAD_BYTES - this.#keptBytes
    const wanted = bytes.subarray(0, room)
    if (wanted.length === 0) return
    this.#kept.push(Buffer.from(wanted)) // a copy: the piece itself must not stay in memory
    this.#keptBytes += wanted.length
  }

  #next(): void {
    const kept = Buffer.concat(this.#kept)
    this.#kept = []
    this.#keptBytes = 0
    switch (this.#part) {
      case 'bitmap':
        this.#bitmap = kept.subarray(1)
        return this.#nextValue()
      case 'length': {
        const first = kept[0] as number
        if (first < 0xfb) return this.#value(first)
        this.#part = 'long length'
        this.#partLeft = first === 0xfc ? 2 : first === 0xfd ? 3 : 8
        return
      }
      case 'long length':
        return this.#value(kept.length === 8 ? Number(kept.readBigUInt64LE()) : kept.readUIntLE(0, kept.length))
      case 'value':
        this.#values.push({ length: this.#valueBytes, head: kept })
        return this.#nextValue()
      case 'end':
    }
  }

  #valueBytes = 0

  #value(length: number): void {
    this.#part = 'value'
    this.#valueBytes = length
    this.#partLeft = length
  }

  #nextValue(): void {
    for (;;) {
      const c = this.#values.length
      if (c === this.#widths.length) {
        this.#part = 'end'
        this.#partLeft = 0
        return
      }
      const isNull = ((this.#bitmap[(c + 2) >> 3] as number) & (1 << ((c + 2) & 7))) !== 0
      if (!isNull) break
      this.#values.push({ length: -1, head: Buffer.alloc(0) })
    }
    const width = this.#widths[this.#values.length] as number
    if (width > 0) return this.#value(width)
    this.#part = 'length'
    this.#partLeft = 1
  }
}
