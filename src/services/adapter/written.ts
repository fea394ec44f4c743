import type { WriteTarget, Written } from './contract-writes.ts'

/** What a publish did before it did anything: a mode fills in its own counts. */
export const nothingWritten: Written = { inserted: 0n, updated: 0n, deleted: 0n, missedNone: 0n, missedMany: 0n }

/** The counts as the mark of a publish keeps them: JSON with the counts as text. */
export function writtenText(written: Written): string {
  return JSON.stringify(written, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
}

/** The counts of a mark that `writtenText` made. */
export function writtenOf(text: string): Written {
  const counts = Object.entries(JSON.parse(text) as Readonly<Record<keyof Written, string>>)
  return Object.fromEntries(counts.map(([name, count]) => [name, BigInt(count)])) as unknown as Written
}

/** Keys that an error of a publish shows. */
export const examplesMax = 3

/** Keys in an error: each row holds the values of one, as text. What is personal is hidden. */
export function examplesOf(rows: readonly (readonly (string | null)[])[], { key, columns }: WriteTarget): string {
  const isPersonal = key.map(name => columns.some(column => column.name === name && column.personal))
  return rows
    .map(row => key.map((name, i) => `${name} = ${isPersonal[i] ? '***' : (row[i] ?? 'NULL').slice(0, 60)}`).join(', '))
    .join('; ')
}
