import { entry } from './entry.ts'

/** Errors of the servers of tests and the demo. */
export const demoCodes = {
  LOCAL_SERVER_PLATFORM: entry({
    text: (p: { server: string; platform: string; arch: string }) =>
      `there is no ${p.server} package for ${p.platform} on ${p.arch}`,
    fix: 'Run it on Linux or macOS on x64 or arm64.',
    retry: 'never',
  }),
  LOCAL_SERVER_ACCOUNT: entry({
    text: (p: { server: string; tried: readonly string[] }) =>
      `${p.server} does not run as root, and this process may not run it as ${p.tried.join(', ')}`,
    fix: 'Run the command as an ordinary user, or let root change its user id (CAP_SETUID in a container).',
    retry: 'never',
  }),
  LOCAL_SERVER_FOLDER: entry({
    text: (p: { folder: string; why: string }) => `the folder ${p.folder} cannot be used: ${p.why}`,
    fix: 'Remove that folder, or point TMPDIR to one of your own that other users can enter and that may hold programs.',
    retry: 'never',
  }),
  LOCAL_SERVER_START: entry({
    text: (p: { server: string; why: string }) => `${p.server} did not start: ${p.why}`,
    fix: 'Read the log that the message names; most often a port is taken, the disk is full or a folder is not readable.',
    retry: 'later',
  }),
  LOCAL_SERVER_STOP: entry({
    text: (p: { server: string; pid: number }) => `${p.server} with process id ${p.pid} did not stop`,
    fix: (p: { pid: number }) => `End it by hand: kill -QUIT ${p.pid}`,
    retry: 'later',
  }),
} as const
