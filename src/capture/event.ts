import type { TechniqueFacts } from './facts.ts'

/** What the event technique sees: what the application writes into its outbox, and nothing else. */
export const eventFacts: TechniqueFacts = {
  technique: 'event',
  reads: 'an outbox that the application fills',
  sees: {
    inserts: 'seen',
    updates: 'seen',
    deletes: 'seen',
    lateCommits: 'seen',
    ties: 'seen',
    silentWriters: 'missed',
    versionsBetween: 'seen',
    keyChanges: 'seen',
    truncates: 'seen',
  },
  cost: 'one more insert for each change that the application tells',
  needs: ['an outbox that the application writes in the transaction of the change', 'SELECT and DELETE on it'],
}
