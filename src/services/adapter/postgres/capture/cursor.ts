import { BrokenStream } from './broken-stream.ts'

/** Reads numbers and texts from a part of some bytes. Throws `BrokenStream` instead of reading over its end. */
export class Cursor {
  readonly bytes: Buffer
  readonly view: DataView
  start: number
  end: number
  at: number

  constructor(
    bytes: Buffer,
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    start = 0,
    end = bytes.length,
  ) {
    this.bytes = bytes
    this.view = view
    this.start = start
    this.at = start
    this.end = end
  }

  /** Goes to another part of the same bytes. */
  limit(start: number, end: number): this {
    this.start = start
    this.at = start
    this.end = end
    return this
  }

  /** What was not read yet. */
  rest(): Buffer {
    return this.bytes.subarray(this.at, this.end)
  }

  byte(): number {
    return this.view.getUint8(this.#take(1))
  }

  short(): number {
    return this.view.getInt16(this.#take(2))
  }

  /** 32 bits without a sign. */
  int(): number {
    return this.view.getUint32(this.#take(4))
  }

  big(): bigint {
    return this.view.getBigInt64(this.#take(8))
  }

  /** Text up to a zero byte. */
  text(): string {
    const end = this.bytes.indexOf(0, this.at)
    if (end < 0 || end >= this.end) throw new BrokenStream('text without an end')
    const text = this.bytes.toString('utf8', this.at, end)
    this.at = end + 1
    return text
  }

  slice(length: number): Buffer {
    const from = this.#take(length)
    return this.bytes.subarray(from, from + length)
  }

  expect(code: number): void {
    const found = this.byte()
    if (found !== code) throw new BrokenStream(`${found} where ${code} belongs`)
  }

  done(): void {
    if (this.at !== this.end)
      throw new BrokenStream(`a message of ${this.end - this.start} bytes that is read after ${this.at - this.start}`)
  }

  #take(length: number): number {
    const from = this.at
    if (from + length > this.end) throw new BrokenStream('a message that is cut off')
    this.at = from + length
    return from
  }
}
