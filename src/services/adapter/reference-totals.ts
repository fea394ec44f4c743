import { createHash } from 'node:crypto'
import { decimalText } from '../../core/cell-text.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import type { ColumnTotals, ControlTotals } from './contract.ts'

/** Rows as `cellText` spells them, in the order of the columns. */
export type TextRows = readonly (readonly (string | null)[])[]

/**
 * The control totals by the words of the contract, computed one value at a time from text: the third opinion beside
 * the source's SQL and the engine's SQL.
 */
export function referenceTotals(columns: readonly ColumnDef[], rows: TextRows, hash: boolean): ControlTotals {
  return {
    rows: BigInt(rows.length),
    columns: columns.map((column, c) =>
      columnTotals(
        column,
        rows.map(row => row[c] ?? null),
      ),
    ),
    hash: hash && rows.length > 0 ? String(rows.reduce((sum, row) => sum + rowHash(columns, row), 0n)) : null,
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

function columnTotals({ name, type }: ColumnDef, cells: readonly (string | null)[]): ColumnTotals {
  const values = cells.filter(cell => cell !== null)
  const found = { column: name, count: BigInt(values.length), sum: null, min: null, max: null }
  switch (type.kind) {
    case 'int':
    case 'decimal': {
      const scale = type.kind === 'int' ? 0 : type.scale
      return { ...found, ...numbers(values.map(unscaled), value => decimalText(value, scale)) }
    }
    case 'date':
    case 'time':
    case 'timestamp':
      return {
        ...found,
        ...numbers(
          values.filter(isBounded).map(value => timeNumber(type, value)),
          String,
        ),
      }
    case 'bool':
      return { ...found, sum: sumOf(values.map(value => (value === 'true' ? 1n : 0n))) }
    case 'float': {
      const finite = values
        .map(Number)
        .filter(Number.isFinite)
        .sort((a, b) => a - b)
      return {
        ...found,
        min: finite.length === 0 ? null : String(finite[0]),
        max: finite.length === 0 ? null : String(finite.at(-1)),
      }
    }
    case 'text':
    case 'enum': {
      const sorted = values.map(value => Buffer.from(value)).sort(Buffer.compare)
      const cut = (bytes: Buffer | undefined): string | null =>
        bytes === undefined ? null : [...bytes.toString()].slice(0, 64).join('')
      return { ...found, sum: lengths(values), min: cut(sorted[0]), max: cut(sorted.at(-1)) }
    }
    case 'json':
    case 'uuid':
      return { ...found, sum: lengths(values) }
    case 'bytes':
      return { ...found, sum: sumOf(values.map(value => BigInt(value.length / 2 - 1))) }
    case 'interval':
      return found
  }
}

function numbers(
  values: readonly bigint[],
  spell: (value: bigint) => string,
): { readonly sum: string | null; readonly min: string | null; readonly max: string | null } {
  const sorted = [...values].sort((a, b) => (a < b ? -1 : 1))
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (min === undefined || max === undefined) return { sum: null, min: null, max: null }
  return { sum: spell(values.reduce((sum, value) => sum + value, 0n)), min: spell(min), max: spell(max) }
}

function sumOf(values: readonly bigint[]): string | null {
  return values.length === 0 ? null : String(values.reduce((sum, value) => sum + value, 0n))
}

function lengths(values: readonly string[]): string | null {
  return sumOf(values.map(value => BigInt(Buffer.byteLength(value))))
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
