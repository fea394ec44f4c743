import type { RowReject, SourceBatch } from '../contract.ts'
import { fail } from '../../../core/errors.ts'
import { TextColumns } from './csv-columns.ts'
import { findNewline, readHeader, type Header, type HeaderShape } from './csv-header.ts'
import { badQuote, CR, LF, makeFields, needsMore, openQuote, scanRecord, type Fields } from './csv-scan.ts'
import type { Utf8Text } from './csv-text.ts'
import { contentChars } from './lines.ts'
import { problemOfText } from './text.ts'

/** What is asked of a file. */
export interface CsvShape extends HeaderShape {
  readonly encoding: string
  readonly nulls: readonly string[]
  /** Longest record in bytes of UTF-8. */
  readonly maxLineBytes: number
}

/** Bytes taken from the file at a time, beside the longest record. */
const windowBytes = 1 << 20

/** Rejects of one batch. */
const rejectsMax = 1000

/**
 * Reads CSV (RFC 4180, with a header) as text columns in file order. Every record becomes a row or a reject with its
 * line number; a blank line is neither. Empty without quotes is NULL, `""` is empty text. A record of the wrong number of
 * fields, with bytes that are no text, with bad quotes or over the limit is rejected; the next line goes on. After a
 * quote that is never closed only the line it stands on is rejected: the lines behind it are read by themselves.
 */
export async function* readCsv(text: Utf8Text, shape: CsvShape, signal: AbortSignal): AsyncGenerator<SourceBatch> {
  const reader = new CsvReader(shape, text.transcoded)
  for await (const chunk of text.chunks) {
    for (let at = 0; at < chunk.length;) {
      signal.throwIfAborted()
      at += reader.fill(chunk, at)
      yield* reader.read(false)
    }
  }
  yield* reader.read(true)
}

interface SkippedLine {
  readonly line: number
  bytes: number
  readonly content: string
}

/** The reader of one file: a window over its bytes, and the rows and rejects that are not handed on yet. */
class CsvReader {
  readonly #shape: CsvShape
  readonly #transcoded: boolean
  readonly #maxLineBytes: number
  readonly #columns: TextColumns
  readonly #window: Buffer
  #from = 0
  #to = 0
  #header: Header | null = null
  #fields: Fields = makeFields(0)
  /** Number of the line at `#from`. */
  #line = 1
  #rejects: RowReject[] = []
  /** Set while the rest of a line over the limit is passed by. */
  #skipped: SkippedLine | null = null
  /** The header was read and not told yet. */
  #news: Pick<SourceBatch, 'unknownColumns' | 'dialect'> | null = null
  /** Some record in the window holds what is no text: each is checked by itself then. */
  #suspect = false

  constructor(shape: CsvShape, transcoded: boolean) {
    this.#shape = shape
    this.#transcoded = transcoded
    this.#maxLineBytes = shape.maxLineBytes
    this.#columns = new TextColumns(shape.columns.length, shape.nulls)
    this.#window = Buffer.allocUnsafe(this.#maxLineBytes + windowBytes)
  }

  /** Takes as much of the chunk as has room; gives how much. `read` leaves room for at least 1 byte. */
  fill(chunk: Uint8Array, at: number): number {
    this.#window.copyWithin(0, this.#from, this.#to)
    this.#to -= this.#from
    this.#from = 0
    const take = Math.min(chunk.length - at, this.#window.length - this.#to)
    this.#window.set(chunk.subarray(at, at + take), this.#to)
    this.#to += take
    return take
  }

  /** Reads every whole record of the window; at the end of the file everything that is left. */
  *read(atEnd: boolean): Generator<SourceBatch> {
    if (this.#header === null && !this.#readHeader(atEnd)) return
    const header = this.#header as unknown as Header
    this.#checkText(header, atEnd)
    while (this.#step(header, atEnd)) {
      if (this.#columns.full || this.#rejects.length >= rejectsMax) yield this.#take()
    }
    if (atEnd && (this.#columns.rows > 0 || this.#rejects.length > 0 || this.#news !== null)) yield this.#take()
  }

  #readHeader(atEnd: boolean): boolean {
    while (this.#from < this.#to && (this.#window[this.#from] === LF || this.#window[this.#from] === CR)) {
      if (this.#window[this.#from++] === LF) this.#line++
    }
    const bytes = this.#window.subarray(this.#from, this.#to)
    const newline = findNewline(bytes, { to: bytes.length, atEnd }, this.#shape.quote)
    if (newline === null) {
      if (bytes.length < this.#maxLineBytes) return false
      const [column = ''] = this.#shape.columns
      throw fail('FILE_COLUMN_MISSING', { file: this.#shape.file, column, header: '(a first line without end)' })
    }
    const { header, end, breaks } = readHeader(bytes, { to: bytes.length, newline, atEnd }, this.#shape)
    this.#header = header
    this.#fields = makeFields(header.width)
    const { unknownColumns, found } = header
    if (unknownColumns.length > 0 || found !== undefined) this.#news = { unknownColumns, dialect: found }
    this.#from += end
    if (this.#shape.header) this.#line += breaks + 1
    return true
  }

  /** Reads one record, or passes over one piece; false when that needs more bytes. */
  #step(header: Header, atEnd: boolean): boolean {
    const { newline } = header.dialect
    if (this.#skipped !== null) return this.#skip(newline, atEnd)
    if (newline === CR && this.#window[this.#from] === LF && this.#from < this.#to) this.#from++
    if (this.#from >= this.#to) return false
    if (this.#isBlank(newline)) return this.#advance(this.#window.indexOf(newline, this.#from) + 1, 1)
    // No further than the limit, so that what is said of a record does not depend on how much of the file is here.
    const limit = this.#from + this.#maxLineBytes + 1
    const range = { from: this.#from, to: Math.min(this.#to, limit), atEnd: atEnd && this.#to <= limit }
    const end = scanRecord(this.#window, range, header.dialect, this.#fields)
    if (end === needsMore && this.#to - this.#from <= this.#maxLineBytes) return false
    if (end < 0 || end - this.#from > this.#maxLineBytes) return this.#rejectFirstLine(end, newline, atEnd)
    this.#accept(header, end)
    return this.#advance(end, this.#fields.breaks + 1)
  }

  #accept(header: Header, end: number): void {
    const problem = this.#suspect ? this.#problemOfText(end) : null
    if (problem !== null) this.#reject('LINE_NOT_TEXT', problem, end)
    else if (this.#fields.count !== header.width) {
      const detail = `it has ${this.#fields.count} fields, ${this.#shape.header ? 'the header has' : 'declared are'} ${header.width}`
      this.#reject('LINE_RAGGED', detail, end)
    } else this.#columns.add(this.#window, this.#fields, header.sources, this.#line)
  }

  /** A record that cannot be taken whole: its first line is rejected, the lines behind it are read by themselves. */
  #rejectFirstLine(scanned: number, newline: number, atEnd: boolean): boolean {
    const found = this.#window.subarray(0, this.#to).indexOf(newline, this.#from)
    const known = (found === -1 ? this.#to : found) - this.#from
    if (known > this.#maxLineBytes) {
      this.#skipped = { line: this.#line, bytes: 0, content: this.#start(this.#from + this.#maxLineBytes) }
      return true
    }
    if (found === -1 && !atEnd) return false
    const end = found === -1 ? this.#to : found + 1
    this.#reject('LINE_QUOTE', quoteProblem(scanned, this.#maxLineBytes), end)
    return this.#advance(end, 1)
  }

  /** Passes over the rest of a line that is over the limit, without keeping it. */
  #skip(newline: number, atEnd: boolean): boolean {
    const skipped = this.#skipped as SkippedLine
    const found = this.#window.subarray(0, this.#to).indexOf(newline, this.#from)
    const end = found === -1 ? this.#to : found + 1
    skipped.bytes += (found === -1 ? this.#to : found) - this.#from
    this.#from = end
    if (found === -1 && !atEnd) return false
    const detail = `the line is longer than ${this.#maxLineBytes} bytes`
    const { line, bytes, content } = skipped
    this.#rejects.push({ reason: 'LINE_TOO_LONG', detail, key: null, line, bytes, content })
    this.#skipped = null
    this.#line++
    return true
  }

  /** A line without a byte. Its line break is there: at the end of the bytes so far it may still be to come. */
  #isBlank(newline: number): boolean {
    const first = this.#window[this.#from]
    if (first === newline) return true
    return newline === LF && first === CR && this.#from + 1 < this.#to && this.#window[this.#from + 1] === LF
  }

  #advance(end: number, lines: number): true {
    this.#from = end
    this.#line += lines
    return true
  }

  #reject(reason: RowReject['reason'], detail: string, end: number): void {
    const trimmed = end > this.#from && this.#window[end - 1] === LF ? end - 1 : end
    const content = this.#start(trimmed)
    this.#rejects.push({ reason, detail, key: null, line: this.#line, bytes: trimmed - this.#from, content })
  }

  /** The first characters of what lies between the current position and `end`. */
  #start(end: number): string {
    return this.#window
      .toString('utf8', this.#from, Math.min(end, this.#from + contentChars * 4))
      .slice(0, contentChars)
  }

  /** One fast look at all whole lines of the window: only when it finds something is each record looked at. */
  #checkText(header: Header, atEnd: boolean): void {
    const last = this.#window.subarray(0, this.#to).lastIndexOf(header.dialect.newline)
    const end = atEnd ? this.#to : last + 1
    this.#suspect = end > this.#from && this.#problemOfText(end) !== null
  }

  #problemOfText(end: number): string | null {
    return problemOfText(this.#window.subarray(this.#from, end), this.#shape.encoding, this.#transcoded)
  }

  #take(): SourceBatch {
    const { batch, lines } = this.#columns.take()
    const rejects = this.#rejects
    const news = this.#news
    this.#rejects = []
    this.#news = null
    return { batch, lines, rejects, ...news }
  }
}

function quoteProblem(scanned: number, maxLineBytes: number): string {
  switch (scanned) {
    case badQuote:
      return 'a closing quote is followed by other text'
    case openQuote:
      return 'a quote on it is not closed before the end of the file'
    default:
      return `a quote on it is not closed within ${maxLineBytes} bytes`
  }
}
