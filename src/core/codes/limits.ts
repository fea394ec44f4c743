import { entry } from './entry.ts'

/** Errors of what can happen anywhere: waits, disks, faults of ours. */
export const limitCodes = {
  DEADLINE: entry({
    text: (p: { what: string; ms: number }) => `${p.what} did not answer within ${p.ms} ms`,
    fix: 'Check that the system is up and reachable, or raise its timeout in the configuration.',
    retry: 'later',
  }),
  CANCELLED: entry({
    text: (p: { what: string }) => `${p.what} was cancelled`,
    fix: 'Run it again; finished chunks are kept.',
    retry: 'never',
  }),
  INTERNAL: entry({
    text: (p: { what: string }) => `this should not happen: ${p.what}`,
    fix: 'Report it with the text of this error.',
    retry: 'never',
  }),
  DISK_FULL: entry({
    text: (p: { path: string }) => `no space left while writing ${p.path}`,
    fix: 'Free space on that disk and run again; what was finished is kept.',
    retry: 'later',
  }),
} as const
