/** Buffers that come back after use. Making a new one for each batch costs more in garbage collection than decoding costs. */
export interface BufferPool {
  /** A buffer of at least `bytes` and less than twice as many, with anything in it. */
  take(bytes: number): ArrayBuffer
  give(buffers: readonly ArrayBuffer[]): void
}

/** Bytes that wait in a pool; above it, the oldest buffers of the size that was asked for longest ago are left to the garbage collector. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024
/** A larger buffer held a rare large row. */
const BUFFER_BYTES_MAX = 8 * 1024 * 1024
/** Smaller ones cost little to make, and a pool of those of a stream of small change sets would grow to a hundred thousand. */
const BUFFER_BYTES_MIN = 4 * 1024

export function bufferPool(): BufferPool {
  /** Buffers by their size, a power of 2; sizes in the order of their last use, so that nothing is searched for. */
  const waiting = new Map<number, ArrayBuffer[]>()
  let bytesWaiting = 0
  const used = (size: number): ArrayBuffer[] => {
    const buffers = waiting.get(size) ?? []
    waiting.delete(size)
    waiting.set(size, buffers)
    return buffers
  }
  const isOverLimit = (): boolean => bytesWaiting > WAITING_BYTES_MAX
  const dropOldest = (): void => {
    for (const [size, buffers] of waiting) {
      if (buffers.shift() === undefined) continue
      bytesWaiting -= size
      return
    }
  }
  return {
    take: bytes => {
      if (bytes < BUFFER_BYTES_MIN || bytes > BUFFER_BYTES_MAX) return new ArrayBuffer(bytes)
      const size = 2 ** Math.ceil(Math.log2(bytes))
      const buffer = used(size).pop()
      if (buffer === undefined) return new ArrayBuffer(size)
      bytesWaiting -= size
      return buffer
    },
    give: buffers => {
      for (const buffer of buffers) {
        const size = buffer.byteLength
        // Others were made elsewhere, or not to be kept.
        if (size < BUFFER_BYTES_MIN || size > BUFFER_BYTES_MAX || !Number.isInteger(Math.log2(size))) continue
        used(size).push(buffer)
        bytesWaiting += size
      }
      while (isOverLimit()) dropOldest()
    },
  }
}
