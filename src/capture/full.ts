import type { ReadPlan } from '../run/technique.ts'

/**
 * Reads the whole table each time; staging compares it with the image, so only differences go on. Sees deletes and
 * every silent update, at the cost of reading everything: for small tables. A broken load starts again, because nothing
 * tells which of its finished chunks changed meanwhile.
 */
export function planFull(): ReadPlan {
  return { scope: 'all', since: null, horizonMicros: null, sweep: false, resumable: false, warning: null }
}
