import type { Env } from '../core/env.ts'
import { messageOf } from '../core/errors.ts'
import type { Emit } from '../core/events.ts'
import { mayPass } from './faults.ts'

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
      const text = `${aboutSource(source, messageOf(error))}; trying again in ${seconds} s (${tried + 1} of ${retries})`
      emit({ kind: 'note', level: 'warn', text, code: error.code, about: source, cause: error.message })
      await env.clock.sleep(pauseMs, signal)
    }
  }
}

/** A message about a source, which names it once. */
export function aboutSource(source: string, message: string): string {
  return message.startsWith(`source "${source}"`) ? message : `source "${source}": ${message}`
}

/** The pause behind a failed attempt, the first of which is 0; never longer than a minute, and not longer than `longestMs`. */
export function pauseOf(env: Pick<Env, 'random'>, tried: number, longestMs: number = longestPauseMs): number {
  const whole = Math.min(longestPauseMs, longestMs, firstPauseMs * 2 ** tried)
  const [byte = 0] = env.random.bytes(1)
  return whole / 2 + (whole / 2) * (byte / 255)
}
