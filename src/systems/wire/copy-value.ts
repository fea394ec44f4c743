/** A value up to this many bytes is copied in a loop: a call of the native copy costs more. */
const LOOP_BYTES = 100

/** Bytes with a view over the same bytes. */
export interface Viewed {
  readonly bytes: Uint8Array
  readonly view: DataView
}

/** Copies the `length` bytes at `from` to `to`, where there is room; four at a time takes a third of the time of one at a time. */
export function copyValue(source: Viewed, from: number, length: number, target: Viewed, to: number): void {
  if (length > LOOP_BYTES) {
    target.bytes.set(source.bytes.subarray(from, from + length), to)
    return
  }
  let i = 0
  for (; i + 4 <= length; i += 4) target.view.setInt32(to + i, source.view.getInt32(from + i))
  for (; i < length; i++) target.bytes[to + i] = source.bytes[from + i] as number
}

/** `buffer` with a view over it. */
export function viewed(buffer: ArrayBuffer): Viewed {
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer) }
}
