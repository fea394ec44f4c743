import type { Conversion } from './converted-writer.ts'

/** Places of a base 10,000 digit. */
const PLACES = 4
const NEGATIVE = 0x4000
const SPECIAL: Readonly<Record<number, string>> = { 0xc000: 'NaN', 0xd000: 'Infinity', 0xf000: '-Infinity' }
const ZERO = 0x30

/** A binary `numeric` of any size as the text that the server prints. See `numeric.ts` for its form on the wire. */
export const numericText: Conversion = {
  bytesMax: ({ view }, position) => {
    const [weight, scale] = [view.getInt16(position + 2), view.getUint16(position + 6)]
    return Math.max(weight + 1, 1) * PLACES + scale + 16
  },
  put: ({ view }, position, length, { bytes }, start) => {
    const count = view.getInt16(position)
    const weight = view.getInt16(position + 2)
    const sign = view.getUint16(position + 4)
    const scale = view.getUint16(position + 6)
    const special = SPECIAL[sign]
    let at = start
    if (special !== undefined) return at + Buffer.from(bytes.buffer, bytes.byteOffset).write(special, at, 'latin1')
    if (count < 0 || length !== 8 + count * 2) return -1
    const digit = (place: number): number => (place < 0 || place >= count ? 0 : view.getInt16(position + 8 + place * 2))
    if (sign === NEGATIVE) bytes[at++] = 0x2d
    const whole = at
    for (let place = 0; place <= weight; place++) at = putDigit(bytes, at, digit(place), at === whole)
    if (at === whole) bytes[at++] = ZERO
    if (scale === 0) return at
    bytes[at++] = 0x2e
    const end = at + scale
    for (let place = weight + 1; at < end; place++) at = putPlaces(bytes, at, digit(place), end)
    return end
  },
}

/** The four places of a digit; leading zeros are left out where the number begins. */
function putDigit(bytes: Uint8Array, start: number, digit: number, isFirst: boolean): number {
  let at = start
  let isLeading = isFirst
  for (let unit = 1000; unit >= 1; unit /= 10) {
    const place = Math.floor(digit / unit) % 10
    if (isLeading && place === 0) continue
    isLeading = false
    bytes[at++] = ZERO + place
  }
  return at
}

function putPlaces(bytes: Uint8Array, start: number, digit: number, end: number): number {
  let at = start
  for (let unit = 1000; unit >= 1 && at < end; unit /= 10) bytes[at++] = ZERO + (Math.floor(digit / unit) % 10)
  return at
}
