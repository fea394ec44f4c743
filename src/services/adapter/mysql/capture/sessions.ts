import { systemCodeOf } from '../../../../core/errors.ts'
import type { Env } from '../../../../core/env.ts'
import { rawSql, sql } from '../../../../core/sql.ts'
import { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import { held, notReady } from './errors.ts'

/** So long a reader that was killed may still stand in the way: the server notices it by its next signs of life. */
const HELD_SECONDS_MAX = 10

/** The sessions of one stream: one for questions, opened anew when it was lost, and those that send the log. */
export class Sessions {
  readonly #env: Env
  readonly #target: Target
  readonly #open = new Set<Connection>()
  #control: Connection | null = null

  constructor(env: Env, target: Target) {
    this.#env = env
    this.#target = target
  }

  /** The session for questions. */
  async control(signal: AbortSignal): Promise<Connection> {
    if (this.#control?.isLost === false) return this.#control
    const made = await this.another(signal)
    this.#control = made
    if (!made.kind.isMariaDb) {
      throw notReady(this.#target, 'the log of MySQL is not read yet, only that of MariaDB 10.5 and newer')
    }
    return made
  }

  async another(signal: AbortSignal): Promise<Connection> {
    const made = await Connection.open(this.#env, this.#target, 'read', signal)
    this.#open.add(made)
    return made
  }

  /**
   * A session that nobody else has for this number: it holds a lock of that name as long as it lives. The server itself would end
   * the older of two readers without a word.
   */
  async holder(serverId: number, signal: AbortSignal): Promise<Connection> {
    const made = await this.another(signal)
    const name = `naru.log.${serverId}`
    const [row] = await made.query(sql`select get_lock(${name}, ${HELD_SECONDS_MAX}), is_used_lock(${name})`, signal)
    if (row?.[0] === '1') {
      await this.#assertFree(made, serverId, signal)
      return made
    }
    throw held(this.#target, await this.#describe(made, row?.[1] ?? null, signal))
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map(it => it.close()))
  }

  /** Readers of others are seen with a privilege only: who has none finds out when the server ends one of the two. */
  async #assertFree(connection: Connection, serverId: number, signal: AbortSignal): Promise<void> {
    try {
      const rows = await connection.query(sql`show slave hosts`, signal)
      const other = rows.find(([id]) => Number(id) === serverId)
      if (other !== undefined)
        throw held(this.#target, `a replica with server id ${serverId} at ${other[1] ?? 'a host'}`)
    } catch (error) {
      if (systemCodeOf(error) !== '1227') throw error
    }
  }

  async #describe(connection: Connection, thread: string | null, signal: AbortSignal): Promise<string> {
    if (thread === null) return 'it ended a moment ago'
    const [row] = await connection.query(
      sql`select user, host, time from information_schema.processlist where id = ${rawSql(thread)}`,
      signal,
    )
    return row === undefined
      ? `session ${thread} of the server`
      : `session ${thread} of ${row[0]} from ${row[1]}, for ${row[2]} s`
  }
}
