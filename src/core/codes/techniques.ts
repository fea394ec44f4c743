import { entry } from './entry.ts'

/** Errors of change techniques: how changes of a table are seen. */
export const techniqueCodes = {
  OVERLAP_UNKNOWN: entry({
    text: (p: { source: string; table: string }) =>
      `source "${p.source}" cannot tell its open transactions, so the version technique could lose late commits of "${p.table}"`,
    fix: "State how many numbers below the highest may still be committed: add overlap: 1000 to the table's change technique (0 where there is one writer at a time, as in SQLite), or let the account see all transactions (pg_read_all_stats, PROCESS).",
    retry: 'never',
  }),
  VERSION_WENT_BACK: entry({
    text: (p: { table: string; column: string; rows: number; first: string }) =>
      `the version in ${p.column} of ${p.table} went back for ${p.rows} ${p.rows === 1 ? 'row' : 'rows'}: ${p.first}`,
    fix: "Numbers below the last read would be missed, so nothing was taken. Correct the numbers in the source; if they were set back on purpose (a restore, a wrap), run once with the technique 'full' for this table, and then with 'version' again.",
    retry: 'never',
  }),
  VERSION_REPEATED: entry({
    text: (p: { table: string; column: string; rows: number; first: string }) =>
      `${p.rows} ${p.rows === 1 ? 'row' : 'rows'} of ${p.table} changed and kept the version in ${p.column}: ${p.first}`,
    fix: "A writer leaves the number alone, so its changes would be missed. Let it give a new number, or use a technique that sees it: 'combined' with a sweep, 'trigger' or 'log'. To go on once, run with the technique 'full' for this table, and then with 'version' again.",
    retry: 'never',
  }),
} as const
