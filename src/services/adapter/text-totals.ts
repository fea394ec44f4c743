import { createHash } from 'node:crypto'
import { decimalText } from '../../core/cell-text.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import type { ColumnTotals, ControlTotals } from './contract.ts'

/** Rows as `cellText` spells them, in the order of the columns. */
export type TextRows = readonly (readonly (string | null)[])[]

/**
 * The control totals by the words of the contract, computed one value at a time from text, in one pass: for tests the
 * third opinion beside the source's SQL and the engine's SQL, and for a system whose SQL cannot compute them.
 */
export function totalsOfTexts(
  columns: readonly ColumnDef[],
  rows: Iterable<readonly (string | null)[]>,
  hash: boolean,
): ControlTotals {
  const figures = columns.map(column => figuresOf(column.type))
  const counts = columns.map(() => 0n)
  let [count, hashSum] = [0n, 0n]
  for (const row of rows) {
    count++
    if (hash) hashSum += rowHash(columns, row)
    for (let c = 0; c < columns.length; c++) {
      const value = row[c] ?? null
      if (value === null) continue
      counts[c] = (counts[c] as bigint) + 1n
      figures[c]?.add(value)
    }
  }
  const nothing = { sum: null, min: null, max: null }
  return {
    rows: count,
    columns: columns.map(({ name }, c) => ({
      column: name,
      count: counts[c] as bigint,
      ...nothing,
      ...figures[c]?.found(),
    })),
    hash: hash && count > 0n ? String(hashSum) : null,
  }
}

/** The same totals with the bounds of floats spelled in one way. */
export function plainFloats(totals: ControlTotals, columns: readonly ColumnDef[]): ControlTotals {
  const plain = (text: string | null): string | null => (text === null ? null : String(Number(text)))
  return {
    ...totals,
    columns: totals.columns.map((it, c) =>
      columns[c]?.type.kind === 'float' ? { ...it, min: plain(it.min), max: plain(it.max) } : it,
    ),
  }
}

/** The figures of one column in the making. */
interface Figures {
  add(value: string): void
  found(): Partial<Pick<ColumnTotals, 'sum' | 'min' | 'max'>>
}

function figuresOf(type: ColumnType): Figures {
  switch (type.kind) {
    case 'int':
    case 'decimal': {
      const scale = type.kind === 'int' ? 0 : type.scale
      return numbers(unscaled, value => decimalText(value, scale))
    }
    case 'date':
    case 'time':
    case 'timestamp':
      return numbers(value => (isBounded(value) ? timeNumber(type, value) : null), String)
    case 'bool':
      return sums(value => (value === 'true' ? 1n : 0n))
    case 'float':
      return floats()
    case 'text':
    case 'enum':
      return texts()
    case 'json':
    case 'uuid':
      return sums(value => BigInt(Buffer.byteLength(value)))
    case 'bytes':
      return sums(value => BigInt(value.length / 2 - 1))
    case 'interval':
      return { add: () => {}, found: () => ({}) }
  }
}

/** Sum and bounds of the numbers that values stand for; `null` is none. */
function numbers(numberOf: (value: string) => bigint | null, spell: (value: bigint) => string): Figures {
  let found: { sum: bigint; min: bigint; max: bigint } | null = null
  return {
    add: value => {
      const number = numberOf(value)
      if (number === null) return
      if (found === null) found = { sum: number, min: number, max: number }
      else {
        found.sum += number
        if (number < found.min) found.min = number
        if (number > found.max) found.max = number
      }
    },
    found: () => (found === null ? {} : { sum: spell(found.sum), min: spell(found.min), max: spell(found.max) }),
  }
}

function sums(numberOf: (value: string) => bigint): Figures {
  const all = numbers(numberOf, String)
  return { add: all.add, found: () => ({ sum: all.found().sum ?? null }) }
}

function floats(): Figures {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  return {
    add: text => {
      const value = Number(text)
      if (!Number.isFinite(value)) return
      if (value < min) min = value
      if (value > max) max = value
    },
    found: () => (min > max ? {} : { min: String(min), max: String(max) }),
  }
}

function texts(): Figures {
  const lengths = sums(value => BigInt(Buffer.byteLength(value)))
  let [min, max]: [Buffer | null, Buffer | null] = [null, null]
  const cut = (bytes: Buffer | null): string | null =>
    bytes === null ? null : [...bytes.toString()].slice(0, 64).join('')
  return {
    add: value => {
      lengths.add(value)
      const bytes = Buffer.from(value)
      if (min === null || Buffer.compare(bytes, min) < 0) min = bytes
      if (max === null || Buffer.compare(bytes, max) > 0) max = bytes
    },
    found: () => ({ ...lengths.found(), min: cut(min), max: cut(max) }),
  }
}

function unscaled(value: string): bigint {
  return BigInt(value.replace('.', ''))
}

function isBounded(value: string): boolean {
  return !value.endsWith('infinity')
}

/** Days or microseconds of a date or time as `cellText` spells it. */
function timeNumber(type: ColumnType, value: string): bigint {
  const [, date, clock] = /^(?:(\d+-\d\d-\d\d))?(?:[ ]?(\d\d:\d\d:\d\d(?:\.\d+)?))?/.exec(value) ?? []
  const days = date === undefined ? 0n : daysOf(date, value.endsWith('BC'))
  if (type.kind === 'date') return days
  const [hours, minutes, seconds] = (clock ?? '').split(':')
  const micros = BigInt(
    ((seconds as string) + (seconds?.includes('.') === true ? '' : '.')).replace('.', '').padEnd(8, '0'),
  )
  return ((days * 24n + BigInt(hours as string)) * 60n + BigInt(minutes as string)) * 60_000_000n + micros
}

/** Counts whole years, then lets `Date` count the days of one year that has the same calendar. */
function daysOf(date: string, beforeChrist: boolean): bigint {
  const [shown, month, day] = date.split('-').map(Number) as [number, number, number]
  const year = beforeChrist ? 1 - shown : shown
  const alike = 2000 + (((year % 400) + 400) % 400)
  const cycles = BigInt((year - alike) / 400)
  return cycles * 146_097n + BigInt(Date.UTC(alike, month - 1, day) / 86_400_000)
}

function rowHash(columns: readonly ColumnDef[], row: readonly (string | null)[]): bigint {
  const texts = columns.flatMap(({ type }, c) => canonicalText(type, row[c] ?? null))
  return BigInt(`0x${createHash('md5').update(texts.join('\u001f')).digest('hex').slice(0, 15)}`)
}

function canonicalText(type: ColumnType, value: string | null): readonly string[] {
  if (type.kind === 'float' || type.kind === 'interval') return []
  if (value === null) return ['\u001e']
  switch (type.kind) {
    case 'bool':
      return [value === 'true' ? '1' : '0']
    case 'bytes':
      return [value.slice(2)]
    case 'date':
    case 'time':
    case 'timestamp':
      return [isBounded(value) ? String(timeNumber(type, value)) : value]
    default:
      return [value]
  }
}
