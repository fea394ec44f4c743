/** Bytes that come in chunks, looked at in pieces of any length. */
export class ByteQueue {
  readonly #chunks: AsyncIterator<Uint8Array>
  #buffer = Buffer.allocUnsafe(1 << 20)
  #from = 0
  #to = 0
  #ended = false

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** What is here and not passed; valid until `fill`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(this.#from, this.#to)
  }

  /** Waits until `count` bytes are here, or all that the source has. Only bytes that came take memory. */
  async fill(count: number): Promise<void> {
    while (this.#to - this.#from < count && !this.#ended) {
      const next = await this.#chunks.next()
      if (next.done === true) this.#ended = true
      else this.#append(next.value)
    }
  }

  /** True when at least `count` bytes follow. */
  async has(count: number): Promise<boolean> {
    await this.fill(count)
    return this.#to - this.#from >= count
  }

  pass(count: number): void {
    this.#from += count
  }

  #append(chunk: Uint8Array): void {
    const held = this.#to - this.#from
    if (this.#to + chunk.length > this.#buffer.length) {
      const isSmall = held + chunk.length > this.#buffer.length
      const target = isSmall ? Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, held + chunk.length)) : this.#buffer
      this.#buffer.copy(target, 0, this.#from, this.#to)
      this.#buffer = target
      this.#from = 0
      this.#to = held
    }
    this.#buffer.set(chunk, this.#to)
    this.#to += chunk.length
  }

  async close(): Promise<void> {
    await this.#chunks.return?.()
  }
}
