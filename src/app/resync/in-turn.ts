import type { SourceTableDef } from '../../config/model.ts'
import type { Engine } from '../../services/engine/contract.ts'

/** Who reads a table again on an engine, or waits to, by its name: settles once all of them are done. */
const reading = new WeakMap<Engine, Map<string, Promise<unknown>>>()

/**
 * A table has one place where rows land that nobody sees yet: two who read it again at once would land in each other's. The signal
 * ends the wait at once, with its reason.
 */
export async function inTurn<T>(
  engine: Engine,
  tables: readonly SourceTableDef[],
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const going = reading.get(engine) ?? new Map<string, Promise<unknown>>()
  reading.set(engine, going)
  const names = tables.map(table => `${table.source}.${table.name}`)
  const before = Promise.allSettled(names.flatMap(name => going.get(name) ?? []))
  const done = unlessAborted(before, signal).then(work)
  // Who gives up lets nobody past those that it waited for.
  const ended = forgotten(Promise.allSettled([before, done]))
  for (const name of names) going.set(name, ended)
  return done

  async function forgotten(all: Promise<unknown>): Promise<void> {
    await all
    for (const name of names) if (going.get(name) === ended) going.delete(name)
  }
}

function unlessAborted(wait: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error)
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    void wait.finally(() => {
      signal.removeEventListener('abort', abort)
      resolve()
    })
  })
}
