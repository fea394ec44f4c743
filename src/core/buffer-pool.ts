/** Buffers that come back after use. Making a new one for each batch costs more in garbage collection than decoding costs. */
export interface BufferPool {
  /** A buffer of at least `bytes`, with anything in it. */
  take(bytes: number): ArrayBuffer
  give(buffers: readonly ArrayBuffer[]): void
}

/** Bytes that wait in a pool; the oldest buffers above it are left to the garbage collector. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024
/** A larger buffer held a rare large row. */
const BUFFER_BYTES_MAX = 8 * 1024 * 1024

export function bufferPool(): BufferPool {
  const waiting: ArrayBuffer[] = []
  let bytesWaiting = 0
  const remove = (index: number): ArrayBuffer => {
    const [buffer] = waiting.splice(index, 1) as [ArrayBuffer]
    bytesWaiting -= buffer.byteLength
    return buffer
  }
  const isOverLimit = (): boolean => bytesWaiting > WAITING_BYTES_MAX
  return {
    take: bytes => {
      const fits = waiting.findIndex(({ byteLength }) => byteLength >= bytes && byteLength <= bytes * 4)
      return fits < 0 ? new ArrayBuffer(bytes) : remove(fits)
    },
    give: buffers => {
      for (const buffer of buffers) {
        if (buffer.byteLength > BUFFER_BYTES_MAX) continue
        waiting.push(buffer)
        bytesWaiting += buffer.byteLength
      }
      while (isOverLimit()) remove(0)
    },
  }
}
