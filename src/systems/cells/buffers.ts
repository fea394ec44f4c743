import type { ColumnData } from '../../core/batch.ts'

/** A column of fixed width in the making. Its buffer grows by doubling and is handed over by `take`. */
export class FixedBuffer {
  readonly #width: 1 | 2 | 4 | 8 | 16
  #data: Uint8Array
  #view: DataView
  readonly #validity = new Validity()

  constructor(width: 1 | 2 | 4 | 8 | 16) {
    this.#width = width
    this.#data = new Uint8Array(256 * width)
    this.#view = new DataView(this.#data.buffer)
  }

  /** The place of row `row`, which `put` of the cell writes to. */
  at(row: number): { readonly view: DataView; readonly offset: number } {
    const offset = row * this.#width
    if (offset + this.#width > this.#data.length) {
      const larger = new Uint8Array(this.#data.length * 2)
      larger.set(this.#data)
      this.#data = larger
      this.#view = new DataView(larger.buffer)
    }
    return { view: this.#view, offset }
  }

  setNull(row: number): void {
    this.at(row)
    this.#validity.setNull(row)
  }

  take(rows: number): ColumnData {
    const data = this.#data.slice(0, rows * this.#width)
    return { layout: 'fixed', width: this.#width, validity: this.#validity.take(rows), data }
  }
}

/** A column of values of varying length in the making. */
export class BytesBuffer {
  #data = new Uint8Array(4096)
  #offsets = new Uint32Array(257)
  #used = 0
  readonly #validity = new Validity()

  put(row: number, bytes: Uint8Array): void {
    const end = this.#used + bytes.length
    if (end > this.#data.length) {
      const larger = new Uint8Array(Math.max(this.#data.length * 2, end))
      larger.set(this.#data.subarray(0, this.#used))
      this.#data = larger
    }
    this.#data.set(bytes, this.#used)
    this.#used = end
    this.#end(row)
  }

  setNull(row: number): void {
    this.#validity.setNull(row)
    this.#end(row)
  }

  take(rows: number): ColumnData {
    const data = this.#data.slice(0, this.#used)
    const offsets = this.#offsets.slice(0, rows + 1)
    this.#used = 0
    return { layout: 'bytes', validity: this.#validity.take(rows), offsets, data }
  }

  #end(row: number): void {
    if (row + 1 >= this.#offsets.length) {
      const larger = new Uint32Array(this.#offsets.length * 2)
      larger.set(this.#offsets)
      this.#offsets = larger
    }
    this.#offsets[row + 1] = this.#used
  }
}

/** Every row is valid until one is set NULL. */
class Validity {
  #bits = new Uint8Array(32).fill(0xff)
  #nulls = 0

  setNull(row: number): void {
    if (row >> 3 >= this.#bits.length) {
      const larger = new Uint8Array(Math.max(this.#bits.length * 2, (row >> 3) + 1)).fill(0xff)
      larger.set(this.#bits)
      this.#bits = larger
    }
    this.#bits[row >> 3] = (this.#bits[row >> 3] as number) & ~(1 << (row & 7))
    this.#nulls++
  }

  take(rows: number): Uint8Array | null {
    if (this.#nulls === 0) return null
    const bytes = Math.ceil(rows / 8)
    const taken = new Uint8Array(bytes).fill(0xff)
    taken.set(this.#bits.subarray(0, bytes))
    this.#bits.fill(0xff)
    this.#nulls = 0
    return taken
  }
}
