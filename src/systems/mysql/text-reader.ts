import { LocalInfileAsked } from './row-reader.ts'
import {
  FRAME_BYTES,
  HEADER,
  lengthAt,
  okPacket,
  serverError,
  type Done,
  type ServerError,
  ProtocolError,
} from './protocol.ts'

/** A row as the server prints it: every value is text. */
export type TextRow = readonly (string | null)[]

/** The answer to a statement: rows, or what it did, or why not. */
export type Answer =
  /** `definitions` are those of the columns, of a statement that was prepared. */
  | { readonly kind: 'rows'; readonly rows: readonly TextRow[]; readonly definitions: readonly Buffer[] }
  | { readonly kind: 'done'; readonly done: Done }
  | { readonly kind: 'error'; readonly error: ServerError }

/** All of an answer together. What is asked this way is small: catalogs, bounds, totals. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024
const PACKET_BYTES_MAX = 16 * 1024 * 1024 - 2
const END_BYTES_MAX = 9
const COLUMNS_MAX = 4096

/** Gathers the answer to one COM_QUERY from the pieces of a socket. */
export class TextReader {
  #carry: Buffer = Buffer.alloc(0)
  #bytes = 0
  #columns = -1
  #definitions = 0
  readonly #rows: TextRow[] = []
  readonly #bodies: Buffer[] = []
  #prepared = false

  /** With `prepared`, the answer to COM_STMT_PREPARE is read instead: a row holds the statement's id. */
  constructor({ prepared = false } = {}) {
    this.#prepared = prepared
  }

  /** Works through one piece; gives the answer once it is whole. Throws on bytes that are not what the protocol says. */
  push(chunk: Buffer): Answer | null {
    this.#bytes += chunk.length
    if (this.#bytes > ANSWER_BYTES_MAX)
      throw new ProtocolError(`the server answered with more than ${ANSWER_BYTES_MAX} bytes`)
    let bytes = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk])
    while (bytes.length >= FRAME_BYTES) {
      const length = bytes.readUIntLE(0, 3)
      if (length > PACKET_BYTES_MAX) throw new ProtocolError(`the server sent a message of ${length} bytes`)
      if (bytes.length < FRAME_BYTES + length) break
      const answer = this.#packet(bytes.subarray(FRAME_BYTES, FRAME_BYTES + length))
      bytes = bytes.subarray(FRAME_BYTES + length)
      if (answer === null) continue
      if (bytes.length > 0) throw new ProtocolError('the server sent more than the answer')
      return answer
    }
    this.#carry = bytes
    return null
  }

  #packet(body: Buffer): Answer | null {
    const first = body[0] ?? HEADER.ok
    if (first === HEADER.error) return { kind: 'error', error: serverError(body) }
    if (this.#columns < 0) return this.#head(body, first)
    const isEnd = first === HEADER.end && body.length < END_BYTES_MAX
    if (this.#definitions <= this.#columns) {
      // The definitions and the packet that ends them.
      if (isEnd !== (this.#definitions === this.#columns))
        throw new ProtocolError('the server sent a result that is none')
      this.#definitions++
      if (this.#prepared && !isEnd) this.#bodies.push(Buffer.from(body))
      return this.#prepared && isEnd ? this.#result() : null
    }
    if (isEnd) return this.#result()
    this.#rows.push(textRow(body, this.#columns))
    return null
  }

  #head(body: Buffer, first: number): Answer | null {
    if (first === HEADER.localInfile) throw new LocalInfileAsked()
    if (this.#prepared) return this.#preparedHead(body)
    if (first === HEADER.ok) return { kind: 'done', done: okPacket(body) }
    this.#columns = Number(lengthAt(body, 0).value)
    if (this.#columns === 0 || this.#columns > COLUMNS_MAX)
      throw new ProtocolError('the server sent a result that is none')
    return null
  }

  /** Statements of ours have no parameters: what follows are the definitions of the columns. */
  #preparedHead(body: Buffer): Answer | null {
    if (body.length < 12 || body.readUInt16LE(7) !== 0) throw new ProtocolError('the server prepared another statement')
    this.#rows.push([String(body.readUInt32LE(1))])
    this.#columns = body.readUInt16LE(5)
    return this.#columns === 0 ? this.#result() : null
  }

  #result(): Answer {
    return { kind: 'rows', rows: this.#rows, definitions: this.#bodies }
  }
}

function textRow(body: Buffer, columns: number): TextRow {
  const row: (string | null)[] = []
  let at = 0
  for (let c = 0; c < columns; c++) {
    if (body[at] === 0xfb) {
      row.push(null)
      at++
      continue
    }
    const { value, next } = lengthAt(body, at)
    const end = next + Number(value)
    if (end > body.length) throw new ProtocolError('the server sent a row that its values do not fill')
    row.push(body.toString('utf8', next, end))
    at = end
  }
  return row
}
