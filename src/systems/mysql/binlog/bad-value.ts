import type { ColumnType } from '../../../core/types.ts'

/** Most bytes of an offending value that are kept to show it. */
const SHOWN_BYTES = 512

/** A value of the log that its type cannot hold, as the server would print it; what is no date or time as `\\x…`. */
export function loggedValueText(type: ColumnType, value: Buffer): string {
  switch (type.kind) {
    case 'date':
      return value.length === 3 ? dateText(value.readUIntLE(0, 3)) : hexText(value)
    case 'timestamp':
      if (type.zoned && value.length >= 4 && value.length < 8) return '0000-00-00 00:00:00'
      return value.length >= 5 ? datetimeText(value) : hexText(value)
    case 'time':
      return value.length >= 3 ? timeText(value) : hexText(value)
    case 'enum':
      return "''"
    default:
      return hexText(value)
  }
}

function hexText(value: Buffer): string {
  return `\\x${value.toString('hex', 0, SHOWN_BYTES)}`
}

function dateText(value: number): string {
  return `${digits(value >> 9, 4)}-${digits((value >> 5) & 15, 2)}-${digits(value & 31, 2)}`
}

function datetimeText(value: Buffer): string {
  const packed = value.readUIntBE(0, 5) - 0x80_0000_0000
  const date = Math.floor(packed / 0x2_0000)
  const months = date >> 5
  const days = (Math.floor(months / 13) << 9) | ((months % 13) << 5) | (date & 31)
  return `${dateText(days)} ${clockText(packed % 0x2_0000)}${fractionText(value, 5)}`
}

/** A duration below zero has all its bits turned. */
function timeText(value: Buffer): string {
  const isNegative = ((value[0] as number) & 0x80) === 0
  const count = value.length
  const packed = value.readUIntBE(0, count) - 0x80 * 256 ** (count - 1)
  const bytes = Buffer.alloc(count)
  bytes.writeUIntBE(isNegative ? -packed : packed, 0, count)
  return `${isNegative ? '-' : ''}${clockText(bytes.readUIntBE(0, 3))}${fractionText(bytes, 3)}`
}

function clockText(packed: number): string {
  return `${digits(packed >> 12, 2)}:${digits((packed >> 6) & 63, 2)}:${digits(packed & 63, 2)}`
}

function fractionText(value: Buffer, at: number): string {
  const count = value.length - at
  if (count < 1 || count > 3) return ''
  return `.${digits(value.readUIntBE(at, count), count * 2)}`
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, '0')
}
