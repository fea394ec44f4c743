import { fail } from '../../../core/errors.ts'
import { CR, LF, makeFields, QUOTE, scanRecord, type Dialect } from './csv-scan.ts'
import { checkColumnCount, type FileLimits } from './limits.ts'

/** What the header line says, or the declared columns where there is none. */
export interface Header {
  readonly dialect: Dialect
  /** Fields of each record. */
  readonly width: number
  /** For each declared column the field that holds it. */
  readonly sources: Int32Array
  readonly unknownColumns: readonly string[]
  /** In words, when it is not as RFC 4180 says and nobody declared it. */
  readonly found: string | undefined
}

/** What is asked of a header. */
export interface HeaderShape {
  readonly file: string
  readonly columns: readonly string[]
  /** The names by which the dialect is found, when they are others than `columns`. */
  readonly expected?: readonly string[] | undefined
  readonly delimiter: string | null
  readonly quote: string | null
  readonly escape?: string | undefined
  readonly header: boolean
  readonly limits: Pick<FileLimits, 'maxColumns'>
}

/** Tried in this order, RFC 4180 first: the first under which the first line fits the declared columns is taken. */
const delimiters = [',', ';', '\t', '|']
const quotes = ['"', "'"]
const names: Readonly<Record<string, string>> = { '\t': 'tabs', ',': 'commas', ';': 'semicolons', '|': 'bars' }

/** The byte that ends the first line, and so every line; `null` when the line end is not among these bytes. */
export function findNewline(
  bytes: Uint8Array,
  range: { readonly to: number; readonly atEnd: boolean },
  quote: string | null,
): number | null {
  const { to, atEnd } = range
  const mark = quote === null ? QUOTE : codeOf(quote)
  let inQuotes = false
  for (let at = 0; at < to; at++) {
    const byte = bytes[at]
    if (byte === mark) inQuotes = !inQuotes
    if (inQuotes || (byte !== LF && byte !== CR)) continue
    if (byte === LF) return LF
    if (at + 1 === to && !atEnd) return null
    return at + 1 === to || bytes[at + 1] === LF ? LF : CR
  }
  return atEnd ? LF : null
}

interface Range {
  readonly to: number
  readonly newline: number
  readonly atEnd: boolean
}

/**
 * Reads the first line: which declared column stands in which field. The declared columns decide how the file is
 * written: without one that fits, it is read as declared or as RFC 4180 says, so that no guess makes one column of a
 * ragged file. Throws `FILE_COLUMN_MISSING` with the first that is not there, `FILE_COLUMN_REPEATED`, `FILE_LIMIT`.
 */
export function readHeader(
  bytes: Uint8Array,
  range: Range,
  asked: HeaderShape,
): { readonly header: Header; readonly end: number; readonly breaks: number } {
  const readings = dialectsOf(asked, range.newline).map(dialect => readNames(bytes, range, dialect, asked))
  const best = readings.reduce((a, b) => (b.fit > a.fit ? b : a))
  checkColumnCount(asked.file, best.count, asked.limits)
  const shared = { dialect: best.dialect, found: foundIn(best.dialect, asked) }
  if (!asked.header) {
    const sources = Int32Array.from(asked.columns, (_, i) => i)
    return { header: { ...shared, width: asked.columns.length, sources, unknownColumns: [] }, end: 0, breaks: 0 }
  }
  const sources = Int32Array.from(asked.columns.map(name => fieldOf(name, best.names, asked.file)))
  // Who asks for no column wants to know what there is, also that a field has no name.
  const isLook = asked.columns.length === 0
  const unknownColumns = best.names.filter(name => (name !== '' || isLook) && !asked.columns.includes(name))
  return { header: { ...shared, width: best.count, sources, unknownColumns }, end: best.end, breaks: best.breaks }
}

function dialectsOf({ delimiter, quote, escape = '' }: HeaderShape, newline: number): readonly Dialect[] {
  const tried = delimiter === null ? delimiters : [delimiter]
  return (quote === null ? quotes : [quote]).flatMap(mark =>
    tried.map(it => ({ delimiter: codeOf(it), newline, quote: codeOf(mark), escape: codeOf(escape) })),
  )
}

function codeOf(character: string): number {
  return character === '' ? -1 : character.charCodeAt(0)
}

function foundIn({ delimiter, quote }: Dialect, asked: HeaderShape): string | undefined {
  const words = [
    ...(asked.delimiter === null && delimiter !== 44
      ? [`${names[String.fromCharCode(delimiter)]} between fields`]
      : []),
    ...(asked.quote === null && quote !== QUOTE ? ["' around fields"] : []),
  ]
  return words.length === 0 ? undefined : words.join(' and ')
}

function fieldOf(column: string, header: readonly string[], file: string): number {
  const field = header.indexOf(column)
  if (field === -1) {
    const shown = header.join(', ').slice(0, 300)
    throw fail('FILE_COLUMN_MISSING', { file, column, header: shown === '' ? '(nothing)' : shown })
  }
  if (header.includes(column, field + 1)) throw fail('FILE_COLUMN_REPEATED', { file, column })
  return field
}

interface Reading {
  readonly dialect: Dialect
  readonly names: readonly string[]
  readonly count: number
  /** How many declared columns the line has; without a header, whether it has as many fields. */
  readonly fit: number
  readonly end: number
  readonly breaks: number
}

function readNames(bytes: Uint8Array, range: Range, dialect: Dialect, asked: HeaderShape): Reading {
  const fields = makeFields(asked.limits.maxColumns)
  const end = scanRecord(bytes, { from: 0, ...range }, dialect, fields)
  const { count } = fields
  if (end < 0 || count > asked.limits.maxColumns) return { dialect, names: [], count, fit: 0, end: 0, breaks: 0 }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, range.to)
  const quote = dialect.quote < 0 ? '' : String.fromCharCode(dialect.quote)
  const found = Array.from({ length: count }, (_, i) => {
    const name = text.toString('utf8', fields.starts[i], fields.ends[i])
    return (quote === '' ? name : name.replaceAll(quote + quote, quote)).trim()
  })
  // Where none is declared, as when a folder is described, more names say that it is written so; quotes are no part of one.
  const { expected = asked.columns } = asked
  const known =
    expected.length > 0
      ? expected.filter(name => found.includes(name)).length
      : found.filter(name => !/^(["']).*\1$/s.test(name)).length
  const fit = asked.header ? known : count === asked.columns.length ? 1 : 0
  return { dialect, names: found, count, fit, end, breaks: fields.breaks }
}
