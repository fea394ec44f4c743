import { fail } from '../../../core/errors.ts'
import { CR, LF, makeFields, QUOTE, scanRecord, type Dialect } from './csv-scan.ts'

/** What the header line says. */
export interface Header {
  readonly dialect: Dialect
  /** Fields of each record. */
  readonly width: number
  /** For each declared column the field that holds it. */
  readonly sources: Int32Array
  readonly unknownColumns: readonly string[]
}

/** Tried in this order; the first under which the header holds every declared column is taken. No other guess is made. */
const delimiters = [',', ';', '\t', '|'].map(it => it.charCodeAt(0))

const headerFieldsMax = 10_000

/** The byte that ends the header line, and so every line; `null` when the line end is not among these bytes. */
export function findNewline(bytes: Uint8Array, to: number, atEnd: boolean): number | null {
  let inQuotes = false
  for (let at = 0; at < to; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) inQuotes = !inQuotes
    if (inQuotes || (byte !== LF && byte !== CR)) continue
    if (byte === LF) return LF
    if (at + 1 === to && !atEnd) return null
    return at + 1 === to || bytes[at + 1] === LF ? LF : CR
  }
  return atEnd ? LF : null
}

/**
 * Reads the header at the start of `bytes`: which declared column stands in which field. Throws `FILE_COLUMN_MISSING`
 * with the first that is not there, `FILE_COLUMN_REPEATED`.
 */
export function readHeader(
  bytes: Uint8Array,
  range: { readonly to: number; readonly newline: number; readonly atEnd: boolean },
  asked: { readonly file: string; readonly columns: readonly string[] },
): { readonly header: Header; readonly end: number; readonly breaks: number } {
  const readings = delimiters.map(delimiter => readNames(bytes, range, { delimiter, newline: range.newline }))
  const found = (names: readonly string[]): number => asked.columns.filter(name => names.includes(name)).length
  const best = readings.reduce((a, b) => (found(b.names) > found(a.names) ? b : a))
  const sources = asked.columns.map(name => fieldOf(name, best.names, asked.file))
  return {
    header: {
      dialect: best.dialect,
      width: best.names.length,
      sources: Int32Array.from(sources),
      unknownColumns: best.names.filter(name => name !== '' && !asked.columns.includes(name)),
    },
    end: best.end,
    breaks: best.breaks,
  }
}

function fieldOf(column: string, names: readonly string[], file: string): number {
  const field = names.indexOf(column)
  if (field === -1) {
    const shown = names.join(', ').slice(0, 300)
    throw fail('FILE_COLUMN_MISSING', { file, column, header: shown === '' ? '(nothing)' : shown })
  }
  if (names.includes(column, field + 1)) throw fail('FILE_COLUMN_REPEATED', { file, column })
  return field
}

function readNames(
  bytes: Uint8Array,
  range: { readonly to: number; readonly atEnd: boolean },
  dialect: Dialect,
): { readonly dialect: Dialect; readonly names: readonly string[]; readonly end: number; readonly breaks: number } {
  const fields = makeFields(headerFieldsMax)
  const end = scanRecord(bytes, { from: 0, ...range }, dialect, fields)
  if (end < 0 || fields.count > headerFieldsMax) return { dialect, names: [], end: 0, breaks: 0 }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, range.to)
  const names = Array.from({ length: fields.count }, (_, i) =>
    text.toString('utf8', fields.starts[i], fields.ends[i]).replaceAll('""', '"').trim(),
  )
  return { dialect, names, end, breaks: fields.breaks }
}
