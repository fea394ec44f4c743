import { fail } from '../../core/errors.ts'
import type { Alone } from './work.ts'

/** Work of other commands that waits for its turn, beside a loop that has to stand still for it. */
export interface Crew {
  readonly alone: Alone
  /** The loop begins: the signal asks it to stand still, because something waits. */
  begin(): AbortSignal
  /** Does what waits, one after the other, while the loop stands still. Never throws: who handed it over is told. */
  work(signal: AbortSignal): Promise<void>
  /** What is being done; `null` while the loop runs. */
  doing(): string | null
  /** Refuses what still waits, and whatever comes. */
  close(reason: unknown): void
}

interface Waiting {
  readonly what: string
  readonly signal: AbortSignal
  readonly run: () => Promise<void>
  readonly refuse: (reason: unknown) => void
}

/** The line in which handed-over work waits. */
export function makeCrew(): Crew {
  const line: Waiting[] = []
  let pause = new AbortController()
  let doing: string | null = null
  let closed: { readonly reason: unknown } | null = null
  const asked = (): void => pause.abort(fail('CANCELLED', { what: 'a tick, for work of another command' }))
  return {
    alone: (what, signal, work) =>
      new Promise((resolve, reject) => {
        if (closed !== null) return reject(closed.reason)
        line.push({ what, signal, run: () => work().then(resolve, reject), refuse: reject })
        asked()
      }),
    begin: () => {
      pause = new AbortController()
      if (line.length > 0) asked()
      return pause.signal
    },
    work: async signal => {
      for (let next = line.shift(); next !== undefined; next = line.shift()) {
        if (signal.aborted) next.refuse(signal.reason)
        else if (next.signal.aborted) next.refuse(next.signal.reason)
        else {
          doing = next.what
          await next.run()
          doing = null
        }
      }
    },
    doing: () => doing,
    close: reason => {
      closed = { reason }
      for (const { refuse } of line.splice(0)) refuse(reason)
    },
  }
}
