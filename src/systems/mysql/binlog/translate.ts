import { decimalText, unscaledReader } from './decimal.ts'

/** The text, in UTF-8, of a value as it lies in a row; `null` when it has none. */
export type Translate = (bytes: Buffer, at: number, length: number) => Buffer | null

/** The label of an enum; 0 stands for a value that was none. */
export function enumText(labels: readonly Buffer[]): Translate {
  const empty = Buffer.alloc(0)
  return (bytes, at, length) => {
    const place = bytes.readUIntLE(at, length)
    return place === 0 ? empty : (labels[place - 1] ?? null)
  }
}

/** The labels of a set with commas between them. */
export function setText(labels: readonly Buffer[]): Translate {
  const texts = labels.map(label => label.toString('utf8'))
  return (bytes, at, length) => {
    let bits = 0n
    for (let i = length - 1; i >= 0; i--) bits = bits * 256n + BigInt(bytes[at + i] as number)
    if (bits >> BigInt(texts.length) !== 0n) return null
    return Buffer.from(texts.filter((_, i) => (bits & (1n << BigInt(i))) !== 0n).join(','))
  }
}

/** A decimal that no column type holds, with the zeros before it that ZEROFILL shows. */
export function wideDecimalText(precision: number, scale: number, isZerofill: boolean): Translate {
  const read = unscaledReader(precision, scale)
  const width = precision + (scale > 0 ? 1 : 0)
  return (bytes, at) => {
    const text = decimalText(read(bytes, at), scale)
    return Buffer.from(isZerofill ? text.padStart(width, '0') : text)
  }
}

/** Bytes of a fixed length, whose zeros at the end the log leaves out. */
export function paddedBytes(size: number): Translate {
  return (bytes, at, length) => {
    const padded = Buffer.alloc(size)
    bytes.copy(padded, 0, at, at + Math.min(length, size))
    return padded
  }
}

export function inet4Text(bytes: Buffer, at: number, length: number): Buffer {
  return Buffer.from(fourText(padded(bytes, at, length, 4)))
}

/** An address of version 6 as the server prints it: the longest run of zeros left out, one of version 4 with points. */
export function inet6Text(bytes: Buffer, at: number, length: number): Buffer {
  const address = padded(bytes, at, length, 16)
  const words = Array.from({ length: 8 }, (_, i) => address.readUInt16BE(i * 2))
  const gap = longestZeros(words)
  if (gap.from === 0 && (gap.length === 6 || (gap.length === 5 && words[5] === 0xffff))) {
    return Buffer.from(`${gap.length === 6 ? '::' : '::ffff:'}${fourText(address.subarray(12))}`)
  }
  const hex = words.map(word => word.toString(16))
  if (gap.length < 2) return Buffer.from(hex.join(':'))
  return Buffer.from(`${hex.slice(0, gap.from).join(':')}::${hex.slice(gap.from + gap.length).join(':')}`)
}

function longestZeros(words: readonly number[]): { readonly from: number; readonly length: number } {
  let best = { from: -1, length: 0 }
  let from = 0
  for (let i = 0; i <= words.length; i++) {
    if (words[i] === 0) continue
    if (i - from > best.length) best = { from, length: i - from }
    from = i + 1
  }
  return best
}

function fourText(bytes: Uint8Array): string {
  return [...bytes].join('.')
}

function padded(bytes: Buffer, at: number, length: number, size: number): Buffer {
  const whole = Buffer.alloc(size)
  bytes.copy(whole, 0, at, at + Math.min(length, size))
  return whole
}

/** A UUID in the order of its text. Its parts lie turned round where the server sorts by time, which two bits tell. */
export function putUuid(bytes: Buffer, at: number, length: number, out: Uint8Array, row: number): void {
  const lies = padded(bytes, at, length, 16)
  const [sixth, eighth] = [lies[6] as number, lies[8] as number]
  const isTurned = (sixth & 0x80) !== 0 && eighth > 0 && eighth <= 0x80
  const order = isTurned ? TURNED : null
  for (let i = 0; i < 16; i++) out[row * 16 + i] = lies[order === null ? i : (order[i] as number)] as number
}

/** Where each byte of the text lies: node, clock, high, middle and low part of the time. */
const TURNED = [12, 13, 14, 15, 10, 11, 8, 9, 6, 7, 0, 1, 2, 3, 4, 5] as const
