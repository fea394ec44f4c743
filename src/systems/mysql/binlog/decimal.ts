/** Digits of a whole group, and the bytes of it and of each smaller one. */
const GROUP_DIGITS = 9
const GROUP_BYTES = 4
const REST_BYTES = [0, 1, 1, 2, 2, 3, 3, 4, 4] as const
/** So many digits are exact in a number. */
const DIGITS_SAFE = 15

/** Bytes of a packed decimal. */
export function decimalBytes(precision: number, scale: number): number {
  return partBytes(precision - scale) + partBytes(scale)
}

function partBytes(digits: number): number {
  return Math.floor(digits / GROUP_DIGITS) * GROUP_BYTES + (REST_BYTES[digits % GROUP_DIGITS] as number)
}

/** Reads the unscaled integer of the packed decimal at `at`. */
export type UnscaledReader = (bytes: Uint8Array, at: number) => number | bigint

/** A group of digits: how many, and in how many bytes. */
interface Group {
  readonly bytes: number
  readonly scale: number
}

/** Makes the reader of a packed decimal: groups of nine digits, the most significant first, the first bit turned, and all bits of a negative one. */
export function unscaledReader(precision: number, scale: number): UnscaledReader {
  const groups = groupsOf(precision, scale)
  return precision <= DIGITS_SAFE ? small(groups) : large(groups)
}

function groupsOf(precision: number, scale: number): readonly Group[] {
  const whole = precision - scale
  const group = (digits: number): Group => ({
    bytes: digits === GROUP_DIGITS ? GROUP_BYTES : (REST_BYTES[digits] as number),
    scale: 10 ** digits,
  })
  const full = (digits: number): Group[] =>
    Array.from({ length: Math.floor(digits / GROUP_DIGITS) }, () => group(GROUP_DIGITS))
  const rest = (digits: number): Group[] => (digits % GROUP_DIGITS === 0 ? [] : [group(digits % GROUP_DIGITS)])
  return [...rest(whole), ...full(whole), ...full(scale), ...rest(scale)]
}

/** The value of a group; `turned` is 0xff for a negative decimal. */
function groupAt(bytes: Uint8Array, at: number, count: number, turned: number, isFirst: boolean): number {
  let value = 0
  for (let i = 0; i < count; i++) {
    let byte = (bytes[at + i] as number) ^ turned
    if (isFirst && i === 0) byte ^= 0x80
    value = value * 256 + byte
  }
  return value
}

function small(groups: readonly Group[]): UnscaledReader {
  return (bytes, at) => {
    const negative = ((bytes[at] as number) & 0x80) === 0
    const turned = negative ? 0xff : 0
    let value = 0
    let next = at
    for (const { bytes: count, scale } of groups) {
      value = value * scale + groupAt(bytes, next, count, turned, next === at)
      next += count
    }
    return negative ? -value : value
  }
}

function large(groups: readonly Group[]): UnscaledReader {
  const scales = groups.map(({ scale }) => BigInt(scale))
  return (bytes, at) => {
    const negative = ((bytes[at] as number) & 0x80) === 0
    const turned = negative ? 0xff : 0
    let value = 0n
    let next = at
    for (const [i, { bytes: count }] of groups.entries()) {
      value = value * (scales[i] as bigint) + BigInt(groupAt(bytes, next, count, turned, next === at))
      next += count
    }
    return negative ? -value : value
  }
}

/** The decimal as the server prints it: all digits of its scale. */
export function decimalText(unscaled: number | bigint, scale: number): string {
  const negative = unscaled < 0
  const digits = String(negative ? -unscaled : unscaled).padStart(scale + 1, '0')
  const point = digits.length - scale
  const text = scale === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`
  return negative ? `-${text}` : text
}
