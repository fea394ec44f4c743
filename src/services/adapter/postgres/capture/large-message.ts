import { BrokenStream } from './broken-stream.ts'

/** Bytes of a value that are kept: more than any key has that an index takes. */
const HEAD_BYTES = 8 * 1024
/** Bytes before the message: its frame, kind, places and time. */
const BEFORE = 30
const TEXT = 0x74
const BINARY = 0x62
const NEW_ROW = 0x4e
/** Added to the kind of a message that was shortened. PostgreSQL has no messages of these kinds. */
export const SHORTENED = 0x20
/** What stands behind a shortened message: its bytes, the place of its largest value, and the bytes of that. */
export const TRAILER_BYTES = 12

type Part = 'before' | 'tag' | 'count' | 'kind' | 'length' | 'value'

/**
 * A change that is larger than a row may be, as it passes by: the start of each value is kept, the rest is never held. What
 * comes out is the same message with shortened values, from which its key can be read.
 */
export class LargeMessage {
  readonly #bytes: number
  readonly #out: Buffer[] = []
  #part: Part = 'before'
  #need: number
  #got: Buffer[] = []
  #gotBytes = 0
  #left: number
  #values = 0
  #column = 0
  #largest = { column: 0, bytes: 0 }
  #isNew = false

  /** Of a frame of so many bytes. `isPart`: of a transaction that has not committed, whose messages have a number more. */
  constructor(bytes: number, isPart: boolean) {
    this.#bytes = bytes
    this.#left = bytes
    this.#need = BEFORE + 1 + 4 + (isPart ? 4 : 0)
  }

  /** Takes what belongs to it; gives how many bytes that is. */
  push(bytes: Buffer): number {
    let at = 0
    while (at < bytes.length && this.#left > 0) {
      const taken = Math.min(this.#need, bytes.length - at)
      if (taken > this.#left) throw new BrokenStream('a row that is cut off')
      this.#keep(bytes.subarray(at, at + taken))
      at += taken
      this.#left -= taken
      this.#need -= taken
      if (this.#need === 0) this.#next()
    }
    return at
  }

  /** The shortened message once all has come. */
  result(): Buffer | null {
    if (this.#left > 0) return null
    if (this.#part !== 'tag') throw new BrokenStream('a row that is cut off')
    const trailer = Buffer.alloc(TRAILER_BYTES)
    trailer.writeUInt32BE(this.#bytes, 0)
    trailer.writeUInt32BE(this.#largest.column, 4)
    trailer.writeUInt32BE(this.#largest.bytes, 8)
    const message = Buffer.concat([...this.#out, trailer])
    message.writeUInt32BE(message.length - 1, 1)
    message[BEFORE] = (message[BEFORE] as number) + SHORTENED
    return message
  }

  #keep(bytes: Buffer): void {
    const room = this.#part === 'value' ? HEAD_BYTES - this.#gotBytes : bytes.length
    if (room <= 0) return
    const kept = Buffer.from(bytes.subarray(0, room)) // a copy: the piece itself must not stay in memory
    this.#got.push(kept)
    this.#gotBytes += kept.length
  }

  #next(): void {
    const got = Buffer.concat(this.#got)
    this.#got = []
    this.#gotBytes = 0
    switch (this.#part) {
      case 'before':
        if (!'IUD'.includes(String.fromCharCode(got[BEFORE] as number))) {
          throw new BrokenStream(`a message of ${this.#bytes} bytes that is no change of a row`)
        }
        return this.#emit(got, 'tag', 1)
      case 'tag':
        this.#isNew = got[0] === NEW_ROW
        return this.#emit(got, 'count', 2)
      case 'count':
        this.#values = got.readInt16BE(0)
        this.#column = -1
        return this.#emit(got, ...this.#nextValue())
      case 'kind':
        if (got[0] === TEXT || got[0] === BINARY) return this.#emit(got, 'length', 4)
        return this.#emit(got, ...this.#nextValue())
      case 'length':
        return this.#length(got)
      case 'value':
        return this.#emit(got, ...this.#nextValue())
    }
  }

  #length(got: Buffer): void {
    const bytes = got.readInt32BE(0)
    if (bytes < 0 || bytes > this.#left) throw new BrokenStream(`a value of ${bytes} bytes`)
    if (bytes > this.#largest.bytes && (this.#isNew || this.#largest.bytes === 0)) {
      this.#largest = { column: this.#column, bytes }
    }
    got.writeInt32BE(Math.min(bytes, HEAD_BYTES), 0)
    this.#emit(got, 'value', bytes)
    if (bytes === 0) this.#next()
  }

  #nextValue(): [Part, number] {
    this.#column++
    return this.#column < this.#values ? ['kind', 1] : ['tag', 1]
  }

  #emit(got: Buffer, part: Part, need: number): void {
    this.#out.push(got)
    this.#part = part
    this.#need = need
  }
}
