import type { ReadPlan } from '../run/technique.ts'
import type { TechniqueFacts } from './facts.ts'

/** What a full read sees. */
export const fullFacts: TechniqueFacts = {
  technique: 'full',
  reads: 'the whole table, compared with its image',
  sees: {
    inserts: 'seen',
    updates: 'seen',
    deletes: 'seen',
    lateCommits: 'seen',
    ties: 'seen',
    silentWriters: 'seen',
    versionsBetween: 'missed',
    keyChanges: 'seen',
    truncates: 'seen',
  },
  cost: 'every read reads the whole table',
  needs: ['SELECT on the table'],
}

/**
 * Reads the whole table each time; staging compares it with the image, so only differences go on. Sees deletes and
 * every silent update, at the cost of reading everything: for small tables.
 */
export function planFull(): ReadPlan {
  return { scope: 'all', since: null, horizonMicros: null, sweep: false, range: null, warning: null }
}
