/** What Avro data that cannot be is refused with, inside a block. */
export class AvroFault extends Error {}

/**
 * A cursor over the data of a block. Nothing is allocated for a length that the data claims: what is not there is a
 * fault first.
 */
export class AvroBytes {
  readonly bytes: Buffer
  at = 0
  /** The halves of the last `long`. */
  low = 0
  high = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  byte(): number {
    if (this.at >= this.bytes.length) throw new AvroFault('its data ends too early')
    return this.bytes[this.at++] as number
  }

  /** Reads a variable-length zig-zag number into `low` and `high`. */
  long(): void {
    let low = 0
    let high = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte()
      const bits = byte & 127
      if (shift < 28) low |= bits << shift
      else if (shift === 28) {
        low |= bits << 28
        high |= bits >>> 4
      } else high |= bits << (shift - 32)
      if (byte < 128) break
      if (shift >= 63) throw new AvroFault('a number of its data has more than 10 bytes')
    }
    const sign = -(low & 1)
    this.low = ((low >>> 1) | (high << 31)) ^ sign
    this.high = (high >>> 1) ^ sign
  }

  /** The next number, when JavaScript holds it exactly; a fault otherwise. For lengths, counts and indexes. */
  count(): number {
    this.long()
    const value = this.high * 4_294_967_296 + (this.low >>> 0)
    if (!Number.isSafeInteger(value)) throw new AvroFault('a length of its data is out of all bounds')
    return value
  }

  bigint(): bigint {
    this.long()
    return (BigInt(this.high) << 32n) | BigInt(this.low >>> 0)
  }

  /** Passes over `length` bytes and gives where they began. */
  take(length: number): number {
    if (length < 0 || length > this.bytes.length - this.at) {
      throw new AvroFault(
        `a value of ${length} bytes does not fit into the ${this.bytes.length - this.at} that are left`,
      )
    }
    const start = this.at
    this.at += length
    return start
  }
}

/** Unpacks a block of Snappy; throws `AvroFault` when it is none, or would have more than `most` bytes. */
export function unsnap(packed: Buffer, most: number): Buffer {
  const bad = new AvroFault('its Snappy data is broken')
  let at = 0
  let length = 0
  for (let shift = 0; ; shift += 7) {
    const byte = packed[at++]
    if (byte === undefined || shift > 28) throw bad
    length += (byte & 127) * 2 ** shift
    if (byte < 128) break
  }
  if (length > most) throw new AvroFault(`a block of it unpacks to ${length} bytes`)
  const out = Buffer.allocUnsafe(length)
  let to = 0
  while (at < packed.length) {
    const tag = packed[at++] as number
    const kind = tag & 3
    if (kind === 0) {
      const extra = Math.max(0, (tag >> 2) - 59)
      if (at + extra > packed.length) throw bad
      const count = 1 + (extra === 0 ? tag >> 2 : packed.readUIntLE(at, extra))
      at += extra
      if (at + count > packed.length || to + count > length) throw bad
      packed.copy(out, to, at, at + count)
      at += count
      to += count
      continue
    }
    const wide = kind === 1 ? 1 : kind === 2 ? 2 : 4
    if (at + wide > packed.length) throw bad
    const count = kind === 1 ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2)
    const offset = packed.readUIntLE(at, wide) + (kind === 1 ? (tag >> 5) << 8 : 0)
    at += wide
    if (offset === 0 || offset > to || to + count > length) throw bad
    // A copy may overlap what it makes: that is how a run is written.
    for (let i = 0; i < count; i++, to++) out[to] = out[to - offset] as number
  }
  if (to !== length) throw bad
  return out
}
