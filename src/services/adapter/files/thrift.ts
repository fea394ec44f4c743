/**
 * Thrift's compact protocol, in which Parquet keeps the facts of a file: read into a tree and written again, so that some
 * numbers can be changed and the rest stays as it was.
 */
export interface Field {
  readonly id: number
  readonly type: number
  readonly value: Value
}

export type Struct = readonly Field[]

export interface List {
  readonly of: number
  readonly items: readonly Value[]
}

/**
 * Numbers are whole; binary, texts, floats and single bytes are kept as their bytes, and so is a struct that is written
 * already. Truth lies in the type of a field.
 */
export type Value = bigint | Uint8Array | List | Struct | null

const TRUE = 1
const FALSE = 2
const BYTE = 3
const I16 = 4
const I32 = 5
const I64 = 6
const DOUBLE = 7
const BINARY = 8
const LIST = 9
const SET = 10
const STRUCT = 12
/** Values inside each other; Parquet's own facts need six. */
const DEPTH_MAX = 32

/** Reads one struct. Throws on bytes that are none. */
export function readStruct(bytes: Uint8Array): Struct {
  return new Reader(bytes).struct(0)
}

class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  struct(depth: number): Struct {
    const fields: Field[] = []
    for (let last = 0; ;) {
      const head = this.#byte()
      if (head === 0) return fields
      const id = head >> 4 === 0 ? Number(this.#signed()) : last + (head >> 4)
      const type = head & 15
      fields.push({ id, type, value: type === TRUE || type === FALSE ? null : this.#value(type, depth) })
      last = id
    }
  }

  #value(type: number, depth: number): Value {
    if (depth > DEPTH_MAX) throw new RangeError('it is nested too deeply')
    switch (type) {
      // In a list; that of a field lies in its type.
      case TRUE:
      case FALSE:
      case BYTE:
        return this.#take(1)
      case I16:
      case I32:
      case I64:
        return this.#signed()
      case DOUBLE:
        return this.#take(8)
      case BINARY:
        return this.#take(Number(this.#unsigned()))
      case LIST:
      case SET:
        return this.#list(depth)
      case STRUCT:
        return this.struct(depth + 1)
      default:
        throw new RangeError(`it has a value of the unknown type ${type}`)
    }
  }

  #list(depth: number): List {
    const head = this.#byte()
    const length = head >> 4 === 15 ? Number(this.#unsigned()) : head >> 4
    const items: Value[] = []
    for (let i = 0; i < length; i++) items.push(this.#value(head & 15, depth + 1))
    return { of: head & 15, items }
  }

  #signed(): bigint {
    const value = this.#unsigned()
    return (value >> 1n) ^ -(value & 1n)
  }

  #unsigned(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte()
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new RangeError('it has a number of more than 64 bits')
  }

  #byte(): number {
    return this.#take(1)[0] as number
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new RangeError('it ends too early')
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }
}

/** Writes one struct. */
export function writeStruct(struct: Struct): Buffer {
  const out: Uint8Array[] = []
  putStruct(out, struct)
  return Buffer.concat(out)
}

function putStruct(out: Uint8Array[], struct: Struct): void {
  let last = 0
  for (const { id, type, value } of struct) {
    const step = id - last
    if (step > 0 && step <= 15) out.push(Uint8Array.of((step << 4) | type))
    else out.push(Uint8Array.of(type), signed(BigInt(id)))
    putValue(out, type, value)
    last = id
  }
  out.push(Uint8Array.of(0))
}

function putValue(out: Uint8Array[], type: number, value: Value): void {
  if (value === null) return
  if (typeof value === 'bigint') out.push(signed(value))
  else if (value instanceof Uint8Array) {
    if (type === BINARY) out.push(unsigned(BigInt(value.length)))
    out.push(value)
  } else if ('of' in value) {
    const { length } = value.items
    out.push(Uint8Array.of((Math.min(length, 15) << 4) | value.of))
    if (length >= 15) out.push(unsigned(BigInt(length)))
    for (const item of value.items) putValue(out, value.of, item)
  } else putStruct(out, value)
}

function signed(value: bigint): Uint8Array {
  return unsigned(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)))
}

function unsigned(value: bigint): Uint8Array {
  const bytes: number[] = []
  let left = value
  for (; left >= 0x80n; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80)
  bytes.push(Number(left))
  return Uint8Array.from(bytes)
}
