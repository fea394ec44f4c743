/** A statement that is being put together in bytes: rows become SQL without a string for each value. */
export class SqlText {
  #bytes = Buffer.allocUnsafeSlow(64 * 1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  /** What was written, until the next change. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  /** Forgets what was written at `length` and after it. */
  cut(length: number): void {
    this.#length = length
  }

  ascii(text: string): void {
    this.#reserve(text.length)
    this.#length += this.#bytes.write(text, this.#length, 'latin1')
  }

  text(text: string): void {
    this.#reserve(text.length * 3)
    this.#length += this.#bytes.write(text, this.#length)
  }

  /** Bytes as a string literal. A session of ours reads `\` as an escape, and UTF-8 holds neither `'` nor `\` in other letters. */
  quoted(data: Uint8Array, from: number, to: number): void {
    this.#reserve((to - from) * 2 + 2)
    const bytes = this.#bytes
    let at = this.#length
    bytes[at++] = QUOTE
    for (let i = from; i < to; i++) {
      const byte = data[i] as number
      if (byte === QUOTE || byte === BACKSLASH) bytes[at++] = BACKSLASH
      bytes[at++] = byte
    }
    bytes[at++] = QUOTE
    this.#length = at
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#length + more, this.#bytes.length * 2))
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
  }
}

const QUOTE = 0x27
const BACKSLASH = 0x5c
