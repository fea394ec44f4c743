import type { Translate } from './translate.ts'

/** No letter of Unicode. */
export const NO_LETTER = 0xffff_ffff

/**
 * The letters of a charset as the server converts them: by their one, two or three bytes. Those that begin a longer letter, and those that
 * come back as others, are `NO_LETTER`.
 */
export interface CharsetTable {
  readonly one: Uint32Array
  readonly two: Uint32Array | null
  /** Of three bytes, by the last two: of charsets in which `threeLead` begins them. */
  readonly three: Uint32Array | null
  readonly threeLead: number
}

/** Text of a charset of one to three bytes in UTF-8; `null` when a letter of it has no equal. */
export function tableText({ one, two, three, threeLead }: CharsetTable): Translate {
  return (bytes, at, length) => {
    const letters: number[] = []
    const end = at + length
    for (let i = at; i < end;) {
      let letter = one[bytes[i] as number] as number
      let used = 1
      if (letter === NO_LETTER && two !== null && i + 1 < end) {
        letter = two[bytes.readUInt16BE(i)] as number
        used = 2
      }
      if (letter === NO_LETTER && three !== null && bytes[i] === threeLead && i + 2 < end) {
        letter = three[bytes.readUInt16BE(i + 1)] as number
        used = 3
      }
      if (letter === NO_LETTER) return null
      letters.push(letter)
      i += used
    }
    return utf8Of(letters)
  }
}

/** Text of the charsets of two and four bytes, which need no table. */
export const unicodeText: Readonly<Record<string, Translate>> = {
  ucs2: units(2, (bytes, at) => bytes.readUInt16BE(at), false),
  utf16: units(2, (bytes, at) => bytes.readUInt16BE(at), true),
  utf16le: units(2, (bytes, at) => bytes.readUInt16LE(at), true),
  utf32: units(4, (bytes, at) => bytes.readUInt32BE(at), false),
}

function units(width: 2 | 4, read: (bytes: Buffer, at: number) => number, hasPairs: boolean): Translate {
  return (bytes, at, length) => {
    if (length % width !== 0) return null
    const letters: number[] = []
    for (let i = at; i < at + length; i += width) {
      const unit = read(bytes, i)
      const isHigh = hasPairs && unit >= 0xd800 && unit < 0xdc00 && i + 2 < at + length
      const low = isHigh ? read(bytes, i + 2) : 0
      if (isHigh && low >= 0xdc00 && low < 0xe000) {
        letters.push(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
        i += 2
      } else if (unit > 0x10_ffff || (unit >= 0xd800 && unit < 0xe000)) return null
      else letters.push(unit)
    }
    return utf8Of(letters)
  }
}

/** So many letters fit into the arguments of one call. */
const LETTERS_AT_ONCE = 4096

function utf8Of(letters: readonly number[]): Buffer {
  if (letters.length <= LETTERS_AT_ONCE) return Buffer.from(String.fromCodePoint(...letters))
  const parts: Buffer[] = []
  for (let i = 0; i < letters.length; i += LETTERS_AT_ONCE) parts.push(utf8Of(letters.slice(i, i + LETTERS_AT_ONCE)))
  return Buffer.concat(parts)
}
