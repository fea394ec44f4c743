import { fail } from '../../core/errors.ts'
import type { SessionAtRest, Turns, WaitingWork } from '../live/turns.ts'

/** Work of other commands that waits for its turn, beside a loop that stands still for it, or does it between two ticks. */
export interface Crew extends Turns {
  /** What a session does between two of its ticks. */
  readonly visits: WaitingWork
  /** The loop begins: the signal asks it to stand still, because something waits for that. */
  begin(): AbortSignal
  /** Does all that waits, one after the other, while the loop stands still. Never throws: who handed it over is told. */
  work(signal: AbortSignal): Promise<void>
  /** What is being done; `null` while nothing is. */
  doing(): string | null
  /** Refuses what still waits, and whatever comes. */
  close(reason: unknown): void
}

interface Waiting {
  readonly what: string
  readonly signal: AbortSignal
  readonly run: (session: SessionAtRest | null) => Promise<void>
  readonly refuse: (reason: unknown) => void
}

/** The lines in which handed-over work waits. */
export function makeCrew(): Crew {
  const forAlone: Waiting[] = []
  const forBetween: Waiting[] = []
  const listeners = new Set<() => void>()
  let pause = new AbortController()
  let doing: string | null = null
  let closed: { readonly reason: unknown } | null = null
  const standStill = (): void => pause.abort(fail('CANCELLED', { what: 'a tick, for work of another command' }))

  const wait = <T>(
    line: Waiting[],
    { what, signal, work }: Pick<Waiting, 'what' | 'signal'> & { work: (session: SessionAtRest | null) => Promise<T> },
  ): Promise<T> =>
    new Promise((resolve, reject) => {
      if (closed !== null) return reject(closed.reason)
      line.push({ what, signal, run: session => work(session).then(resolve, reject), refuse: reject })
    })
  const serve = async (line: Waiting[], session: SessionAtRest | null, ending?: AbortSignal): Promise<void> => {
    for (let next = line.shift(); next !== undefined; next = line.shift()) {
      const ended = [ending, next.signal].find(it => it?.aborted === true)
      if (ended !== undefined) {
        next.refuse(ended.reason)
        continue
      }
      doing = next.what
      await next.run(session)
      doing = null
    }
  }

  return {
    alone: (what, signal, work) => {
      const done = wait(forAlone, { what, signal, work })
      standStill()
      return done
    },
    between: (what, signal, work) => {
      const done = wait(forBetween, { what, signal, work })
      for (const listener of listeners) listener()
      return done
    },
    visits: {
      onCome: listener => {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
      work: session => serve(forBetween, session),
    },
    begin: () => {
      pause = new AbortController()
      if (forAlone.length > 0) standStill()
      return pause.signal
    },
    work: async signal => {
      await serve(forAlone, null, signal)
      await serve(forBetween, null, signal)
    },
    doing: () => doing,
    close: reason => {
      closed = { reason }
      for (const { refuse } of [...forAlone.splice(0), ...forBetween.splice(0)]) refuse(reason)
    },
  }
}
