import { decimalText } from '../../../core/cell-text.ts'
import { AvroFault, type AvroBytes } from './avro-bytes.ts'
import type { AvroType } from './avro-schema.ts'
import { RowFault } from './row-fault.ts'

/** What the values of one row may be at most. */
export interface Nesting {
  readonly maxDepth: number
  readonly maxElements: number
  /** Elements of the present row so far. */
  elements: number
}

/** Reads a value as JSON text: numbers and decimals exact, times as ISO text, bytes as text of one character each. */
export function readJsonText(type: AvroType, from: AvroBytes, nesting: Nesting, depth = 0): string {
  if (depth > nesting.maxDepth) throw new AvroFault(`its values are nested deeper than ${nesting.maxDepth} (maxDepth)`)
  switch (type.kind) {
    case 'null':
      return 'null'
    case 'boolean':
      return from.byte() === 0 ? 'false' : 'true'
    case 'int':
    case 'long':
      return longText(from.bigint(), type.logical)
    case 'float':
      return floatText(from.bytes.readFloatLE(from.take(4)))
    case 'double':
      return floatText(from.bytes.readDoubleLE(from.take(8)))
    case 'string':
      return JSON.stringify(textAt(from))
    case 'bytes':
    case 'fixed': {
      const length = type.kind === 'fixed' ? type.size : from.count()
      const start = from.take(length)
      const bytes = from.bytes.subarray(start, start + length)
      return type.decimal === null
        ? JSON.stringify(bytes.toString('latin1'))
        : decimalText(unscaled(bytes), type.decimal.scale)
    }
    case 'enum':
      return JSON.stringify(symbolOf(type.symbols, from))
    case 'union':
      return readJsonText(branchOf(type.of, from), from, nesting, depth)
    case 'record': {
      const fields = type.fields.map(
        field => `${JSON.stringify(field.name)}:${readJsonText(field.type, from, nesting, depth + 1)}`,
      )
      return `{${fields.join(',')}}`
    }
    case 'array':
      return `[${elements(from, nesting, () => readJsonText(type.of, from, nesting, depth + 1)).join(',')}]`
    case 'map': {
      const members = elements(from, nesting, () => {
        const name = JSON.stringify(textAt(from))
        return `${name}:${readJsonText(type.of, from, nesting, depth + 1)}`
      })
      return `{${members.join(',')}}`
    }
  }
}

/** The elements of a list or map, which come in blocks; their number is limited, because an element may have no bytes. */
function elements(from: AvroBytes, nesting: Nesting, read: () => string): readonly string[] {
  const texts: string[] = []
  for (;;) {
    let count = from.count()
    if (count === 0) return texts
    if (count < 0) {
      count = -count
      from.count() // the size of the block, for readers that pass over it
    }
    nesting.elements += count
    if (nesting.elements > nesting.maxElements) {
      throw new AvroFault(`a row of it has more than ${nesting.maxElements} elements (maxElements)`)
    }
    for (let i = 0; i < count; i++) texts.push(read())
  }
}

function branchOf(types: readonly AvroType[], from: AvroBytes): AvroType {
  const type = types[from.count()]
  if (type === undefined) throw new AvroFault('a union of its data has a type that the schema lacks')
  return type
}

function symbolOf(symbols: readonly string[], from: AvroBytes): string {
  const symbol = symbols[from.count()]
  if (symbol === undefined) throw new AvroFault('an enum of its data has a symbol that the schema lacks')
  return symbol
}

function textAt(from: AvroBytes): string {
  const start = from.take(from.count())
  return from.bytes.toString('utf8', start, from.at)
}

/** A big-endian number in two's complement. */
export function unscaled(bytes: Buffer): bigint {
  if (bytes.length === 0) return 0n
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`))
}

/** JSON has no NaN and no infinities. */
function floatText(value: number): string {
  if (!Number.isFinite(value)) throw new RowFault('it is no number of JSON', value)
  return Object.is(value, -0) ? '-0' : String(value)
}

const unitsPerSecond: Readonly<Record<string, bigint>> = { millis: 1000n, micros: 1_000_000n, nanos: 1_000_000_000n }

/** A number, or the time that it stands for, quoted. */
function longText(value: bigint, logical: string | null): string {
  if (logical === null) return String(value)
  if (logical === 'date') return JSON.stringify(dayText(value))
  const perSecond = unitsPerSecond[logical.slice(logical.lastIndexOf('-') + 1)] as bigint
  const seconds = floorDiv(value, perSecond)
  const digits = perSecond.toString().length - 1
  const fraction = (value - seconds * perSecond).toString().padStart(digits, '0')
  const clock = new Date(Number(seconds - floorDiv(seconds, 86_400n) * 86_400n) * 1000).toISOString().slice(11, 19)
  if (logical.startsWith('time-')) return JSON.stringify(`${clock}.${fraction}`)
  const zone = logical.startsWith('local-') ? '' : 'Z'
  return JSON.stringify(`${dayText(floorDiv(seconds, 86_400n))}T${clock}.${fraction}${zone}`)
}

function dayText(days: bigint): string {
  const date = new Date(Number(days) * 86_400_000)
  if (Number.isNaN(date.getTime())) throw new RowFault('its day is out of all calendars', days)
  return date.toISOString().split('T')[0] as string
}

function floorDiv(a: bigint, b: bigint): bigint {
  const quotient = a / b
  return a % b < 0n ? quotient - 1n : quotient
}

/** Passes over a value of which nothing is wanted. */
export function skipValue(type: AvroType, from: AvroBytes, nesting: Nesting, depth = 0): void {
  if (depth > nesting.maxDepth) throw new AvroFault(`its values are nested deeper than ${nesting.maxDepth} (maxDepth)`)
  switch (type.kind) {
    case 'null':
      return
    case 'boolean':
      return void from.take(1)
    case 'int':
    case 'long':
    case 'enum':
      return from.long()
    case 'float':
      return void from.take(4)
    case 'double':
      return void from.take(8)
    case 'string':
    case 'bytes':
      return void from.take(from.count())
    case 'fixed':
      return void from.take(type.size)
    case 'union':
      return skipValue(branchOf(type.of, from), from, nesting, depth)
    case 'record':
      for (const field of type.fields) skipValue(field.type, from, nesting, depth + 1)
      return
    case 'array':
    case 'map':
      elements(from, nesting, () => {
        if (type.kind === 'map') from.take(from.count())
        skipValue(type.of, from, nesting, depth + 1)
        return ''
      })
  }
}
