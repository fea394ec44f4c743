import type { ReadPlan } from '../run/technique.ts'

/**
 * Reads the whole table each time; staging compares it with the image, so only differences go on. Sees deletes and
 * every silent update, at the cost of reading everything: for small tables.
 */
export function planFull(): ReadPlan {
  return { scope: 'all', since: null, horizonMicros: null, sweep: false, range: null, warning: null }
}
