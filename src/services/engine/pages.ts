/**
 * The pages of a result that holds the engine until it ends. `read` gives the next page, `null` behind the last; `finish`
 * is called once, with whether all was read. Whoever stops early calls `return`, as `for await` does, and it waits for a
 * page that is being read.
 */
export function pagesOf<Page>(
  read: () => Promise<Page | null>,
  finish: (read: 'to the end' | 'in part') => Promise<void>,
): AsyncIterable<Page> {
  const nothing = { done: true, value: undefined } as const
  let done = false
  let reading: Promise<unknown> = Promise.resolve()

  async function end(how: 'to the end' | 'in part'): Promise<void> {
    if (done) return
    done = true
    await finish(how)
  }

  async function next(): Promise<IteratorResult<Page, undefined>> {
    if (done) return nothing
    try {
      const page = await read()
      if (page !== null) return { done: false, value: page }
      await end('to the end')
      return nothing
    } catch (error) {
      await end('in part')
      throw error
    }
  }

  const iterator = {
    next: () => {
      const page = next()
      reading = page.catch(() => {}) // its own caller gets the error; `return` only waits for it
      return page
    },
    return: async () => {
      await reading
      await end('in part')
      return nothing
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}
