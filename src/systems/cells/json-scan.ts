/** Where and why bytes are no JSON. */
export class JsonFault extends Error {
  override readonly name = 'JsonFault'
  readonly at: number

  constructor(problem: string, at: number) {
    super(`${problem} at byte ${at}`)
    this.at = at
  }
}

/** Nesting that is followed: deeper documents are attacks on the stack. */
const depthMax = 200

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** A piece of the bytes: `end` is behind its last one. */
export interface Slice {
  readonly start: number
  readonly end: number
}

/** The end of the value that begins at `at`, checked by the grammar of RFC 8259. Throws `JsonFault`. */
function valueEnd(bytes: Uint8Array, at: number, depth = 0): number {
  const first = bytes[at]
  if (first === QUOTE) return stringEnd(bytes, at)
  if (first === OPEN_LIST) return eachElement(bytes, at, () => {}, depth)
  if (first === OPEN_OBJECT) return eachMember(bytes, at, () => {}, depth)
  return scalarEnd(bytes, at)
}

/** The value that all of the bytes are, without the space around it. Throws `JsonFault`. */
export function wholeValue(bytes: Uint8Array): Slice {
  const start = skipSpace(bytes, 0)
  const end = valueEnd(bytes, start)
  if (skipSpace(bytes, end) !== bytes.length) throw new JsonFault('something stands behind the value', end)
  return { start, end }
}

/** True when all of the bytes are one JSON value. */
export function isJson(bytes: Uint8Array): boolean {
  try {
    wholeValue(bytes)
    return true
  } catch (error) {
    if (error instanceof JsonFault) return false
    throw error
  }
}

/** Calls `visit` with each element of the list that begins at `at`; gives its end. */
export function eachElement(bytes: Uint8Array, at: number, visit: (value: Slice) => void, depth = 0): number {
  assertDepth(depth, at)
  let next = skipSpace(bytes, at + 1)
  if (bytes[next] === CLOSE_LIST) return next + 1
  for (;;) {
    const end = valueEnd(bytes, next, depth + 1)
    visit({ start: next, end })
    next = skipSpace(bytes, end)
    if (bytes[next] === CLOSE_LIST) return next + 1
    if (bytes[next] !== COMMA) throw new JsonFault('a comma or ] is missing', next)
    next = skipSpace(bytes, next + 1)
  }
}

/** Calls `visit` with each member of the object that begins at `at`, its name with quotes; gives the object's end. */
export function eachMember(
  bytes: Uint8Array,
  at: number,
  visit: (name: Slice, value: Slice) => void,
  depth = 0,
): number {
  assertDepth(depth, at)
  let next = skipSpace(bytes, at + 1)
  if (bytes[next] === CLOSE_OBJECT) return next + 1
  for (;;) {
    if (bytes[next] !== QUOTE) throw new JsonFault('a name is missing', next)
    const name = { start: next, end: stringEnd(bytes, next) }
    next = skipSpace(bytes, name.end)
    if (bytes[next] !== COLON) throw new JsonFault('a colon is missing', next)
    const start = skipSpace(bytes, next + 1)
    const end = valueEnd(bytes, start, depth + 1)
    visit(name, { start, end })
    next = skipSpace(bytes, end)
    if (bytes[next] === CLOSE_OBJECT) return next + 1
    if (bytes[next] !== COMMA) throw new JsonFault('a comma or } is missing', next)
    next = skipSpace(bytes, next + 1)
  }
}

/** What a value is, by its first byte. The value was scanned before. */
export function kindOf(bytes: Uint8Array, { start }: Slice): 'text' | 'list' | 'object' | 'null' | 'bool' | 'number' {
  switch (bytes[start]) {
    case QUOTE:
      return 'text'
    case OPEN_LIST:
      return 'list'
    case OPEN_OBJECT:
      return 'object'
    case 0x6e:
      return 'null'
    case 0x74:
    case 0x66:
      return 'bool'
    default:
      return 'number'
  }
}

/** The characters of a JSON text as UTF-8; `null` for half of a surrogate pair, which no UTF-8 has. */
export function textBytes(bytes: Uint8Array, { start, end }: Slice): Uint8Array | null {
  const inner = bytes.subarray(start + 1, end - 1)
  return inner.includes(BACKSLASH) ? withEscapes(inner) : inner
}

const plainEscapes: Readonly<Record<number, number>> = {
  0x22: 0x22,
  0x5c: 0x5c,
  0x2f: 0x2f,
  0x62: 0x08,
  0x66: 0x0c,
  0x6e: 0x0a,
  0x72: 0x0d,
  0x74: 0x09,
}

/** Copies the characters of a text that was scanned, its escapes resolved; `null` for half of a surrogate pair. */
function withEscapes(inner: Uint8Array): Uint8Array | null {
  const out = Buffer.allocUnsafe(inner.length)
  let to = 0
  for (let at = 0; at < inner.length; at++) {
    const byte = inner[at] as number
    if (byte !== BACKSLASH) {
      out[to++] = byte
      continue
    }
    const plain = plainEscapes[inner[++at] as number]
    if (plain !== undefined) {
      out[to++] = plain
      continue
    }
    let code = hexOf(inner, at + 1)
    at += 4
    if (code >= 0xdc00 && code <= 0xdfff) return null
    if (code >= 0xd800 && code <= 0xdbff) {
      const low = inner[at + 1] === BACKSLASH && inner[at + 2] === 0x75 ? hexOf(inner, at + 3) : 0
      if (low < 0xdc00 || low > 0xdfff) return null
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
      at += 6
    }
    to += out.write(String.fromCodePoint(code), to, 'utf8')
  }
  return out.subarray(0, to)
}

function hexOf(bytes: Uint8Array, at: number): number {
  return Number.parseInt(String.fromCharCode(...bytes.subarray(at, at + 4)), 16)
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from
  for (;;) {
    const byte = bytes[at]
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at
    at++
  }
}

function stringEnd(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    const byte = bytes[at] as number
    if (byte === QUOTE) return at + 1
    if (byte < 0x20) throw new JsonFault('a control character stands in a text', at)
    if (byte !== BACKSLASH) continue
    at++
    const escape = bytes[at] as number
    if (plainEscapes[escape] !== undefined) continue
    if (escape !== 0x75 || !isHex(bytes, at + 1)) throw new JsonFault('there is no such escape', at)
    at += 4
  }
  throw new JsonFault('a text does not end', start)
}

function isHex(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 4; i++) {
    const byte = bytes[i] as number
    // Both cases of a letter differ in one bit.
    if (!isDigit(byte) && !((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66)) return false
  }
  return true
}

const words: Readonly<Record<number, string>> = { 0x6e: 'null', 0x74: 'true', 0x66: 'false' }

function scalarEnd(bytes: Uint8Array, start: number): number {
  const word = words[bytes[start] as number]
  if (word === undefined) return numberEnd(bytes, start)
  for (let i = 1; i < word.length; i++) {
    if (bytes[start + i] !== word.charCodeAt(i)) throw new JsonFault('no value begins', start)
  }
  return start + word.length
}

/** `-`, then a whole part without needless zeros, then a fraction and an exponent, each with a digit at least. */
function numberEnd(bytes: Uint8Array, start: number): number {
  let at = bytes[start] === 0x2d ? start + 1 : start
  const digits = (from: number): number => {
    let end = from
    while (isDigit(bytes[end])) end++
    if (end === from) throw new JsonFault(end >= bytes.length ? 'the text ends early' : 'no value begins', start)
    return end
  }
  at = bytes[at] === 0x30 ? at + 1 : digits(at)
  if (bytes[at] === 0x2e) at = digits(at + 1)
  if (bytes[at] === 0x65 || bytes[at] === 0x45) {
    const sign = bytes[at + 1]
    at = digits(sign === 0x2b || sign === 0x2d ? at + 2 : at + 1)
  }
  return at
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39
}

function assertDepth(depth: number, at: number): void {
  if (depth > depthMax) throw new JsonFault(`there are more than ${depthMax} levels`, at)
}
