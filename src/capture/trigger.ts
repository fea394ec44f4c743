import type { TechniqueFacts } from './facts.ts'

/** What the trigger technique sees: triggers of ours write every change into a table of ours, in the writer's transaction. */
export const triggerFacts: TechniqueFacts = {
  technique: 'trigger',
  reads: 'a change table that triggers fill',
  sees: {
    inserts: 'seen',
    updates: 'seen',
    deletes: 'seen',
    lateCommits: 'seen',
    ties: 'seen',
    silentWriters: 'seen',
    versionsBetween: 'seen',
    keyChanges: 'seen',
    truncates: 'seen',
  },
  cost: 'every write is written twice, in the transaction of the writer',
  needs: ['to create a table and triggers', 'SELECT and DELETE on the change table'],
}
