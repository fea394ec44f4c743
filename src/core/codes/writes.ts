import { entry } from './entry.ts'

/** Errors of tables that are written outside. `system` names the source of the config, or the address of a transfer. */
export const writeCodes = {
  WRITE_TARGET: entry({
    text: (p: { system: string; table: string; problem: string }) =>
      `table "${p.table}" of "${p.system}" cannot be written: ${p.problem}`,
    fix: 'Correct the table, the columns or the mode; --create makes a table that is not there.',
    retry: 'never',
  }),
  WRITE_VALUE: entry({
    text: (p: { system: string; table: string; column: string; row: string; problem: string }) =>
      `column "${p.column}" of "${p.table}" in "${p.system}" cannot hold the value of ${p.row}: ${p.problem}`,
    fix: 'Nothing was rounded or cut, and nothing of the write is visible. Widen the column, or leave the row or column out.',
    retry: 'never',
  }),
  WRITE_KEYS_MISSED: entry({
    text: (p: { system: string; table: string; none: string; many: string; examples: string }) =>
      `of the keys for "${p.table}" in "${p.system}", ${p.none} find no row and ${p.many} find more than one: ${p.examples}`,
    fix: 'Nothing was changed. Correct the keys, use upsert, or let them be reported only: --missed report.',
    retry: 'never',
  }),
  WRITE_KEY_REPEATED: entry({
    text: (p: { system: string; table: string; rows: string; examples: string }) =>
      `${p.rows} rows for "${p.table}" in "${p.system}" share a key with another: ${p.examples}`,
    fix: 'Nothing was changed. Choose columns that name one row: --key.',
    retry: 'never',
  }),
  WRITE_KEYS_TAKEN: entry({
    text: (p: { system: string; table: string; key: string; rows: string; examples: string }) =>
      `${p.rows} rows for "${p.table}" in "${p.system}" have a key (${p.key}) that is there already: ${p.examples}`,
    fix: 'Nothing was changed. Write with --mode upsert to change the rows that are there, or leave them out with --where.',
    retry: 'never',
  }),
  WRITE_NOT_UNIQUE: entry({
    text: (p: { system: string; table: string; problem: string }) =>
      `rows of "${p.table}" in "${p.system}" would share a value that it keeps unique: ${p.problem}`,
    fix: 'Nothing was changed. Correct those rows, or leave them out with --where.',
    retry: 'never',
  }),
  WRITE_CALL: entry({
    text: (p: { system: string; table: string; row: string; problem: string }) =>
      `calling "${p.table}" in "${p.system}" with ${p.row} failed: ${p.problem}`,
    fix: 'All calls were taken back. Correct the row or the procedure, or leave the row out with --where, and run it again.',
    retry: 'never',
  }),
  WRITE_FAILED: entry({
    text: (p: { system: string; table: string; problem: string }) =>
      `writing "${p.table}" in "${p.system}" failed: ${p.problem}`,
    fix: 'Nothing of the write is visible. Run it again: what was staged is kept.',
    retry: 'later',
  }),
} as const
