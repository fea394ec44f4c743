import { sha256 } from '../core/env.ts'

/** A hash of plain data: equal for equal data, whatever the order in which properties were written. */
export function hashOf(data: unknown): string {
  return sha256(canonical(data))
}

function canonical(data: unknown): string {
  if (typeof data === 'bigint') return `${data}n`
  if (data === undefined) return 'undefined'
  if (typeof data !== 'object' || data === null) return JSON.stringify(data)
  if (Array.isArray(data)) return `[${data.map(canonical).join(',')}]`
  const entries = Object.entries(data).filter(([, value]) => value !== undefined)
  // By code unit, so that no locale decides.
  const sorted = entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${sorted.map(([name, value]) => `${JSON.stringify(name)}:${canonical(value)}`).join(',')}}`
}
