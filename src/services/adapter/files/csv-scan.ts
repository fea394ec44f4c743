/** How a file is written: found from its header. */
export interface Dialect {
  /** Byte between two fields. */
  readonly delimiter: number
  /** Byte that ends a line: LF (a CR before it belongs to the line end), or CR alone. */
  readonly newline: number
  /** Byte around a field; -1 when there are no quotes. */
  readonly quote: number
  /** Byte that makes the next one a part of the value; -1 when there is none. */
  readonly escape: number
}

/** Where the fields of one record lie; written over by each scan. */
export interface Fields {
  count: number
  /** Line breaks inside quotes: the record takes that many lines more. */
  breaks: number
  /** The escape of `slashed` fields. */
  escape: number
  readonly starts: Int32Array
  readonly ends: Int32Array
  /** One of the marks below. */
  readonly marks: Uint8Array
}

export const LF = 10
export const CR = 13
export const QUOTE = 34

export const plain = 0
export const quoted = 1
/** Quoted, with quotes in it that stand twice. */
export const doubled = 2
/** Text with the escapes of JSON. */
export const escaped = 3
/** With escapes of its dialect, outside quotes. */
export const slashed = 4
/** With escapes of its dialect, or quotes that stand twice, within quotes. */
export const slashedQuoted = 5

/** The record goes on behind the bytes that are here. */
export const needsMore = -1
/** A closing quote is followed by something else than a delimiter or a line end. */
export const badQuote = -2
/** The file ends inside quotes. */
export const openQuote = -3

/** Room for the fields of a record; of a longer one the first are kept, and all are counted. */
export function makeFields(capacity: number): Fields {
  return {
    count: 0,
    breaks: 0,
    escape: -1,
    starts: new Int32Array(capacity),
    ends: new Int32Array(capacity),
    marks: new Uint8Array(capacity),
  }
}

/**
 * Finds the fields of the record that begins at `from` (RFC 4180), and gives the position behind its line end, or
 * `needsMore`, `badQuote`, `openQuote`. A quote inside an unquoted field is a character like any other. With `atEnd`,
 * `to` is the end of the file and ends the record too.
 */
export function scanRecord(
  bytes: Uint8Array,
  range: { readonly from: number; readonly to: number; readonly atEnd: boolean },
  dialect: Dialect,
  fields: Fields,
): number {
  const { to, atEnd } = range
  const { delimiter, newline, quote } = dialect
  let at = range.from
  fields.count = 0
  fields.breaks = 0
  if (dialect.escape >= 0) return scanEscaped(bytes, range, dialect, fields)
  for (;;) {
    const start = at
    if (at < to && bytes[at] === quote) {
      at = scanQuoted(bytes, start, range, dialect, fields)
      if (at < 0) return at
    } else {
      while (at < to) {
        const byte = bytes[at]
        if (byte === delimiter || byte === newline) break
        at++
      }
      if (at >= to && !atEnd) return needsMore
      const endsLine = at >= to || bytes[at] === newline
      const cut = endsLine && newline === LF && at > start && bytes[at - 1] === CR ? 1 : 0
      putField(fields, start, at - cut, plain)
    }
    if (at >= to) return to
    const byte = bytes[at]
    if (byte === newline) return at + 1
    if (byte !== delimiter) return badQuote
    at++
  }
}

/** Scans a quoted field from its opening quote; gives the position of the delimiter or line end behind it. */
function scanQuoted(
  bytes: Uint8Array,
  start: number,
  range: { readonly to: number; readonly atEnd: boolean },
  { newline, quote }: Dialect,
  fields: Fields,
): number {
  const { to, atEnd } = range
  let mark = quoted
  let at = start + 1
  for (; at < to; at++) {
    const byte = bytes[at]
    if (byte === newline) fields.breaks++
    if (byte !== quote) continue
    if (at + 1 === to && !atEnd) return needsMore
    if (at + 1 === to || bytes[at + 1] !== quote) break
    mark = doubled
    at++
  }
  if (at >= to) return atEnd ? openQuote : needsMore
  putField(fields, start + 1, at, mark)
  at++
  if (newline !== LF || at >= to || bytes[at] !== CR) return at >= to && !atEnd ? needsMore : at
  if (at + 1 === to) return atEnd ? to : needsMore
  return bytes[at + 1] === LF ? at + 1 : at
}

/** The same for a dialect with an escape: whatever follows one belongs to the value. */
function scanEscaped(
  bytes: Uint8Array,
  { from, to, atEnd }: { readonly from: number; readonly to: number; readonly atEnd: boolean },
  { delimiter, newline, quote, escape }: Dialect,
  fields: Fields,
): number {
  fields.escape = escape
  for (let at = from; ; at++) {
    const isQuoted = at < to && bytes[at] === quote
    const start = isQuoted ? at + 1 : at
    let isSlashed = false
    let end = 0 // behind the last byte that an escape made part of the value
    for (at = start; at < to; at++) {
      const byte = bytes[at]
      const isTwice = isQuoted && byte === quote && at + 1 < to && bytes[at + 1] === quote
      if (byte === escape || isTwice) {
        isSlashed = true
        at++
        end = at + 1
      } else if (isQuoted ? byte === quote : byte === delimiter || byte === newline) break
      if (at < to && bytes[at] === newline) fields.breaks++
    }
    if (at >= to && !atEnd) return needsMore
    if (at >= to && isQuoted) return openQuote
    at = Math.min(at, to)
    if (isQuoted) {
      putField(fields, start, at, isSlashed ? slashedQuoted : quoted)
      at++
      if (newline === LF && at < to && bytes[at] === CR) at++
      if (at >= to && !atEnd) return needsMore
    } else {
      const endsLine = at >= to || bytes[at] === newline
      const isCut = endsLine && newline === LF && at > Math.max(start, end) && bytes[at - 1] === CR
      putField(fields, start, isCut ? at - 1 : at, isSlashed ? slashed : plain)
    }
    if (at >= to) return to
    if (bytes[at] === newline) return at + 1
    if (bytes[at] !== delimiter) return badQuote
  }
}

function putField(fields: Fields, start: number, end: number, mark: number): void {
  const i = fields.count++
  if (i >= fields.starts.length) return
  fields.starts[i] = start
  fields.ends[i] = end
  fields.marks[i] = mark
}
