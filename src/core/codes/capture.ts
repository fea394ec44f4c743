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
  CAPTURE_LEFT: entry({
    text: (p: { source: string; technique: string; what: string; keeps: string; by: string; remove: string }) =>
      `source "${p.source}" still has what the technique ${p.technique} made there, and the configuration uses no more: ${p.what}; ${p.keeps}`,
    fix: (p: { by: string; remove: string }) => `Where it stays left, run at the source, as ${p.by}: ${p.remove}`,
    retry: 'never',
  }),
  CAPTURE_LEFT_UNSEEN: entry({
    text: (p: { source: string; technique: string; place: string; problem: string; remove: string; file: string }) =>
      `the technique ${p.technique} of source "${p.source}" made something at ${p.place} that the configuration uses no more, and whether it is still there cannot be told: ${p.problem}`,
    fix: (p: { remove: string; file: string; place: string }) =>
      `Look there, for it may fill the disk of ${p.place}. What removes it, where nobody else uses it: ${p.remove} Once it is gone, delete ${p.file}, which remembers it.`,
    retry: 'never',
  }),
  CAPTURE_MEMORY: entry({
    text: (p: { file: string; problem: string }) =>
      `${p.file} remembers what streams made at their sources, and cannot be read: ${p.problem}`,
    fix: 'Bring it back, or delete it: the next stream that opens writes it anew. What techniques left behind that are no longer used is then not told.',
    retry: 'never',
  }),
  POSITION_LOST: entry({
    text: (p: { source: string; technique: string; problem: string }) =>
      `source "${p.source}" cannot go on from where its changes (${p.technique}) were read to: ${p.problem}`,
    fix: (p: { source: string }) =>
      `Bring back what the source lost, where that can be done: then nothing is missed. Otherwise naru resync ${p.source} installs the stream anew, reads its tables and compares: rows are right then, versions between are missed, also by subscribers.`,
    retry: 'never',
  }),
} as const
