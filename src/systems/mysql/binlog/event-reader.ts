import { FRAME_BYTES, FRAME_BYTES_MAX, HEADER, ProtocolError, serverError, type ServerError } from '../protocol.ts'
import { HEADER_BYTES } from './events.ts'

/** What comes after the order to send the log. */
export type LogMessage =
  | { readonly kind: 'event'; readonly bytes: Buffer }
  /** A large event that nobody wants, or one over the limit: only its first bytes are left, of a wanted one up to 64 KiB. */
  | { readonly kind: 'skipped'; readonly head: Buffer; readonly size: number }
  /** The end of the log, for who did not want to wait for more. */
  | { readonly kind: 'end' }
  | { readonly kind: 'error'; readonly error: ServerError }

/** An event up to this size waits with the rest of its piece; a larger one gets a buffer of its own. */
const CARRY_BYTES_MAX = 256 * 1024
/** Bytes of a large event that tell whose rows it has: the mark of the packet, the header, the number of the table. */
const HEAD_BYTES = 1 + HEADER_BYTES + 6

/** So much is left of an event over the limit: enough for the key of its row. */
const KEPT_BYTES = 64 * 1024

/** A large event that is coming. Of one that is not whole only as much is kept as `bytes` has room for. */
interface Large {
  readonly size: number
  readonly bytes: Buffer
  readonly isWhole: boolean
  filled: number
  packetLeft: number
  isLast: boolean
}

/** Finds the events in what a socket gives, split anywhere. Holds at most what was pushed and one event below the limit. */
export class EventReader {
  readonly #bytesMax: number
  readonly #isWanted: (head: Buffer) => boolean
  #rest: Buffer = Buffer.alloc(0)
  #at = 0
  #large: Large | null = null

  /** `isWanted` is asked about events over 256 KiB, with the header and the first 6 bytes of the content. */
  constructor(bytesMax: number, isWanted: (head: Buffer) => boolean) {
    this.#bytesMax = bytesMax
    this.#isWanted = isWanted
  }

  /** Bytes that were pushed and not taken. */
  get waiting(): number {
    return this.#rest.length - this.#at
  }

  push(chunk: Buffer): void {
    this.#rest = this.waiting === 0 ? chunk : Buffer.concat([this.#rest.subarray(this.#at), chunk])
    this.#at = 0
  }

  /** The next message, or `null` until more is pushed. Its bytes may be used until the next `push`.  */
  take(): LogMessage | null {
    if (this.#large !== null) return this.#continue(this.#large)
    if (this.waiting < FRAME_BYTES) return null
    const start = this.#at + FRAME_BYTES
    const length = this.#rest.readUIntLE(this.#at, 3)
    if (length < FRAME_BYTES_MAX && this.waiting >= FRAME_BYTES + length) {
      this.#at = start + length
      return messageOf(this.#rest.subarray(start, this.#at))
    }
    if (length <= CARRY_BYTES_MAX || this.waiting < FRAME_BYTES + HEAD_BYTES) return null
    return this.#begin(length, Buffer.from(this.#rest.subarray(start, start + HEAD_BYTES)))
  }

  #begin(length: number, head: Buffer): LogMessage | null {
    if (head[0] !== HEADER.ok) throw new ProtocolError(`the server sent a message of ${length} bytes that is no event`)
    const size = 1 + head.readUInt32LE(1 + 9)
    if (size < length) throw new ProtocolError('the server sent an event that says another length')
    const isWanted = this.#isWanted(head.subarray(1))
    const isWhole = isWanted && size <= this.#bytesMax
    const bytes = isWanted ? Buffer.allocUnsafeSlow(isWhole ? size : Math.min(size, KEPT_BYTES)) : head
    this.#large = { size, bytes, isWhole, filled: 0, packetLeft: length, isLast: length < FRAME_BYTES_MAX }
    this.#at += FRAME_BYTES
    return this.#continue(this.#large)
  }

  #continue(large: Large): LogMessage | null {
    for (;;) {
      const taken = Math.min(large.packetLeft, this.waiting)
      if (large.filled + taken > large.size)
        throw new ProtocolError('the server sent an event that says another length')
      this.#rest.copy(large.bytes, large.filled, this.#at, this.#at + taken)
      large.filled += taken
      large.packetLeft -= taken
      this.#at += taken
      if (large.packetLeft > 0) return null
      if (large.isLast) return this.#end(large)
      if (this.waiting < FRAME_BYTES) return null
      large.packetLeft = this.#rest.readUIntLE(this.#at, 3)
      large.isLast = large.packetLeft < FRAME_BYTES_MAX
      this.#at += FRAME_BYTES
    }
  }

  #end({ filled, size, bytes, isWhole }: Large): LogMessage {
    if (filled !== size) throw new ProtocolError('the server sent an event that says another length')
    this.#large = null
    return isWhole
      ? { kind: 'event', bytes: bytes.subarray(1) }
      : { kind: 'skipped', head: bytes.subarray(1), size: size - 1 }
  }
}

function messageOf(packet: Buffer): LogMessage {
  switch (packet[0]) {
    case HEADER.ok:
      return { kind: 'event', bytes: packet.subarray(1) }
    case HEADER.end:
      return { kind: 'end' }
    case HEADER.error:
      return { kind: 'error', error: serverError(packet) }
    default:
      throw new ProtocolError('the server sent a message that is no event')
  }
}
