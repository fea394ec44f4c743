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
    fix: 'Changes may be missing: `naru resync SOURCE` installs the stream anew, notes new places, and compares every table with what is here.',
    retry: 'never',
  }),
} as const
