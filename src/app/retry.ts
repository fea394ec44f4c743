import { codes } from '../core/codes.ts'
import type { Env } from '../core/env.ts'
import { isNaruError, messageOf, type NaruError } from '../core/errors.ts'
import type { Emit } from '../core/events.ts'

/** Pause before the first retry, doubled each time up to the longest; of each a random half, so that many do not return at once. */
const firstPauseMs = 1_000
const longestPauseMs = 60_000

/**
 * Does a task again when it failed with an error that may pass by itself (`retry: 'later'`), at most `retries` times.
 * Anything else, such as a refused login, ends at once: it would be refused again.
 */
export async function retrying(
  given: {
    readonly env: Env
    readonly emit: Emit
    readonly signal: AbortSignal
    readonly source: string
    readonly retries: number
  },
  task: () => Promise<void>,
): Promise<void> {
  const { env, emit, signal, source, retries } = given
  for (let tried = 0; ; tried++) {
    try {
      return await task()
    } catch (error) {
      if (tried >= retries || signal.aborted || !mayPass(error)) throw error
      const pauseMs = pauseOf(env, tried)
      const seconds = (pauseMs / 1000).toFixed(1)
      const text = `source "${source}": ${messageOf(error)}; trying again in ${seconds} s (${tried + 1} of ${retries})`
      emit({ kind: 'note', level: 'warn', text, code: error.code, about: source })
      await env.clock.sleep(pauseMs, signal)
    }
  }
}

/** Faults of the source only: a full disk of ours is not emptied by asking the source again. */
function mayPass(error: unknown): error is NaruError {
  if (!isNaruError(error) || codes[error.code].retry !== 'later') return false
  return /^(SOURCE|STORAGE)_|^DEADLINE$/.test(error.code)
}

/** The pause behind a failed attempt, the first of which is 0. */
export function pauseOf(env: Env, tried: number): number {
  const whole = Math.min(longestPauseMs, firstPauseMs * 2 ** tried)
  const [byte = 0] = env.random.bytes(1)
  return whole / 2 + (whole / 2) * (byte / 255)
}
