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
  OPEN_FILES: entry({
    text: (p: { problem: string }) => `this process may not open more files: ${p.problem}`,
    fix: 'Raise its limit of open files (ulimit -n, or LimitNOFILE of the service) to 1024 or more; what was finished is kept.',
    retry: 'never',
  }),
  PROCESSES: entry({
    text: (p: { problem: string }) => `this machine lets us start no more processes or threads: ${p.problem}`,
    fix: 'Raise the limit of processes of this account or container (ulimit -u, pids limit), or end others; what was finished is kept.',
    retry: 'never',
  }),
  MEMORY: entry({
    text: (p: { problem: string }) => `this machine gives us no more memory: ${p.problem}`,
    fix: "Give the process more memory, or lower chunkRows, connections and the engine's memory in the configuration; what was finished is kept.",
    retry: 'never',
  }),
  FILE_DENIED: entry({
    text: (p: { path: string; problem: string }) => `this account may not use ${p.path}: ${p.problem}`,
    fix: 'Give the account that runs Naru the right to it, or name another folder.',
    retry: 'never',
  }),
  DISK_LOW: entry({
    text: (p: { path: string; free: number; keepFree: number }) =>
      `the disk of ${p.path} has ${p.free} bytes left, less than the ${p.keepFree} that stay free (keepFreeBytes): sources are not read until it has more`,
    fix: 'Free space on that disk: a server goes on by itself, a run is started again. What was read is kept.',
    retry: 'later',
  }),
  DISK_FULL: entry({
    text: (p: { path: string }) => `no space left while writing ${p.path}`,
    fix: 'Free space on that disk and run again; what was finished is kept.',
    retry: 'later',
  }),
} as const
