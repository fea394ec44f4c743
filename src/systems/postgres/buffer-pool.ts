/** Buffers that come back after use. Making a new one for each batch costs more in garbage collection than decoding costs. */
export interface BufferPool {
  /** A buffer of at least `bytes`, with anything in it. */
  take(bytes: number): ArrayBuffer
  give(buffers: readonly ArrayBuffer[]): void
}

/** Buffers that wait in a pool; more are left to the garbage collector. */
const WAITING_MAX = 256

export function bufferPool(): BufferPool {
  const waiting: ArrayBuffer[] = []
  return {
    take: bytes => {
      const fits = waiting.findIndex(({ byteLength }) => byteLength >= bytes && byteLength <= bytes * 4)
      return fits < 0 ? new ArrayBuffer(bytes) : (waiting.splice(fits, 1)[0] as ArrayBuffer)
    },
    give: buffers => {
      for (const buffer of buffers) if (waiting.length < WAITING_MAX) waiting.push(buffer)
    },
  }
}
