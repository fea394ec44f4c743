import type { TechniqueFacts } from './facts.ts'

/** What the log technique sees: everything that is committed. */
export const logFacts: TechniqueFacts = {
  technique: 'log',
  reads: 'the transaction log',
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
  cost: 'the log is kept until it was read; nothing for the writers but what they log more',
  needs: ['the right to replicate', 'wal_level = logical, or binlog_format = ROW with whole rows'],
}
