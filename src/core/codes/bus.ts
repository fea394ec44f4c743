import { entry } from './entry.ts'

/** Errors of change slices as they lie in the durable log. */
export const busCodes = {
  SLICE_DAMAGED: entry({
    text: (p: { problem: string }) => `a set of changes in the durable log cannot be read: ${p.problem}`,
    fix: 'Another program wrote into the log, or its disk is damaged: the changes of this source must be read from it again.',
    retry: 'never',
  }),
  SLICE_VERSION: entry({
    text: (p: { version: number; known: number }) =>
      `a set of changes in the durable log has version ${p.version} of its format; this program reads ${p.known}`,
    fix: 'A newer Naru wrote it: start that version or a newer one.',
    retry: 'never',
  }),
  SLICE_MISFIT: entry({
    text: (p: { problem: string }) => `a set of changes does not fit together: ${p.problem}`,
    fix: 'This is a mistake in the adapter that made it: report it with this text. Nothing of it was written.',
    retry: 'never',
  }),
}
