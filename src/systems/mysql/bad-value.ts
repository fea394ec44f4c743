import type { ColumnType } from '../../core/types.ts'

/** Most bytes of an offending value that are kept to show it. */
const SHOWN_BYTES = 1024

/** A value that its type cannot hold, as the server would print it; bytes that are no text as `\x…`. */
export function badValueText(type: ColumnType, value: Buffer): string {
  switch (type.kind) {
    case 'date':
      return dateText(value)
    case 'timestamp':
      return `${dateText(value)} ${clockText(value, 4, value.length >= 11 ? value.readUInt32LE(7) : 0)}`
    case 'time': {
      const hours = value.readUInt32LE(1) * 24 + (value[5] as number)
      const clock = clockText(value, 5, value.length >= 12 ? value.readUInt32LE(8) : 0).slice(2)
      return `${value[0] === 0 ? '' : '-'}${two(hours)}${clock}`
    }
    case 'uuid':
    case 'decimal':
    case 'int':
      return value.toString('latin1', 0, SHOWN_BYTES)
    case 'enum':
      return value.length === 0 ? "''" : hexText(value)
    default:
      return hexText(value)
  }
}

function hexText(value: Buffer): string {
  return `\\x${value.toString('hex', 0, SHOWN_BYTES / 2)}`
}

function dateText(value: Buffer): string {
  if (value.length < 4) return '0000-00-00'
  return `${String(value.readUInt16LE(0)).padStart(4, '0')}-${two(value[2] as number)}-${two(value[3] as number)}`
}

function clockText(value: Buffer, at: number, micros: number): string {
  const clock = [0, 1, 2].map(i => two(value[at + i] ?? 0)).join(':')
  return micros === 0 ? clock : `${clock}.${String(micros).padStart(6, '0')}`
}

function two(n: number): string {
  return String(n).padStart(2, '0')
}
