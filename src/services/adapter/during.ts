import type { Closing } from './kept-open.ts'

/** Does a task over a connection of its own, which is closed behind it. What goes wrong is an error of the source. */
export type During<C, U> = <T>(
  use: U,
  signal: AbortSignal | undefined,
  task: (connection: C) => Promise<T>,
) => Promise<T>

/** Such tasks over connections that `open` opens; `asError` makes of what went wrong an error of the source. */
export function duringOf<C extends Closing, U>(
  open: (use: U, signal: AbortSignal | undefined) => Promise<C>,
  asError: (error: unknown) => unknown,
): During<C, U> {
  return async (use, signal, task) => {
    let connection: C | null = null
    try {
      connection = await open(use, signal)
      return await task(connection)
    } catch (error) {
      throw asError(error)
    } finally {
      await connection?.close()
    }
  }
}
