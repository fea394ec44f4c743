import { fixedWidth, type ColumnBatch, type ColumnData } from '../../core/batch.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'

/**
 * A value as a test writes it: whole numbers of days, microseconds and a decimal's smallest unit as bigint, an interval
 * as its three parts, a UUID as text.
 */
export type TestValue = null | boolean | number | bigint | string | Uint8Array | readonly [number, number, bigint]

export function column(name: string, type: ColumnType): ColumnDef {
  return { name, type, nullable: true, personal: false }
}

/** A batch of the values of each column. */
export function batchOf(columns: readonly ColumnDef[], values: readonly (readonly TestValue[])[]): ColumnBatch {
  const rows = values[0]?.length ?? 0
  return { rows, columns: columns.map((def, i) => columnOf(def.type, values[i] as readonly TestValue[])) }
}

function columnOf(type: ColumnType, values: readonly TestValue[]): ColumnData {
  const width = fixedWidth(type)
  const validity = validityOf(values)
  if (width === null) return { layout: 'bytes', validity, ...bytesOf(values) }
  const data = new Uint8Array(values.length * width)
  values.forEach((value, i) => {
    if (value !== null) write(type, value, new DataView(data.buffer, i * width, width))
  })
  return { layout: 'fixed', width, validity, data }
}

function validityOf(values: readonly TestValue[]): Uint8Array | null {
  if (!values.includes(null)) return null
  const bits = new Uint8Array((values.length + 7) >> 3)
  values.forEach((value, i) => {
    if (value !== null) bits[i >> 3] = (bits[i >> 3] as number) | (1 << (i & 7))
  })
  return bits
}

function bytesOf(values: readonly TestValue[]): { readonly offsets: Uint32Array; readonly data: Uint8Array } {
  const parts = values.map(value => Buffer.from((value ?? '') as string | Uint8Array))
  const offsets = new Uint32Array(values.length + 1)
  parts.forEach((part, i) => (offsets[i + 1] = (offsets[i] as number) + part.length))
  return { offsets, data: new Uint8Array(Buffer.concat(parts)) }
}

function write(type: ColumnType, value: TestValue, into: DataView): void {
  if (type.kind === 'bool') into.setUint8(0, value === true ? 1 : 0)
  else if (type.kind === 'float' && type.bits === 32) into.setFloat32(0, value as number, true)
  else if (type.kind === 'float') into.setFloat64(0, value as number, true)
  else if (type.kind === 'uuid') writeUuid(value as string, into)
  else if (type.kind === 'interval') writeInterval(value as readonly [number, number, bigint], into)
  else writeInteger(value as bigint, into)
}

function writeInteger(value: bigint, into: DataView): void {
  for (let i = 0; i < into.byteLength; i++) into.setUint8(i, Number((value >> BigInt(i * 8)) & 0xffn))
}

function writeUuid(value: string, into: DataView): void {
  Buffer.from(value.replaceAll('-', ''), 'hex').forEach((byte, i) => into.setUint8(i, byte))
}

function writeInterval([months, days, micros]: readonly [number, number, bigint], into: DataView): void {
  into.setInt32(0, months, true)
  into.setInt32(4, days, true)
  into.setBigInt64(8, micros, true)
}
