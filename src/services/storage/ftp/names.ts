import { decoderFor } from '../../../core/text-decoders.ts'

/**
 * File names between text and the wire, where a string holds one byte in each character. Only names that come back to the
 * same bytes are text: under any other the server would not find its file.
 */
export interface NameCodec {
  readonly encoding: string
  /** True when every character of the text has bytes in the encoding. */
  holds(text: string): boolean
  /** The bytes of a text; `?` for a character that has none, see `holds`. */
  toWire(text: string): string
  /** The text of a name; `null` when its bytes are no text. */
  toText(wire: string): string | null
  /** For messages: what is no text stands as U+FFFD. */
  show(wire: string): string
}

/** The codec of an encoding with one or two bytes for a character, or of UTF-8. Throws a `RangeError` for any other. */
export function nameCodec(label: string): NameCodec {
  const { encoding } = decoderFor(label)
  if (encoding.startsWith('utf-16')) throw new RangeError('names in UTF-16 hold zero bytes')
  const bytesOf = encoding === 'utf-8' ? utf8 : (char: string) => tableOf(encoding).get(char)
  const toWire = (text: string): string => Array.from(text, char => bytesOf(char) ?? '?').join('')
  const show = (wire: string): string => {
    const decoder = decoderFor(encoding)
    return decoder.decode(Buffer.from(wire, 'latin1')) + decoder.decode()
  }
  return {
    encoding,
    toWire,
    show,
    holds: text => !/\p{Cs}/u.test(text) && Array.from(text).every(char => bytesOf(char) !== undefined),
    toText: wire => {
      const text = show(wire)
      return text.includes('\ufffd') || toWire(text) !== wire ? null : text
    },
  }
}

function utf8(char: string): string {
  return Buffer.from(char).toString('latin1')
}

const tables = new Map<string, ReadonlyMap<string, string>>()

/** The bytes of every character: Node decodes these encodings and encodes none, so the decoder is asked about all. */
function tableOf(encoding: string): ReadonlyMap<string, string> {
  const known = tables.get(encoding)
  if (known !== undefined) return known
  const table = new Map<string, string>()
  const add = (bytes: readonly number[]): void => {
    const decoder = decoderFor(encoding)
    const text = decoder.decode(Uint8Array.from(bytes)) + decoder.decode()
    if ([...text].length !== 1 || text === '\ufffd' || table.has(text)) return
    table.set(text, String.fromCharCode(...bytes))
  }
  for (let byte = 0; byte < 256; byte++) add([byte])
  for (let lead = 0x81; lead <= 0xfe; lead++) for (let trail = 0x30; trail <= 0xfe; trail++) add([lead, trail])
  tables.set(encoding, table)
  return table
}
