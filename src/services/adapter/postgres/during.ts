import type { Env } from '../../../core/env.ts'
import { Connection, type SessionUse } from './connection.ts'
import { sourceError } from './errors.ts'
import type { Target } from './target.ts'

/** Does a task over a connection of its own, which is closed behind it. What goes wrong is an error of the source. */
export type During = <T>(
  use: SessionUse,
  signal: AbortSignal | undefined,
  task: (connection: Connection) => Promise<T>,
) => Promise<T>

export function duringSession(env: Env, target: Target): During {
  return async (use, signal, task) => {
    let connection: Connection | null = null
    try {
      connection = await Connection.open(env, target, signal, use)
      return await task(connection)
    } catch (error) {
      throw sourceError(error, target, null)
    } finally {
      await connection?.close()
    }
  }
}
