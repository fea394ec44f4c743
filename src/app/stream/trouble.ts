import type { Env } from '../../core/env.ts'
import type { NaruError } from '../../core/errors.ts'

/** What goes wrong with a source, until it goes well again. */
export interface LiveTrouble {
  readonly code: string
  readonly text: string
  readonly fix: string
  readonly sinceMicros: bigint
  /** Attempts that failed so far. */
  readonly failures: number
  /** When it is tried again; `null` when nobody does by himself, because only a person can mend it. */
  readonly againMicros: bigint | null
}

/**
 * What goes wrong with a source, in the form of the status: it began with the first failure in a row. `pauseMs` is `null`
 * when nobody tries it again by himself.
 */
export function troubleOf(
  { clock }: Pick<Env, 'clock'>,
  { code, message: text, fix }: NaruError,
  { before, pauseMs }: { readonly before: LiveTrouble | null; readonly pauseMs: number | null },
): LiveTrouble {
  const nowMicros = clock.nowMicros()
  return {
    code,
    text,
    fix,
    sinceMicros: before?.sinceMicros ?? nowMicros,
    failures: (before?.failures ?? 0) + 1,
    againMicros: pauseMs === null ? null : nowMicros + BigInt(Math.round(pauseMs)) * 1000n,
  }
}
