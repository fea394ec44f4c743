import type { Env } from '../../core/env.ts'
import type { NaruError } from '../../core/errors.ts'
import type { LiveTrouble } from '../live-status.ts'

/** What goes wrong with a source, in the form of the status: it began with the first failure in a row. */
export function troubleOf(
  { clock }: Env,
  { code, message: text, fix }: NaruError,
  { before, pauseMs }: { readonly before: LiveTrouble | null; readonly pauseMs: number },
): LiveTrouble {
  const nowMicros = clock.nowMicros()
  const againMicros = nowMicros + BigInt(Math.round(pauseMs)) * 1000n
  return {
    code,
    text,
    fix,
    sinceMicros: before?.sinceMicros ?? nowMicros,
    failures: (before?.failures ?? 0) + 1,
    againMicros,
  }
}
