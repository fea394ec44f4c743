import { escaped, plain, quoted, type Fields } from './csv-scan.ts'

/** The value goes on behind the bytes that are here. */
export const jsonNeedsMore = -1
/** What is there is no JSON: `problem` says why. */
export const jsonBad = -2

const [QUOTE, COMMA, COLON, BACKSLASH, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST] = [...'",:\\{}[]'].map(it =>
  it.charCodeAt(0),
) as [number, number, number, number, number, number, number, number]

/**
 * Reads JSON objects (RFC 8259) straight into fields: the bytes of the value of each declared column. A number stays as
 * it is written, so that nothing rounds it; an object or a list is the text that stands there.
 */
export class JsonScanner {
  readonly #names: readonly Buffer[]
  readonly #index: ReadonlyMap<string, number>
  readonly #limits: { readonly maxDepth: number; readonly maxElements: number; readonly maxColumns: number }
  /** Which columns the present object has had, by the number of the object. */
  readonly #seen: Float64Array
  readonly #unknown = new Set<string>()
  #object = 0
  #elements = 0
  #bytes: Buffer = Buffer.alloc(0)
  #to = 0
  #at = 0
  /** Why the last call gave `jsonBad`. */
  problem = ''

  constructor(
    columns: readonly string[],
    limits: { readonly maxDepth: number; readonly maxElements: number; readonly maxColumns: number },
  ) {
    this.#names = columns.map(name => Buffer.from(name))
    this.#index = new Map(columns.map((name, i) => [name, i]))
    this.#limits = limits
    this.#seen = new Float64Array(columns.length)
  }

  /** Members that no column names, in the order they were met. */
  get unknownColumns(): readonly string[] {
    return [...this.#unknown]
  }

  /** True when the last object had a member for the column. */
  has(column: number): boolean {
    return this.#seen[column] === this.#object
  }

  /** Reads the object that fills `from` to `to` into `fields`; a column it lacks is left NULL. Gives `to` or `jsonBad`. */
  readObject(bytes: Buffer, from: number, to: number, fields: Fields): number {
    this.#begin(bytes, from, to)
    fields.starts.fill(0)
    fields.ends.fill(0)
    fields.marks.fill(plain)
    this.#object++
    this.#skipSpace()
    if (this.#at >= to || bytes[this.#at] !== OPEN) return this.#bad('it is no JSON object')
    if (!this.#members(fields)) return jsonBad
    this.#skipSpace()
    return this.#at === to ? to : this.#bad('there is more behind its object')
  }

  /** The end of any value at `from`, or `jsonNeedsMore` when it may go on behind `to`, or `jsonBad`. */
  skip(bytes: Buffer, from: number, to: number): number {
    this.#begin(bytes, from, to)
    if (this.#value(0)) return this.#at
    return this.#at >= to ? jsonNeedsMore : jsonBad
  }

  #begin(bytes: Buffer, from: number, to: number): void {
    this.#bytes = bytes
    this.#at = from
    this.#to = to
    this.#elements = 0
  }

  #members(fields: Fields): boolean {
    this.#at++
    let expected = 0
    for (let first = true; ; first = false) {
      this.#skipSpace()
      if (first && this.#byte() === CLOSE) return this.#step()
      const start = this.#at + 1
      if (!this.#string()) return false
      const column = this.#columnAt(start, this.#at - 1, expected)
      this.#skipSpace()
      if (this.#byte() !== COLON) return this.#no('a member has no colon')
      this.#at++
      this.#skipSpace()
      if (column < 0) {
        if (!this.#value(1)) return false
      } else {
        if (this.#seen[column] === this.#object) return this.#no(`it has ${this.#names[column]?.toString()} twice`)
        this.#seen[column] = this.#object
        if (!this.#field(fields, column)) return false
        expected = column + 1
      }
      this.#skipSpace()
      if (this.#byte() === CLOSE) return this.#step()
      if (this.#byte() !== COMMA) return this.#no('a member is followed by neither a comma nor a brace')
      this.#at++
    }
  }

  /** The column of a name; members mostly come in the order of the last object, so the expected one is tried first. */
  #columnAt(start: number, end: number, expected: number): number {
    const name = this.#names[expected]
    if (
      name !== undefined &&
      name.length === end - start &&
      this.#bytes.compare(name, 0, name.length, start, end) === 0
    ) {
      return expected
    }
    const raw = this.#bytes.toString('utf8', start, end)
    const key = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw
    const column = this.#index.get(key)
    if (column !== undefined) return column
    // One more than may be taken, so that whoever takes them sees that they are too many.
    if (this.#unknown.size <= this.#limits.maxColumns) this.#unknown.add(key)
    return -1
  }

  #field(fields: Fields, column: number): boolean {
    const start = this.#at
    const first = this.#byte()
    if (first === QUOTE) {
      const hasEscapes = this.#string()
      if (!hasEscapes) return false
      fields.starts[column] = start + 1
      fields.ends[column] = this.#at - 1
      fields.marks[column] = this.#escapes ? escaped : quoted
      return true
    }
    if (!this.#value(1)) return false
    if (first === 110) return true // null
    fields.starts[column] = start
    fields.ends[column] = this.#at
    fields.marks[column] = quoted
    return true
  }

  #escapes = false

  /** Any value, at `depth` levels. */
  #value(depth: number): boolean {
    if (depth > this.#limits.maxDepth) return this.#no(`it is nested deeper than ${this.#limits.maxDepth} (maxDepth)`)
    switch (this.#byte()) {
      case QUOTE:
        return this.#string()
      case OPEN:
        return this.#nested(CLOSE, depth)
      case OPEN_LIST:
        return this.#nested(CLOSE_LIST, depth)
      case 116:
        return this.#word('true')
      case 102:
        return this.#word('false')
      case 110:
        return this.#word('null')
      default:
        return this.#number()
    }
  }

  #nested(close: number, depth: number): boolean {
    this.#at++
    for (let first = true; ; first = false) {
      this.#skipSpace()
      if (first && this.#byte() === close) return this.#step()
      if (++this.#elements > this.#limits.maxElements) {
        return this.#no(`it has more than ${this.#limits.maxElements} elements (maxElements)`)
      }
      if (close === CLOSE) {
        if (!this.#string()) return false
        this.#skipSpace()
        if (this.#byte() !== COLON) return this.#no('a member has no colon')
        this.#at++
        this.#skipSpace()
      }
      if (!this.#value(depth + 1)) return false
      this.#skipSpace()
      if (this.#byte() === close) return this.#step()
      if (this.#byte() !== COMMA) return this.#no('a value is followed by neither a comma nor an end')
      this.#at++
    }
  }

  /** A string; `#escapes` tells whether it has any. */
  #string(): boolean {
    const bytes = this.#bytes
    if (this.#byte() !== QUOTE) return this.#no('a name or text has no quote')
    this.#escapes = false
    let at = this.#at + 1
    for (; at < this.#to; at++) {
      const byte = bytes[at] as number
      if (byte === QUOTE) {
        this.#at = at + 1
        return true
      }
      if (byte < 32) return this.#no('a text holds a control character')
      if (byte !== BACKSLASH) continue
      this.#escapes = true
      const length = escapeLength(bytes, at, this.#to)
      if (length === 0 && isCut(bytes, at, this.#to)) this.#at = this.#to
      if (length === 0) return this.#no('a text holds an escape that is none, a NUL, or half of a character')
      at += length - 1
    }
    this.#at = this.#to
    return this.#no('a text has no end')
  }

  #word(word: string): boolean {
    const { length } = word
    if (this.#bytes.toString('latin1', this.#at, Math.min(this.#at + length, this.#to)) !== word) {
      if (this.#at + length > this.#to) this.#at = this.#to
      return this.#no('a value is none')
    }
    this.#at += length
    return true
  }

  #number(): boolean {
    const start = this.#at
    let at = start
    while (at < this.#to && isOfNumber(this.#bytes[at] as number)) at++
    if (at === start) return this.#no('a value is none')
    const text = this.#bytes.toString('latin1', start, at)
    if (!/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/.test(text)) {
      if (at === this.#to) this.#at = at
      return this.#no(`${JSON.stringify(text.slice(0, 40))} is no number`)
    }
    this.#at = at
    return true
  }

  #skipSpace(): void {
    const bytes = this.#bytes
    while (this.#at < this.#to) {
      const byte = bytes[this.#at]
      if (byte !== 32 && byte !== 10 && byte !== 13 && byte !== 9) return
      this.#at++
    }
  }

  #byte(): number {
    return this.#at < this.#to ? (this.#bytes[this.#at] as number) : -1
  }

  #step(): true {
    this.#at++
    return true
  }

  #no(problem: string): false {
    this.problem = this.#at >= this.#to ? 'it ends in the middle of its JSON' : problem
    return false
  }

  #bad(problem: string): number {
    this.#no(problem)
    this.problem = problem
    return jsonBad
  }
}

function isOfNumber(byte: number): boolean {
  return (byte >= 48 && byte <= 57) || byte === 45 || byte === 43 || byte === 46 || byte === 101 || byte === 69
}

/** Bytes of the escape at `at`: 2, 6, or 12 for a pair of surrogates; 0 when it stands for no character. */
function escapeLength(bytes: Buffer, at: number, to: number): number {
  if (at + 1 >= to) return 0
  if (bytes[at + 1] !== 117) return '"\\/bfnrt'.includes(String.fromCharCode(bytes[at + 1] as number)) ? 2 : 0
  const unit = hexAt(bytes, at + 2, to)
  if (unit <= 0 || (unit >= 0xdc00 && unit <= 0xdfff)) return 0
  if (unit < 0xd800 || unit > 0xdbff) return 6
  if (bytes[at + 6] !== BACKSLASH || bytes[at + 7] !== 117) return 0
  const low = hexAt(bytes, at + 8, to)
  return low >= 0xdc00 && low <= 0xdfff ? 12 : 0
}

/** True when the bytes end within an escape: no quote follows that would end its text. */
function isCut(bytes: Buffer, at: number, to: number): boolean {
  return to - at < 12 && !bytes.subarray(at, to).includes(QUOTE)
}

function hexAt(bytes: Buffer, at: number, to: number): number {
  const text = at + 4 <= to ? bytes.toString('latin1', at, at + 4) : ''
  return /^[0-9a-fA-F]{4}$/.test(text) ? Number.parseInt(text, 16) : -1
}
