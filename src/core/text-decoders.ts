import { TextDecoder } from 'node:util'

/** Names that people write and the platform's decoder does not know, for encodings that it does. */
const aliases: Readonly<Record<string, string>> = {
  utf8: 'utf-8',
  utf16: 'utf-16le',
  'utf-16': 'utf-16le',
  cp949: 'euc-kr',
  ms949: 'euc-kr',
  uhc: 'euc-kr',
  euckr: 'euc-kr',
  cp932: 'shift_jis',
  ms932: 'shift_jis',
  cp936: 'gbk',
  cp950: 'big5',
  cp1250: 'windows-1250',
  cp1251: 'windows-1251',
  cp1252: 'windows-1252',
}

/** Decodes a file, chunk after chunk; a call without bytes ends it. What is no text becomes U+FFFD. */
export interface Decoder {
  /** `utf-8` needs no decoding. */
  readonly encoding: string
  decode(chunk?: Uint8Array): string
}

/** The decoder of an encoding by its usual name. Throws a `RangeError` for a name that is not known. */
export function decoderFor(label: string): Decoder {
  const name = label.trim().toLowerCase()
  const platform = new TextDecoder(aliases[name] ?? name, { ignoreBOM: true })
  const { encoding } = platform
  if (encoding === 'euc-kr') return { encoding, decode: korean() }
  const decode = (chunk?: Uint8Array): string => platform.decode(chunk, { stream: chunk !== undefined })
  if (encoding !== 'windows-1252') return { encoding, decode }
  return { encoding, decode: chunk => decode(chunk).replaceAll(/[\u0080-\u009f]/g, western) }
}

/** What windows-1252 has from 0x80 to 0x9f, where Node 20 gives control characters; five places are empty. */
const westernExtras = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'

function western(control: string): string {
  return westernExtras[control.charCodeAt(0) - 0x80] as string
}

const firstLead = 0x81
const firstTrail = 0x41
const trails = 0xfe - firstTrail + 1
const notText = 0xfffd

/**
 * Windows code page 949, which is what Korean systems write as euc-kr. Node's decoder knows KS X 1001 only: of the 8,822
 * other syllables it turns 2,349 into wrong letters without a word.
 */
function korean(): Decoder['decode'] {
  const table = (koreanTable ??= makeKoreanTable())
  let lead = 0
  return chunk => {
    const bytes = chunk ?? new Uint8Array(0)
    const units = new Uint16Array(bytes.length + 2)
    let count = 0
    for (const byte of bytes) {
      if (lead === 0) {
        if (byte < 0x80) units[count++] = byte
        else if (byte >= firstLead && byte <= 0xfe) lead = byte
        else units[count++] = notText
        continue
      }
      const unit = byte < firstTrail || byte > 0xfe ? 0 : table[(lead - firstLead) * trails + byte - firstTrail]
      units[count++] = unit === 0 ? notText : (unit as number)
      // A letter or a line end behind half a syllable is itself again: no bad byte swallows a line.
      if (unit === 0 && byte < 0x80) units[count++] = byte
      lead = 0
    }
    if (chunk === undefined && lead !== 0) {
      units[count++] = notText
      lead = 0
    }
    return Buffer.from(units.buffer, 0, count * 2).toString('utf16le')
  }
}

let koreanTable: Uint16Array | undefined

/** Code points by lead and trail byte; 0 where there is none. */
function makeKoreanTable(): Uint16Array {
  const table = new Uint16Array((0xfe - firstLead + 1) * trails)
  const at = (lead: number, trail: number): number => (lead - firstLead) * trails + trail - firstTrail
  const standard = new TextDecoder('euc-kr')
  for (let lead = 0xa1; lead <= 0xfe; lead++) {
    for (let trail = 0xa1; trail <= 0xfe; trail++) {
      const text = standard.decode(Uint8Array.of(lead, trail))
      // Places for letters of one's own (private use) mean nothing to others.
      if (text.length === 1 && (text < '\ue000' || text > '\uf8ff') && text !== '\ufffd') {
        table[at(lead, trail)] = text.charCodeAt(0)
      }
    }
  }
  // Added by the code page after the standard was closed.
  table[at(0xa2, 0xe6)] = 0x20ac // euro
  table[at(0xa2, 0xe7)] = 0xae // registered
  fillGaps(table, at)
  return table
}

/** The syllables that the standard lacks stand in the order of Unicode in the places that it leaves free. */
function fillGaps(table: Uint16Array, at: (lead: number, trail: number) => number): void {
  const known = new Set(table)
  let syllable = 0xac00
  for (let lead = firstLead; lead <= 0xc6; lead++) {
    for (let trail = firstTrail; trail <= (lead <= 0xa0 ? 0xfe : 0xa0); trail++) {
      const isLetter = trail <= 0x5a || (trail >= 0x61 && trail <= 0x7a) || trail >= 0x81
      if (!isLetter) continue
      while (known.has(syllable)) syllable++
      if (syllable > 0xd7a3) return
      table[at(lead, trail)] = syllable++
    }
  }
}
