import { INFINITY_DAYS, INFINITY_MICROS, isValid, type ColumnData } from '../../core/batch.ts'
import { decimalText, daysText, microsText, timeText, uuidText } from '../../core/cell-text.ts'
import type { ColumnType } from '../../core/types.ts'
import type { SqlText } from './sql-text.ts'

/** Writes the value of one row as SQL; gives why the column cannot hold it, or `null` when it was written. */
export type PutValue = (out: SqlText, row: number) => string | null

/** The column that values go into. */
export interface Slot {
  /** `varchar`, `bigint`, … */
  readonly nativeName: string
  readonly nativeType: string
  /** Digits after the second that it keeps. */
  readonly timeDigits: number
  readonly type: ColumnType
}

const INTEGERS = ['tinyint', 'smallint', 'mediumint', 'int', 'bigint']
const TEXTS = ['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext']
const BLOBS = ['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob']

/** Native types that take each kind of value; the server refuses what is too long or out of range by itself. */
const takers: Readonly<Record<ColumnType['kind'], readonly string[]>> = {
  bool: ['bit', ...INTEGERS],
  int: [...INTEGERS, 'decimal'],
  decimal: ['decimal'],
  float: ['float', 'double'],
  text: [...TEXTS, 'enum'],
  enum: [...TEXTS, 'enum'],
  json: [...TEXTS, 'json'],
  bytes: BLOBS,
  uuid: ['uuid', ...TEXTS],
  date: ['date'],
  time: ['time'],
  timestamp: ['datetime'],
  interval: [],
}

/** True when values of the type may go into the column; each is then checked for itself. */
export function takes({ nativeName, type: own }: Slot, type: ColumnType): boolean {
  if (type.kind === 'decimal' && type.scale === 0 && INTEGERS.includes(nativeName)) return true
  if (type.kind === 'timestamp' && type.zoned && nativeName === 'timestamp') return true
  if (nativeName === 'enum' && own.kind !== 'enum') return false
  return takers[type.kind].includes(nativeName)
}

/** Makes the writer of one column of a batch. The server would round, cut or pad some values without a word: those are found here. */
export function valueEncoder(type: ColumnType, data: ColumnData, slot: Slot): PutValue {
  const put = data.layout === 'bytes' ? bytesEncoder(type, data, slot) : fixedEncoder(type, data, slot)
  const { validity } = data
  if (validity === null) return put
  return (out, row) => {
    if (isValid(validity, row)) return put(out, row)
    out.ascii('null')
    return null
  }
}

function bytesEncoder(type: ColumnType, column: ColumnData & { readonly layout: 'bytes' }, slot: Slot): PutValue {
  const { data, offsets } = column
  const check = textCheck(slot)
  const isBinary = type.kind === 'bytes'
  return (out, row) => {
    const [from, to] = [offsets[row] as number, offsets[row + 1] as number]
    const problem = check(data, from, to)
    if (problem !== null) return problem
    if (isBinary) out.ascii('_binary')
    out.quoted(data, from, to)
    return null
  }
}

function textCheck(slot: Slot): (data: Uint8Array, from: number, to: number) => string | null {
  const { nativeName, nativeType } = slot
  if (nativeName === 'binary') {
    const length = Number(/\((\d+)\)/.exec(nativeType)?.[1] ?? 1)
    return (_, from, to) =>
      to - from === length ? null : `${nativeType} would fill its ${to - from} bytes up with zeros`
  }
  if (nativeName === 'char') {
    return (data, from, to) => (to > from && data[to - 1] === SPACE ? 'a CHAR loses the spaces at its end' : null)
  }
  if (slot.type.kind === 'enum' && nativeName === 'enum') {
    const labels = new Set(slot.type.values)
    return (data, from, to) => {
      const text = Buffer.from(data.buffer, data.byteOffset + from, to - from).toString()
      return labels.has(text) ? null : `${JSON.stringify(text.slice(0, 60))} is none of its labels`
    }
  }
  return () => null
}

const SPACE = 0x20

function fixedEncoder(type: ColumnType, column: ColumnData & { readonly layout: 'fixed' }, slot: Slot): PutValue {
  const { data, width } = column
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  switch (type.kind) {
    case 'bool':
      return written(row => (data[row] === 0 ? '0' : '1'))
    case 'int':
      return written(row => intText(view, row, width))
    case 'decimal':
      return written(row => decimalText(unscaledOf(view, row, width), type.scale))
    case 'float':
      return floats(view, type.bits, slot.nativeName === 'float')
    case 'date':
      return dates(view)
    case 'time':
      return times(view, slot)
    case 'timestamp':
      return stamps(view, slot)
    case 'uuid':
      return written(row => `'${uuidText(data.subarray(row * 16))}'`)
    default:
      return () => 'there is no column for it'
  }
}

function written(text: (row: number) => string): PutValue {
  return (out, row) => {
    out.ascii(text(row))
    return null
  }
}

function intText(view: DataView, row: number, width: number): string {
  if (width === 2) return String(view.getInt16(row * 2, true))
  if (width === 4) return String(view.getInt32(row * 4, true))
  const low = view.getInt32(row * 8, true)
  return view.getInt32(row * 8 + 4, true) === low >> 31 ? String(low) : String(view.getBigInt64(row * 8, true))
}

function unscaledOf(view: DataView, row: number, width: number): bigint {
  if (width === 2) return BigInt(view.getInt16(row * 2, true))
  if (width === 4) return BigInt(view.getInt32(row * 4, true))
  if (width === 8) return view.getBigInt64(row * 8, true)
  return (view.getBigInt64(row * 16 + 8, true) << 64n) | view.getBigUint64(row * 16, true)
}

function floats(view: DataView, bits: 32 | 64, intoShort: boolean): PutValue {
  return (out, row) => {
    const value = bits === 32 ? view.getFloat32(row * 4, true) : view.getFloat64(row * 8, true)
    if (!Number.isFinite(value)) return `it is ${value}`
    if (intoShort && Math.fround(value) !== value) return `${value} would be rounded`
    // With an exponent it is a float: digits alone would be taken for a decimal.
    const text = String(value)
    out.ascii(text.includes('e') ? text : `${Object.is(value, -0) ? '-' : ''}${text}e0`)
    return null
  }
}

/** The first day and the day after the last that a date of the server can be. */
const DAYS_MIN = -719_162 // 0001-01-01
const DAYS_END = 2_932_897 // 10000-01-01
const DAY_MICROS = 86_400_000_000n

function dates(view: DataView): PutValue {
  return (out, row) => {
    const days = view.getInt32(row * 4, true)
    if (days < DAYS_MIN || days >= DAYS_END) {
      return `${Math.abs(days) === INFINITY_DAYS ? 'infinity' : daysText(days)} is not in the years 1 to 9999`
    }
    out.ascii(`'${daysText(days)}'`)
    return null
  }
}

function stamps(view: DataView, slot: Slot): PutValue {
  const unit = 10n ** BigInt(6 - slot.timeDigits)
  return (out, row) => {
    const micros = view.getBigInt64(row * 8, true)
    if (micros < BigInt(DAYS_MIN) * DAY_MICROS || micros >= BigInt(DAYS_END) * DAY_MICROS) {
      const isInfinite = micros === INFINITY_MICROS || micros === -INFINITY_MICROS
      return `${isInfinite ? 'infinity' : microsText(micros, false)} is not in the years 1 to 9999`
    }
    if (micros % unit !== 0n) return `${slot.nativeType} would round ${microsText(micros, false)}`
    out.ascii(`'${microsText(micros, false)}'`)
    return null
  }
}

function times(view: DataView, slot: Slot): PutValue {
  const unit = 10n ** BigInt(6 - slot.timeDigits)
  return (out, row) => {
    const micros = view.getBigInt64(row * 8, true)
    if (micros % unit !== 0n) return `${slot.nativeType} would round ${timeText(micros)}`
    out.ascii(`'${timeText(micros)}'`)
    return null
  }
}
