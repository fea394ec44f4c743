/** The folders above a key, from the top: `a`, `a/b` for `a/b/c.csv`. */
export function parentsOf(key: string): readonly string[] {
  const parts = key.split('/').slice(0, -1)
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'))
}

/** Remembers the error of the body itself, so that it is not taken for one of the connection. */
export function watch(body: AsyncIterable<Uint8Array>): { body: AsyncIterable<Uint8Array>; failure: () => unknown } {
  let failure: unknown
  return {
    failure: () => failure,
    body: (async function* () {
      try {
        yield* body
      } catch (error) {
        failure = error
        throw error
      }
    })(),
  }
}
