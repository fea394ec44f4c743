/**
 * The items of several iterables as they come, each in its own order. An iterable is asked for its next item only when
 * the last one was used, so that each may reuse its buffers. When one fails, or the reader leaves, all are closed.
 */
export async function* interleave<T>(all: readonly AsyncIterable<T>[]): AsyncGenerator<T, void> {
  const iterators = all.map(it => it[Symbol.asyncIterator]())
  const pending = new Map<number, Promise<{ readonly from: number; readonly next: IteratorResult<T> }>>()
  const ask = (from: number): void => {
    const asked = (iterators[from] as AsyncIterator<T>).next().then(next => ({ from, next }))
    // Heard again when it is raced; until then a failure must not end the process.
    asked.catch(() => {})
    pending.set(from, asked)
  }
  try {
    for (const from of iterators.keys()) ask(from)
    while (pending.size > 0) {
      const { from, next } = await Promise.race(pending.values())
      pending.delete(from)
      if (next.done === true) continue
      yield next.value
      ask(from)
    }
  } finally {
    await Promise.all([...pending.values()].map(it => it.catch(() => {})))
    for (const iterator of iterators) await iterator.return?.()
  }
}
