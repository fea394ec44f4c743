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
    fix: 'One project reads them at a time. Is it this one on another machine, end that (naru stop). Is it another project, give this one a name of its own: the option slot of pg(). If the reader was killed, the source lets go within a minute.',
    retry: 'later',
  }),
  POSITION_LOST: entry({
    text: (p: { source: string; technique: string; problem: string }) =>
      `source "${p.source}" cannot go on from where its changes (${p.technique}) were read to: ${p.problem}`,
    fix: (p: { source: string }) =>
      `Bring back what the source lost, where that can be done: then nothing is missed. Otherwise naru resync ${p.source} installs the stream anew, reads its tables and compares: rows are right then, versions between are missed, also by subscribers.`,
    retry: 'never',
  }),
} as const
