import type { SourceBatch } from '../contract.ts'
import type { FileFormat } from '../contract-files.ts'
import { CR, LF, makeFields, plain, type Fields } from './csv-scan.ts'
import type { Decoder } from '../../../core/text-decoders.ts'
import { decoderOf } from './csv-text.ts'
import { readLines } from './lines.ts'
import { TextRows } from './rows.ts'
import { problemOfText, type TextShape } from './text.ts'

type FixedFormat = Extract<FileFormat, { kind: 'fixed' }>

const SPACE = 32

/**
 * Reads lines in which each field has its place. Spaces around a value are padding; a field of spaces is NULL. A line
 * that is too short for its last column is rejected, unless only the padding of its last field is missing; so is one
 * that has text behind its last field.
 */
export async function* readFixed(
  chunks: AsyncIterable<Uint8Array>,
  shape: TextShape & { readonly format: FixedFormat; readonly transcoded: boolean },
  signal: AbortSignal,
): AsyncGenerator<SourceBatch> {
  const rows = new TextRows(shape.columns.length)
  const line = new FixedLine(shape)
  for await (const block of readLines(chunks, shape.maxLineBytes, signal)) {
    if (block.kind === 'long') {
      rows.reject('LINE_TOO_LONG', `the line is longer than ${shape.maxLineBytes} bytes`, block)
      continue
    }
    const { bytes } = block
    let number = block.line
    for (let from = 0; from < bytes.length; number++) {
      const found = bytes.indexOf(LF, from)
      let end = found < 0 ? bytes.length : found
      if (end > from && bytes[end - 1] === CR) end--
      const isHeader = number === 1 && shape.format.header
      if (end > from && !isHeader) {
        line.add(rows, { bytes, from, to: end, line: number })
        if (rows.full) yield rows.take()
      }
      from = found < 0 ? bytes.length : found + 1
    }
  }
  if (!rows.empty) yield rows.take()
}

interface LineBytes {
  readonly bytes: Buffer
  readonly from: number
  readonly to: number
  readonly line: number
}

/** Cuts lines: what is read is in the file's own encoding when widths count its bytes, in UTF-8 otherwise. */
class FixedLine {
  readonly #shape: TextShape & { readonly format: FixedFormat; readonly transcoded: boolean }
  readonly #fields: Fields
  readonly #decoder: Decoder
  readonly #places: readonly { readonly column: number; readonly start: number; readonly width: number }[]
  readonly #width: number
  readonly #least: number

  constructor(shape: TextShape & { readonly format: FixedFormat; readonly transcoded: boolean }) {
    this.#shape = shape
    this.#decoder = decoderOf(shape.encoding, shape.file)
    this.#fields = makeFields(shape.columns.length)
    let start = 0
    this.#places = shape.format.fields.map(({ name, width }) => {
      const place = { column: shape.columns.findIndex(it => it.name === name), start, width }
      start += width
      return place
    })
    this.#width = start
    // Senders cut the padding of the last field off.
    this.#least = start - (this.#places.at(-1)?.width ?? 0)
  }

  add(rows: TextRows, at: LineBytes): void {
    const { encoding, transcoded, format } = this.#shape
    const raw = at.bytes.subarray(at.from, at.to)
    const isAscii = raw.every(byte => byte < 128 && byte !== 0)
    const ownBytes = format.unit === 'bytes'
    const problem = isAscii || ownBytes ? null : problemOfText(raw, encoding, transcoded)
    if (problem !== null) return rows.rejectBytes('LINE_NOT_TEXT', problem, at)
    // One unit is one byte of an ASCII line; otherwise a byte of the encoding, or a character.
    const characters = isAscii || ownBytes ? null : [...raw.toString()]
    const length = characters?.length ?? raw.length
    if (length < this.#least + 1 || isLonger(characters ?? raw, this.#width)) {
      return rows.rejectBytes('LINE_SHORT', `it has ${length} ${format.unit}, the fields take ${this.#width}`, at)
    }
    if (isAscii) return this.#cutAscii(rows, at)
    const values = this.#places.map(({ start, width }) => {
      if (characters !== null) return characters.slice(start, start + width).join('')
      return decoded(raw.subarray(start, start + width), this.#decoder)
    })
    if (values.some(value => value === null || value.includes('\0'))) {
      return rows.rejectBytes('LINE_NOT_TEXT', `it is not text in ${encoding}, or a field cuts a character in two`, at)
    }
    this.#putTexts(rows, values as readonly string[], at.line)
  }

  #cutAscii(rows: TextRows, { bytes, from, to, line }: LineBytes): void {
    for (const { column, start, width } of this.#places) {
      if (column < 0) continue
      let first = Math.min(from + start, to)
      let last = Math.min(first + width, to)
      while (first < last && bytes[first] === SPACE) first++
      while (last > first && bytes[last - 1] === SPACE) last--
      this.#put(column, first, last)
    }
    rows.add(bytes, this.#fields, line)
  }

  #putTexts(rows: TextRows, values: readonly string[], line: number): void {
    const trimmed = values.map(value => value.replaceAll(/^ +| +$/g, ''))
    const bytes = Buffer.from(trimmed.join(''))
    let at = 0
    this.#places.forEach(({ column }, i) => {
      const end = at + Buffer.byteLength(trimmed[i] as string)
      if (column >= 0) this.#put(column, at, end)
      at = end
    })
    rows.add(bytes, this.#fields, line)
  }

  #put(column: number, start: number, end: number): void {
    this.#fields.starts[column] = start
    this.#fields.ends[column] = end
    this.#fields.marks[column] = plain
  }
}

function isLonger(units: ArrayLike<number | string>, width: number): boolean {
  for (let i = width; i < units.length; i++) if (units[i] !== SPACE && units[i] !== ' ') return true
  return false
}

/** The text of bytes; `null` when they are none. */
function decoded(bytes: Uint8Array, decoder: Decoder): string | null {
  const text = decoder.decode(bytes) + decoder.decode()
  return text.includes('\ufffd') ? null : text
}
