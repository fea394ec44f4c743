import { microsText } from '../../core/cell-text.ts'
import type { TableRead, UnitPlan } from './table-read.ts'

/** Parts of a backfill at most: each is read and committed by itself. */
const slicesMax = 366
const dayMicros = 86_400_000_000n

/**
 * Cuts the range of a backfill into parts that a broken one goes on behind: days of a time, equal parts of a whole number,
 * and one part of anything else. The same range always gives the same parts.
 */
export function slicesOf({ plan, reading }: Pick<TableRead, 'plan' | 'reading'>): readonly UnitPlan[] {
  const { column, from, to } = plan.range ?? { column: '', from: '', to: '' }
  const type = reading.staged.find(it => it.name === column)?.type.kind
  const bounds = type === 'int' ? wholeNumbers(from, to) : (times(from, to) ?? [from, to])
  return bounds.slice(1).map((end, i) => ({
    unit: i + 1,
    kind: 'slice',
    after: [bounds[i] as string],
    upTo: [end],
  }))
}

function wholeNumbers(from: string, to: string): readonly string[] {
  const [first, end] = [BigInt(from), BigInt(to)]
  const count = BigInt(slicesMax) < end - first ? 16n : 1n
  const step = (end - first + count - 1n) / count
  const bounds: string[] = []
  for (let at = first; at < end; at += step) bounds.push(String(at))
  return [...bounds, to]
}

function times(from: string, to: string): readonly string[] | null {
  const [first, end] = [microsOf(from), microsOf(to)]
  if (first === null || end === null) return null
  const days = (end - first) / dayMicros + 1n
  const step = dayMicros * (days / BigInt(slicesMax) + 1n)
  const zoned = from.endsWith('+00')
  const bounds: string[] = []
  for (let at = first + step; at < end; at += step) bounds.push(spelled(at, from, zoned))
  return [from, ...bounds, to]
}

function spelled(micros: bigint, like: string, zoned: boolean): string {
  const text = microsText(micros, false)
  if (like.length === 10) return text.slice(0, 10)
  return zoned ? `${text}+00` : text
}

function microsOf(text: string): bigint | null {
  const iso = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?))?(\+00)?$/.exec(text)
  if (iso === null) return null
  const ms = Date.parse(`${iso[1]}T${iso[2] ?? '00:00'}Z`)
  return Number.isNaN(ms) ? null : BigInt(ms) * 1000n
}
