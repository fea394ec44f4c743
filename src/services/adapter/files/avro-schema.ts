import { damaged } from './faults.ts'

/** An Avro type with its names looked up. A logical type that is not known, or does not fit, is as if it were not there. */
export type AvroType =
  | { readonly kind: 'null' | 'boolean' | 'float' | 'double' | 'string' }
  | { readonly kind: 'int' | 'long'; readonly logical: string | null }
  | { readonly kind: 'bytes'; readonly decimal: AvroDecimal | null }
  | {
      readonly kind: 'fixed'
      readonly size: number
      readonly decimal: AvroDecimal | null
      readonly logical: string | null
    }
  | { readonly kind: 'enum'; readonly symbols: readonly string[] }
  | { readonly kind: 'array' | 'map'; readonly of: AvroType }
  | { readonly kind: 'union'; readonly of: readonly AvroType[] }
  | { readonly kind: 'record'; readonly fields: readonly AvroField[] }

export interface AvroField {
  readonly name: string
  readonly type: AvroType
}

export interface AvroDecimal {
  readonly precision: number
  readonly scale: number
}

const logicalOf: Readonly<Record<string, readonly string[]>> = {
  int: ['date', 'time-millis'],
  long: [
    'time-micros',
    ...['millis', 'micros', 'nanos'].flatMap(unit => [`timestamp-${unit}`, `local-timestamp-${unit}`]),
  ],
  fixed: ['uuid', 'duration'],
}

/** Levels of a schema: far more than any has. */
const schemaDepthMax = 100

/** Reads the schema of a file: plain data, in which a name is looked up among the types of the schema and nowhere else. */
export function parseAvroSchema(text: string, file: string): AvroType {
  const refuse = (why: string): Error => damaged(file, `its Avro schema ${why}`)
  const names = new Map<string, { type: AvroType }>()
  let schema: unknown
  try {
    schema = JSON.parse(text)
  } catch {
    throw refuse('is no JSON')
  }
  return parse(schema, '', 0)

  function parse(given: unknown, space: string, depth: number): AvroType {
    if (depth > schemaDepthMax) throw refuse(`is nested deeper than ${schemaDepthMax}`)
    if (Array.isArray(given)) return { kind: 'union', of: given.map(it => parse(it, space, depth + 1)) }
    if (typeof given === 'string') return simple(given, {}, space)
    if (typeof given !== 'object' || given === null) throw refuse(`holds ${JSON.stringify(given)}`)
    const it = given as Readonly<Record<string, unknown>>
    switch (it['type']) {
      case 'record':
      case 'error':
        return named(it, space, inner => ({ kind: 'record', fields: fieldsOf(it['fields'], inner, depth) }))
      case 'enum':
        return named(it, space, () => ({ kind: 'enum', symbols: textsOf(it['symbols']) }))
      case 'fixed':
        return named(it, space, () => fixedOf(it))
      case 'array':
        return { kind: 'array', of: parse(it['items'], space, depth + 1) }
      case 'map':
        return { kind: 'map', of: parse(it['values'], space, depth + 1) }
      default:
        if (typeof it['type'] !== 'string') return parse(it['type'], space, depth + 1)
        return simple(it['type'], it, space)
    }
  }

  function simple(name: string, it: Readonly<Record<string, unknown>>, space: string): AvroType {
    switch (name) {
      case 'null':
      case 'boolean':
      case 'float':
      case 'double':
      case 'string':
        return { kind: name }
      case 'int':
      case 'long':
        return { kind: name, logical: logicalIn(name, it) }
      case 'bytes':
        return { kind: 'bytes', decimal: decimalIn(it) }
      default: {
        const full = name.includes('.') || space === '' ? name : `${space}.${name}`
        const found = names.get(full) ?? names.get(name)
        if (found === undefined) throw refuse(`names "${name}", which it does not define`)
        return found.type
      }
    }
  }

  /** A type that is looked up while its fields are read (a list, a tree) is the one that is being made. */
  function named(it: Readonly<Record<string, unknown>>, space: string, make: (space: string) => AvroType): AvroType {
    const name = it['name']
    if (typeof name !== 'string') throw refuse('has a type without a name')
    const own = typeof it['namespace'] === 'string' ? it['namespace'] : space
    const full = name.includes('.') || own === '' ? name : `${own}.${name}`
    const type = {} as AvroType
    names.set(full, { type })
    return Object.assign(type, make(full.includes('.') ? full.slice(0, full.lastIndexOf('.')) : ''))
  }

  function fieldsOf(given: unknown, space: string, depth: number): readonly AvroField[] {
    if (!Array.isArray(given)) throw refuse('has a record without fields')
    return (given as readonly Readonly<Record<string, unknown>>[]).map(field => {
      if (typeof field?.['name'] !== 'string') throw refuse('has a field without a name')
      return { name: field['name'], type: parse(field['type'], space, depth + 1) }
    })
  }

  function textsOf(given: unknown): readonly string[] {
    if (!Array.isArray(given) || given.some(it => typeof it !== 'string')) throw refuse('has an enum without symbols')
    return given as readonly string[]
  }

  function fixedOf(it: Readonly<Record<string, unknown>>): AvroType {
    const size = it['size']
    if (!Number.isSafeInteger(size) || (size as number) < 0) throw refuse('has a fixed type without a size')
    return { kind: 'fixed', size: size as number, decimal: decimalIn(it), logical: logicalIn('fixed', it) }
  }
}

function logicalIn(kind: 'int' | 'long' | 'fixed', it: Readonly<Record<string, unknown>>): string | null {
  const logical = it['logicalType']
  return typeof logical === 'string' && logicalOf[kind]?.includes(logical) === true ? logical : null
}

function decimalIn(it: Readonly<Record<string, unknown>>): AvroDecimal | null {
  const { logicalType, precision, scale = 0 } = it
  const isDecimal = logicalType === 'decimal' && Number.isSafeInteger(precision) && Number.isSafeInteger(scale)
  return isDecimal ? { precision: precision as number, scale: scale as number } : null
}

/** A type as users read it. */
export function avroTypeText(type: AvroType): string {
  switch (type.kind) {
    case 'int':
    case 'long':
      return type.logical ?? type.kind
    case 'bytes':
    case 'fixed':
      return type.decimal === null ? type.kind : `decimal(${type.decimal.precision},${type.decimal.scale})`
    case 'union':
      return type.of.map(avroTypeText).join(' or ')
    case 'array':
    case 'map':
      return `${type.kind} of ${avroTypeText(type.of)}`
    default:
      return type.kind
  }
}
