import { fail } from '../../../core/errors.ts'
import type { RowReject } from '../../../core/reject.ts'
import type { SourceBatch } from '../contract.ts'
import { CR, LF, makeFields, type Fields } from './csv-scan.ts'
import type { Utf8Text } from './csv-text.ts'
import { damaged } from './faults.ts'
import { JsonScanner, jsonBad, jsonNeedsMore } from './json-scan.ts'
import type { FileLimits } from './limits.ts'
import { readLines } from './lines.ts'
import { TextRows } from './rows.ts'
import { problemOfText, type TextShape } from './text.ts'

export interface JsonShape extends TextShape, Pick<FileLimits, 'maxDepth' | 'maxElements' | 'maxColumns'> {
  /** Members that are not told as unknown. */
  readonly passed?: readonly string[] | undefined
}

/** Puts objects into rows: what both kinds of JSON files have in common. */
export interface JsonRows {
  readonly scanner: JsonScanner
  /** True when no further object may be added before `take`. */
  readonly full: boolean
  /** Adds the object between `from` and `to`; what cannot be taken is rejected. */
  add(bytes: Buffer, from: number, to: number, at: { readonly line: number; readonly problem: string | null }): void
  reject(
    reason: RowReject['reason'],
    detail: string,
    at: { readonly line: number; readonly bytes: number; readonly content: string },
  ): void
  /** What there is; at the end also what is told of the whole file. */
  take(atEnd: boolean): SourceBatch | null
}

/** Each object is a row. */
export class ObjectRows implements JsonRows {
  readonly rows: TextRows
  readonly #scanner: JsonScanner
  readonly #fields: Fields
  readonly #shape: JsonShape

  constructor(shape: JsonShape) {
    this.#shape = shape
    this.rows = new TextRows(shape.columns.length)
    this.#fields = makeFields(shape.columns.length)
    const names = shape.columns.map(column => column.name)
    this.#scanner = new JsonScanner(names, shape)
  }

  get scanner(): JsonScanner {
    return this.#scanner
  }

  get full(): boolean {
    return this.rows.full
  }

  reject(...given: Parameters<JsonRows['reject']>): void {
    this.rows.reject(...given)
  }

  add(bytes: Buffer, from: number, to: number, at: { readonly line: number; readonly problem: string | null }): void {
    const reject = (reason: 'LINE_JSON' | 'LINE_NOT_TEXT' | 'LINE_FIELD_MISSING', detail: string): void =>
      this.rows.rejectBytes(reason, detail, { line: at.line, bytes, from, to })
    if (at.problem !== null) return reject('LINE_NOT_TEXT', at.problem)
    if (this.#scanner.readObject(bytes, from, to, this.#fields) === jsonBad) {
      return reject('LINE_JSON', this.#scanner.problem)
    }
    const missing = this.#shape.columns.find(({ nullable }, i) => !nullable && !this.#scanner.has(i))
    if (missing !== undefined) {
      return reject('LINE_FIELD_MISSING', `it has no "${missing.name}"; .null() lets an object do without`)
    }
    this.rows.add(bytes, this.#fields, at.line)
  }

  /** What there is; members that nobody declared are told at the end. Without columns nothing else is asked for. */
  take(atEnd: boolean): SourceBatch | null {
    const { passed = [] } = this.#shape
    const unknownColumns = this.#scanner.unknownColumns.filter(name => !passed.includes(name))
    const tells = (atEnd || this.#shape.columns.length === 0) && unknownColumns.length > 0
    if (this.rows.empty && !tells) return null
    return { ...this.rows.take(), ...(tells && { unknownColumns }) }
  }
}

function* whatIsThere(objects: JsonRows): Generator<SourceBatch> {
  const part = objects.take(false)
  if (part !== null) yield part
}

/** Reads newline-delimited JSON: each line is a row or a reject; a blank one is neither. */
export async function* readNdjson(
  text: Utf8Text,
  objects: JsonRows,
  shape: JsonShape,
  signal: AbortSignal,
): AsyncGenerator<SourceBatch> {
  for await (const block of readLines(text.chunks, shape.maxLineBytes, signal)) {
    if (block.kind === 'long') {
      objects.reject('LINE_TOO_LONG', `the line is longer than ${shape.maxLineBytes} bytes`, block)
      continue
    }
    const { bytes } = block
    const isSuspect = problemOfText(bytes, shape.encoding, text.transcoded) !== null
    let { line } = block
    for (let from = 0; from < bytes.length; line++) {
      const found = bytes.indexOf(LF, from)
      const next = found < 0 ? bytes.length : found + 1
      let end = found < 0 ? bytes.length : found
      if (end > from && bytes[end - 1] === CR) end--
      if (end > from) {
        const problem = isSuspect ? problemOfText(bytes.subarray(from, end), shape.encoding, text.transcoded) : null
        objects.add(bytes, from, end, { line, problem })
        if (objects.full) yield* whatIsThere(objects)
      }
      from = next
    }
  }
  const last = objects.take(true)
  if (last !== null) yield last
}

/**
 * Reads the objects of the array that `path` leads to; `line` is the number of the object. An element that is no object
 * is rejected. Text that is no JSON stops the file, because what follows cannot be found.
 */
export async function* readJson(
  text: Utf8Text,
  objects: JsonRows,
  shape: JsonShape & { readonly path: readonly string[] },
  signal: AbortSignal,
): AsyncGenerator<SourceBatch> {
  const document = new JsonDocument(text.chunks[Symbol.asyncIterator](), shape, objects.scanner)
  await document.enter(shape.path)
  let number = 0
  while (await document.nextElement()) {
    signal.throwIfAborted()
    const { bytes, start, end } = document
    const problem = problemOfText(bytes.subarray(start, end), shape.encoding, text.transcoded)
    objects.add(bytes, start, end, { line: ++number, problem })
    document.passElement()
    if (objects.full) yield* whatIsThere(objects)
  }
  await document.leave(shape.path.length)
  const last = objects.take(true)
  if (last !== null) yield last
}

const windowBytes = 1 << 20

/** A JSON document that comes in pieces: a window over it, as long as its largest value. */
class JsonDocument {
  readonly #chunks: AsyncIterator<Uint8Array>
  readonly #shape: JsonShape
  readonly #scanner: JsonScanner
  readonly bytes: Buffer
  /** The present element. */
  start = 0
  end = 0
  #at = 0
  #to = 0
  #atEnd = false
  #rest: Uint8Array = new Uint8Array(0)
  #count = 0

  constructor(chunks: AsyncIterator<Uint8Array>, shape: JsonShape, scanner: JsonScanner) {
    this.#chunks = chunks
    this.#shape = shape
    this.#scanner = scanner
    this.bytes = Buffer.allocUnsafe(shape.maxLineBytes + windowBytes)
  }

  /** Goes to the array: behind its bracket. */
  async enter(path: readonly string[]): Promise<void> {
    for (const name of path) {
      await this.#expect('{', `no object that has "${name}"`)
      for (;;) {
        if ((await this.#next()) === '}') throw this.#damaged(`it has no member "${name}"`)
        await this.#value()
        const key = JSON.parse(this.bytes.toString('utf8', this.start, this.end)) as unknown
        this.#at = this.end
        await this.#expect(':', 'no colon behind a name')
        if (key === name) break
        await this.#value()
        this.#at = this.end
        if ((await this.#next()) === ',') this.#at++
      }
    }
    await this.#expect('[', 'no array where the objects should be')
  }

  /** Finds the next element; false at the end of the array. */
  async nextElement(): Promise<boolean> {
    if ((await this.#next()) === ']') {
      this.#at++
      return false
    }
    if (this.#count++ > 0) await this.#expect(',', 'no comma between two elements')
    await this.#value()
    return true
  }

  passElement(): void {
    this.#at = this.end
  }

  /** Reads what stands behind the array: the rest of the objects around it, and then nothing. */
  async leave(depth: number): Promise<void> {
    for (let level = 0; level < depth; level++) {
      while ((await this.#next()) === ',') {
        this.#at++
        await this.#value()
        this.#at = this.end
        await this.#expect(':', 'no colon behind a name')
        await this.#value()
        this.#at = this.end
      }
      await this.#expect('}', 'an object around the array has no end')
    }
    if ((await this.#next()) !== '') throw this.#damaged('there is more behind its end')
  }

  /** Finds the end of the value that begins here. */
  async #value(): Promise<void> {
    await this.#next()
    for (;;) {
      const end = this.#scanner.skip(this.bytes, this.#at, this.#to)
      const maybeMore = end === jsonNeedsMore || end === this.#to
      if (maybeMore && !this.#atEnd) {
        await this.#fill()
        continue
      }
      if (end < 0) throw this.#damaged(this.#scanner.problem)
      this.start = this.#at
      this.end = end
      return
    }
  }

  /** The character that comes next behind white space; `''` at the end. */
  async #next(): Promise<string> {
    for (;;) {
      while (this.#at < this.#to && ' \n\r\t'.includes(String.fromCharCode(this.bytes[this.#at] as number))) this.#at++
      if (this.#at < this.#to) return String.fromCharCode(this.bytes[this.#at] as number)
      if (this.#atEnd) return ''
      await this.#fill()
    }
  }

  async #expect(character: string, problem: string): Promise<void> {
    if ((await this.#next()) !== character) throw this.#damaged(`there is ${problem}`)
    this.#at++
  }

  /** Takes more bytes; throws `FILE_LIMIT` when one value fills the window. */
  async #fill(): Promise<void> {
    this.bytes.copyWithin(0, this.#at, this.#to)
    this.#to -= this.#at
    this.#at = 0
    if (this.#to > this.#shape.maxLineBytes) {
      const limit = String(this.#shape.maxLineBytes)
      throw fail('FILE_LIMIT', { file: this.#shape.file, what: 'bytes in one value', limit, option: 'maxLineBytes' })
    }
    if (this.#rest.length === 0) {
      const next = await this.#chunks.next()
      if (next.done === true) {
        this.#atEnd = true
        return
      }
      this.#rest = next.value
    }
    const take = Math.min(this.#rest.length, this.bytes.length - this.#to)
    this.bytes.set(this.#rest.subarray(0, take), this.#to)
    this.#to += take
    this.#rest = this.#rest.subarray(take)
  }

  #damaged(problem: string): Error {
    return damaged(this.#shape.file, `object ${this.#count}: ${problem}`)
  }
}
