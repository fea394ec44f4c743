import type { Cell } from '../services/engine/contract.ts'

/** `3,000,000`. */
export function count(value: number | bigint): string {
  return value.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

/** `850 ms`, `4.2 s`, `3 min 10 s`. */
export function seconds(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
}

/** `512 B`, `4.2 MiB`. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const unit = units.findIndex((_, i) => value < 1024 ** (i + 1) || i === units.length - 1)
  return unit === 0 ? `${value} B` : `${(value / 1024 ** unit).toFixed(1)} ${units[unit]}`
}

/** Text of a cell for a person: NULL is empty, control characters are shown as escapes. */
export function cellText(cell: Cell): string {
  if (cell === null) return ''
  if (Array.isArray(cell)) return `[${cell.map(cellText).join(', ')}]`
  return visible(String(cell))
}

/** Text in which nothing drives a terminal, begins a line or turns the order of letters: each such character as an escape. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, control => {
    return `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** The same for words of other systems that may have several lines: those after the first are indented, so that none looks like ours. */
export function visibleLines(text: string): string {
  return text.split(/\r?\n/).map(visible).join('\n    ')
}

/** A table with aligned columns; numbers to the right. */
export function table(headers: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map(row => row.map(cellText))
  const widths = headers.map((header, i) => Math.max(width(header), ...texts.map(row => width(row[i] ?? ''))))
  const right = headers.map((_, i) => rows.some(row => isNumber(row[i])) && rows.every(row => isNumberOrNull(row[i])))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => {
        const space = ' '.repeat((widths[i] ?? 0) - width(cell))
        return right[i] === true ? space + cell : cell + space
      })
      .join('  ')
      .trimEnd()
  return [line(headers), line(widths.map(w => '─'.repeat(w))), ...texts.map(line)].join('\n')
}

function isNumber(cell: Cell | undefined): boolean {
  return typeof cell === 'number' || typeof cell === 'bigint'
}

function isNumberOrNull(cell: Cell | undefined): boolean {
  return cell === null || isNumber(cell)
}

/** Columns that a text takes on a terminal: wide for Hangul, Han and kana. */
function width(text: string): number {
  let columns = 0
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0
    columns +=
      (code >= 0x1100 && code <= 0x115f) ||
      (code >= 0x2e80 && code <= 0xa4cf) ||
      (code >= 0xac00 && code <= 0xd7a3) ||
      (code >= 0xf900 && code <= 0xfaff) ||
      (code >= 0xff00 && code <= 0xff60)
        ? 2
        : 1
  }
  return columns
}
