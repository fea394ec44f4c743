import type { TechniqueFacts } from './facts.ts'

/**
 * What the status technique sees. One statement claims rows and sets their flag; it commits once they are in the durable
 * log, so a crash between gives them again. A row that changes while it is claimed waits for the claim, and its writer sets
 * the flag anew.
 */
export const statusFacts: TechniqueFacts = {
  technique: 'status',
  reads: 'claims rows whose flag says so, and sets it back',
  sees: {
    inserts: 'seen',
    updates: 'seen',
    deletes: 'missed',
    lateCommits: 'seen',
    ties: 'seen',
    silentWriters: 'missed',
    versionsBetween: 'missed',
    keyChanges: 'missed',
    truncates: 'missed',
  },
  cost: 'one more update of every changed row, and an index on the flag; a writer of a claimed row waits until the claim commits',
  needs: ['SELECT on the table', 'UPDATE of the flag', 'nobody else who sets the flag back'],
}
