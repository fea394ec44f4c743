import type { ColumnType } from '../../../core/types.ts'
import { avroTypeText, type AvroType } from './avro-schema.ts'

/** The type that holds every value of a field; what has none is text, and nested values and mixed ones are JSON. */
export function describedAvro(type: AvroType): {
  readonly type: ColumnType
  readonly nullable: boolean
  readonly nativeType: string
} {
  const kinds = type.kind === 'union' ? type.of.filter(it => it.kind !== 'null') : [type]
  const nullable = type.kind === 'null' || (type.kind === 'union' && type.of.some(it => it.kind === 'null'))
  const [only, another] = kinds
  const nativeType = avroTypeText(type)
  if (only === undefined) return { type: { kind: 'text' }, nullable: true, nativeType }
  return { type: another === undefined ? columnType(only) : { kind: 'json' }, nullable, nativeType }
}

function columnType(type: AvroType): ColumnType {
  switch (type.kind) {
    case 'boolean':
      return { kind: 'bool' }
    case 'int':
    case 'long':
      return type.logical === null ? { kind: 'int', bits: type.kind === 'int' ? 32 : 64 } : logicalType(type.logical)
    case 'float':
      return { kind: 'float', bits: 32 }
    case 'double':
      return { kind: 'float', bits: 64 }
    case 'bytes':
    case 'fixed':
      return binaryType(type)
    case 'enum':
      return type.symbols.length === 0 ? { kind: 'text' } : { kind: 'enum', values: type.symbols }
    case 'array':
    case 'map':
    case 'record':
    case 'union':
      return { kind: 'json' }
    case 'null':
    case 'string':
      return { kind: 'text' }
  }
}

function logicalType(logical: string): ColumnType {
  if (logical === 'date') return { kind: 'date' }
  if (logical.startsWith('time-')) return { kind: 'time' }
  return { kind: 'timestamp', zoned: !logical.startsWith('local-') }
}

function binaryType(type: Extract<AvroType, { kind: 'bytes' | 'fixed' }>): ColumnType {
  if (type.decimal !== null) {
    const { precision, scale } = type.decimal
    const fits = precision >= 1 && precision <= 38 && scale >= 0 && scale <= precision
    return fits ? { kind: 'decimal', precision, scale } : { kind: 'text' }
  }
  if (type.kind === 'fixed' && type.logical === 'uuid') return { kind: 'uuid' }
  if (type.kind === 'fixed' && type.logical === 'duration') return { kind: 'interval' }
  return { kind: 'bytes' }
}
