import { INFINITY_DAYS, INFINITY_MICROS, isValid, type ColumnData } from '../../core/batch.ts'
import type { ColumnType } from '../../core/types.ts'
import { EPOCH_MICROS } from './column-writer.ts'
import { numericEncoder } from './numeric-writer.ts'
import { putNull, viewOf, type ValueEncoder } from './value-encoder.ts'

/** The encoder of a type; `rowsMax` is the most rows that are measured at once. */
export function valueEncoder(type: ColumnType, rowsMax: number): ValueEncoder {
  switch (type.kind) {
    case 'bool':
      return fixed(1, (view, at, source, row) => view.setUint8(at, source.getUint8(row) === 0 ? 0 : 1))
    case 'int':
    case 'float':
      return type.bits === 16 ? fixed(2, swap16) : type.bits === 32 ? fixed(4, swap32) : fixed(8, swap64)
    case 'time':
      return fixed(8, swap64, timeProblem)
    case 'date':
      return fixed(4, putDate, dateProblem)
    case 'timestamp':
      return fixed(8, putTimestamp, timestampProblem)
    case 'interval':
      return fixed(16, putInterval, intervalProblem)
    case 'uuid':
      return fixed(16, putUuid)
    case 'decimal':
      return numericEncoder(type, rowsMax)
    case 'text':
    case 'enum':
    case 'json':
      return varying(true)
    case 'bytes':
      return varying(false)
  }
}

type Put = (view: DataView, at: number, source: DataView, row: number) => void
/** Why the value at a row cannot be held, `null` when it can. */
type Problem = (source: DataView, row: number) => string | null

function fixed(width: 1 | 2 | 4 | 8 | 16, put: Put, problem: Problem | null = null): ValueEncoder {
  return {
    check: (column, from, rows) => (problem === null ? null : firstProblem(column, { from, rows }, problem)),
    measure: ({ validity }, from, rows, sizes) => {
      for (let i = 0; i < rows; i++) {
        if (validity === null || isValid(validity, from + i)) sizes[i] = (sizes[i] as number) + width
      }
    },
    write: (column, from, rows, { view, places }) => {
      const source = viewOf(column.data)
      const { validity } = column
      for (let i = 0; i < rows; i++) {
        const at = places[i] as number
        if (validity === null || isValid(validity, from + i)) {
          view.setInt32(at, width)
          put(view, at + 4, source, from + i)
          places[i] = at + 4 + width
        } else places[i] = putNull(view, at)
      }
    },
  }
}

function firstProblem(
  column: ColumnData,
  { from, rows }: { readonly from: number; readonly rows: number },
  problem: Problem,
): ReturnType<ValueEncoder['check']> {
  const source = viewOf(column.data)
  for (let row = from; row < rows; row++) {
    const found = isValid(column.validity, row) ? problem(source, row) : null
    if (found !== null) return { row, problem: found }
  }
  return null
}

function swap16(view: DataView, at: number, source: DataView, row: number): void {
  view.setInt16(at, source.getInt16(row * 2, true))
}

function swap32(view: DataView, at: number, source: DataView, row: number): void {
  view.setInt32(at, source.getInt32(row * 4, true))
}

function swap64(view: DataView, at: number, source: DataView, row: number): void {
  view.setInt32(at, source.getInt32(row * 8 + 4, true))
  view.setInt32(at + 4, source.getInt32(row * 8, true))
}

function putUuid(view: DataView, at: number, source: DataView, row: number): void {
  for (let i = 0; i < 16; i += 4) view.setInt32(at + i, source.getInt32(row * 16 + i))
}

const DAY_MICROS = 86_400_000_000n

function timeProblem(source: DataView, row: number): string | null {
  const micros = source.getBigInt64(row * 8, true)
  return micros >= 0n && micros <= DAY_MICROS ? null : 'a time lies between 00:00 and 24:00'
}

/** PostgreSQL counts from 2000-01-01, we count from 1970-01-01. */
const EPOCH_DAYS = 10_957
/** 4714-11-24 BC, where its calendar begins, and the day after 5874897-12-31, where it ends: in days and in microseconds of ours. */
const DAYS_FIRST = -2_451_545 + EPOCH_DAYS
const DAYS_END = 2_145_031_949 + EPOCH_DAYS
const MICROS_FIRST = BigInt(DAYS_FIRST) * DAY_MICROS
const OUT_OF_CALENDAR = 'PostgreSQL has no date before 4714-11-24 BC, and none after 5874897'

function dateProblem(source: DataView, row: number): string | null {
  const days = source.getInt32(row * 4, true)
  const isHeld = Math.abs(days) === INFINITY_DAYS || (days >= DAYS_FIRST && days < DAYS_END)
  return isHeld ? null : OUT_OF_CALENDAR
}

function putDate(view: DataView, at: number, source: DataView, row: number): void {
  const days = source.getInt32(row * 4, true)
  view.setInt32(at, days === INFINITY_DAYS ? days : days === -INFINITY_DAYS ? days - 1 : days - EPOCH_DAYS)
}

/** Above this upper half a timestamp is surely held: no BigInt for those. */
const HIGH_FIRST = Number(MICROS_FIRST >> 32n)

function timestampProblem(source: DataView, row: number): string | null {
  if (source.getInt32(row * 8 + 4, true) > HIGH_FIRST) return null // its calendar ends behind our last microsecond
  const micros = source.getBigInt64(row * 8, true)
  return micros === -INFINITY_MICROS || micros >= MICROS_FIRST ? null : OUT_OF_CALENDAR
}

const EPOCH_LOW = Number(EPOCH_MICROS & 0xffffffffn)
const EPOCH_HIGH = Number(EPOCH_MICROS >> 32n)
const INT32_MAX = 0x7fffffff

function putTimestamp(view: DataView, at: number, source: DataView, row: number): void {
  const high = source.getInt32(row * 8 + 4, true)
  if (high === INT32_MAX || high === -INT32_MAX - 1)
    return putEdgeTimestamp(view, at, source.getBigInt64(row * 8, true))
  const low = source.getUint32(row * 8, true) - EPOCH_LOW
  view.setInt32(at, high - EPOCH_HIGH - (low < 0 ? 1 : 0))
  view.setUint32(at + 4, low) // takes the value modulo 2^32
}

/** The infinities are the ends of the integers there; here the negative one is one higher. */
function putEdgeTimestamp(view: DataView, at: number, micros: bigint): void {
  const theirs = micros === INFINITY_MICROS ? micros : micros === -INFINITY_MICROS ? micros - 1n : micros - EPOCH_MICROS
  view.setBigInt64(at, theirs)
}

function putInterval(view: DataView, at: number, source: DataView, row: number): void {
  view.setBigInt64(at, source.getBigInt64(row * 16 + 8, true))
  view.setInt32(at + 8, source.getInt32(row * 16 + 4, true))
  view.setInt32(at + 12, source.getInt32(row * 16, true))
}

/** Since PostgreSQL 17 the limits in all three parts mean infinity, which no interval of ours is. */
function intervalProblem(source: DataView, row: number): string | null {
  const [months, days] = [source.getInt32(row * 16, true), source.getInt32(row * 16 + 4, true)]
  const micros = source.getBigInt64(row * 16 + 8, true)
  const isInfinite =
    months === days &&
    ((months === INT32_MAX && micros === INFINITY_MICROS) || (months === -INT32_MAX - 1 && micros < -INFINITY_MICROS))
  return isInfinite ? 'to PostgreSQL these limits mean an infinite interval' : null
}

/** A value up to this many bytes is copied in a loop: a call of the native copy costs more. */
const SHORT_BYTES = 24

/** `isText` refuses the one character that PostgreSQL's text does not have. */
function varying(isText: boolean): ValueEncoder {
  return {
    check: (column, from, rows) => (isText ? firstNul(offsetsOf(column), from, rows) : null),
    measure: (column, from, rows, sizes) => {
      const { offsets, validity } = offsetsOf(column)
      for (let i = 0; i < rows; i++) {
        if (!isValid(validity, from + i)) continue
        sizes[i] = (sizes[i] as number) + (offsets[from + i + 1] as number) - (offsets[from + i] as number)
      }
    },
    write: (column, from, rows, { piece, view, places }) => {
      const { offsets, data, validity } = offsetsOf(column)
      const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
      for (let i = 0; i < rows; i++) {
        let at = places[i] as number
        if (!isValid(validity, from + i)) {
          places[i] = putNull(view, at)
          continue
        }
        let position = offsets[from + i] as number
        const end = offsets[from + i + 1] as number
        view.setInt32(at, end - position)
        at += 4
        if (end - position > SHORT_BYTES) at += bytes.copy(piece, at, position, end)
        else while (position < end) piece[at++] = bytes[position++] as number
        places[i] = at
      }
    },
  }
}

type BytesColumn = ColumnData & { readonly layout: 'bytes' }

function offsetsOf(column: ColumnData): BytesColumn {
  if (column.layout !== 'bytes') throw new TypeError('a column of text or bytes came with values of fixed width')
  return column
}

function firstNul(column: BytesColumn, from: number, rows: number): ReturnType<ValueEncoder['check']> {
  const { offsets, data, validity } = column
  const end = offsets[rows] as number
  for (
    let row = from, at = data.indexOf(0, offsets[from] as number);
    at >= 0 && at < end;
    at = data.indexOf(0, offsets[row] as number)
  ) {
    while ((offsets[row + 1] as number) <= at) row++
    if (isValid(validity, row)) return { row, problem: 'text of PostgreSQL has no NUL character' }
    row++ // the bytes of a NULL row mean nothing
  }
  return null
}
