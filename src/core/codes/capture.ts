import { entry } from './entry.ts'

/** Errors of change capture: what a stream of changes needs of its source. */
export const captureCodes = {
  CAPTURE_NOT_READY: entry({
    text: (p: { source: string; technique: string; problems: string }) =>
      `source "${p.source}" is not ready for the technique ${p.technique}: ${p.problems}`,
    fix: 'Apply what `naru check` says for the source; then start again.',
    retry: 'never',
  }),
  CAPTURE_HELD: entry({
    text: (p: { source: string; technique: string; holder: string }) =>
      `the changes of source "${p.source}" (${p.technique}) are read by another stream: ${p.holder}`,
    fix: 'Stop the other process that reads them; if it was killed, the source lets go within a minute.',
    retry: 'later',
  }),
  POSITION_LOST: entry({
    text: (p: { source: string; technique: string; problem: string }) =>
      `source "${p.source}" cannot go on from where its changes (${p.technique}) were read to: ${p.problem}`,
    fix: 'Changes may be missing: read the tables again with `naru resync`, which takes a new position first.',
    retry: 'never',
  }),
  CAPTURE_VALUE: entry({
    text: (p: { source: string; table: string; column: string; key: string; position: string }) =>
      `a change of "${p.table}" of source "${p.source}" has a value in "${p.column}" that its type does not hold: key ${p.key}, at ${p.position}`,
    fix: 'Leave the column out of the table, or let the source take such dates for NULL (zeroDates), and correct the row in the source.',
    retry: 'never',
  }),
  CAPTURE_TOO_LARGE: entry({
    text: (p: { source: string; bytes: number; limit: number; position: string }) =>
      `the log of source "${p.source}" has a change of ${p.bytes} bytes at ${p.position}; the limit is ${p.limit}`,
    fix: 'Raise maxValueBytes of the source.',
    retry: 'never',
  }),
} as const
