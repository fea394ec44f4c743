import { microsText } from '../core/cell-text.ts'
import type { Cell, Row } from '../services/engine/contract.ts'
import type { Sample } from './model.ts'

/** Rows that a list shows of each group. */
export const SAMPLE_ROWS = 5
/** Rows of the lists that there is one of: matches of a contributor, files of a table. */
export const LIST_ROWS = 10
/** Characters of one value that are shown. */
export const SHOWN_CHARACTERS = 200
/** What stands for a value that is not shown. */
export const MASKED = '***'

/** Puts counts of groups beside the samples of the same groups. `rows` hold at most the sampled rows. */
export function sampleOf<T>(rows: readonly Row[], of: number, read: (row: Row) => T): Sample<T> {
  return { shown: rows.map(read), of }
}

/** Rows in groups, in order of first appearance. */
export function groupRows(rows: readonly Row[], columns: readonly string[]): ReadonlyMap<string, readonly Row[]> {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const key = groupKey(row, columns)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [row])
    else group.push(row)
  }
  return groups
}

export function groupKey(row: Row, columns: readonly string[]): string {
  return JSON.stringify(columns.map(column => textOf(row[column])))
}

export function textOf(cell: Cell | undefined): string | null {
  return cell === null || cell === undefined ? null : String(cell)
}

/** A key as the report shows it: a personal one only as the fingerprint that the stages write for it. */
export function shownKey(key: string | null, personal: boolean): string | null {
  return !personal || key === null || /^#[0-9a-f]{32}$/.test(key) ? shownText(key) : MASKED
}

/** A value for people: cut at 200 characters, with its full length. */
export function shownText(cell: Cell | undefined): string | null {
  const text = textOf(cell)
  if (text === null || text.length <= SHOWN_CHARACTERS) return text
  const characters = [...text]
  if (characters.length <= SHOWN_CHARACTERS) return text
  return `${characters.slice(0, SHOWN_CHARACTERS).join('')}… (${characters.length} characters)`
}

export function numberOf(cell: Cell | undefined): number {
  return Number(cell ?? 0)
}

export function numberOrNull(cell: Cell | undefined): number | null {
  return cell === null || cell === undefined ? null : Number(cell)
}

/** Microseconds since 1970-01-01 as text in UTC, to the second. */
export function timeText(cell: Cell | undefined): string | null {
  return cell === null || cell === undefined ? null : microsText(BigInt(cell as bigint), false).slice(0, 19)
}
