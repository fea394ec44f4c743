import { AsyncLocalStorage } from 'node:async_hooks'
import { fail } from '../../core/errors.ts'
import { oneAtATime } from '../../core/one-at-a-time.ts'

/** Runs calls one after the other; the same call inside one of them would wait for itself and is refused. */
export interface Serial {
  run<T>(what: string, call: () => Promise<T>): Promise<T>
  /** Resolves when the last call has ended, however it ended. */
  idle(): Promise<void>
}

/** `check` runs before each call: it refuses what is closed meanwhile. */
export function serial(check: (what: string) => void): Serial {
  const inside = new AsyncLocalStorage<true>()
  const line = oneAtATime()
  return {
    run: (what, call) => {
      if (inside.getStore() === true) throw fail('INTERNAL', { what: `${what} was called inside a transaction` })
      return line.run(() => {
        check(what)
        return inside.run(true, call)
      })
    },
    idle: line.idle,
  }
}
