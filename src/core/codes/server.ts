import { entry } from './entry.ts'

/** Errors between commands and the process that has the database open. */
export const serverCodes = {
  SERVER_GONE: entry({
    text: (p: { holder: string; problem: string }) => `${p.holder} did not finish its answer: ${p.problem}`,
    fix: 'Run the command again; `naru status` shows whether the server runs.',
    retry: 'later',
  }),
  SERVER_ENDING: entry({
    text: (p: { holder: string }) => `${p.holder} is ending, and closed the database before its answer`,
    fix: 'Run the command again; `naru status` shows whether the server runs.',
    retry: 'later',
  }),
  SERVER_OTHER: entry({
    text: (p: { holder: string; theirs: string; ours: string }) =>
      `${p.holder} has the database open and is ${p.theirs}; this command is ${p.ours}`,
    fix: 'Use the same installation for both: end that process (`naru stop` of its installation), then run the command again.',
    retry: 'never',
  }),
  SERVER_CONFIG: entry({
    text: (p: { holder: string }) =>
      `${p.holder} works by an older state of the configuration, so this cannot be handed to it`,
    fix: 'Restart it, so that it reads the configuration anew: `naru stop`, then `naru start`.',
    retry: 'never',
  }),
  SERVER_DENIED: entry({
    text: (p: { path: string; why: string }) => `${p.path} is not trusted: ${p.why}`,
    fix: 'Look at who made it; remove it when it is not yours, then run `naru start` or `naru run` again.',
    retry: 'never',
  }),
  SERVER_REQUEST: entry({
    text: (p: { problem: string }) => `a request to the local socket was refused: ${p.problem}`,
    fix: 'The socket is for the commands of this package; use `naru sql`, or its --json output.',
    retry: 'never',
    exit: 2,
  }),
  SERVER_ANSWER: entry({
    text: (p: { bytes: number }) =>
      `one row of the answer is larger than the ${p.bytes} bytes that go through the local socket`,
    fix: 'Select fewer or shorter columns, or ask while no server runs (`naru stop`).',
    retry: 'never',
  }),
  SERVER_CROWDED: entry({
    text: (p: { holder: string; limit: number }) => `${p.holder} answers ${p.limit} commands already`,
    fix: 'Run `naru status` or the command again when some of them have ended.',
    retry: 'later',
  }),
  SERVER_ONCE: entry({
    text: (p: { holder: string }) => `${p.holder} has the database open, and is no server that could be stopped`,
    fix: 'Wait until it ends, or press Ctrl-C there; `naru status` shows how far it is.',
    retry: 'later',
  }),
  SERVER_STAYS: entry({
    text: (p: { holder: string; seconds: number }) => `${p.holder} still runs ${p.seconds} s after it was asked to end`,
    fix: 'Look at `naru status`; a kill of that process loses nothing that was published, and the next `naru start` goes on.',
    retry: 'later',
  }),
  STREAM_STALLED: entry({
    text: (p: { source: string; seconds: number; theirs: string; ours: string }) =>
      `source "${p.source}" moved on to ${p.theirs}, and nothing of it came for ${p.seconds} s: we stand at ${p.ours}`,
    fix: 'Look at the last errors in `naru status`; when there is none, restart the server (`naru stop`, `naru start`) and report it with this text.',
    retry: 'later',
  }),
} as const
