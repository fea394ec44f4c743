import { withDeadline, type Env } from '../../../../core/env.ts'
import { fail, systemCodeOf } from '../../../../core/errors.ts'
import { rawSql, sql } from '../../../../core/sql.ts'
import { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import { inUse, notReady } from './errors.ts'

/** So long a reader that was killed may still stand in the way: the server notices it by its next signs of life. */
const IN_USE_SECONDS_MAX = 6
/** Longest wait for the server to end a session of ours. */
const KILL_MS = 2_000

/** The sessions of one stream: one for questions, opened anew when it was lost, and those that send the log. */
export class Sessions {
  readonly #env: Env
  readonly #target: Target
  readonly #open = new Set<Connection>()
  readonly #ended: Set<number>
  #control: Connection | null = null
  #holder: Connection | null = null
  #isClosed = false

  /** `ended` are the holders that this process is done with, though the server may not know it yet. */
  constructor(env: Env, target: Target, ended: Set<number> = new Set()) {
    this.#env = env
    this.#target = target
    this.#ended = ended
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

  /** One more session. Whoever asks while all are ended, as the lag is asked at any time, gets none: it would outlive them. */
  async another(signal: AbortSignal): Promise<Connection> {
    const made = this.#isClosed ? null : await Connection.open(this.#env, this.#target, 'read', signal)
    if (made === null || this.#isClosed) {
      made?.destroy()
      throw fail('CANCELLED', { what: `the log of source "${this.#target.source}"` })
    }
    this.#open.add(made)
    made.socket.once('close', () => this.#open.delete(made))
    return made
  }

  /**
   * A session that nobody else has for this number: it holds a lock of that name as long as it lives. The server itself would end
   * the older of two readers without a word.
   */
  async holder(serverId: number, signal: AbortSignal): Promise<Connection> {
    const made = await this.another(signal)
    const name = `naru.log.${serverId}`
    const ask = async (seconds: number): Promise<readonly (string | null)[]> =>
      (await made.query(sql`select get_lock(${name}, ${seconds}), is_used_lock(${name})`, signal))[0] ?? []
    let [isMine, other] = await ask(0)
    if (isMine !== '1' && other != null && this.#ended.has(Number(other))) await this.#kill(Number(other))
    if (isMine !== '1') [isMine, other] = await ask(IN_USE_SECONDS_MAX)
    if (isMine !== '1') throw inUse(this.#target, await this.#describe(made, other ?? null, signal))
    await this.#assertFree(made, serverId, signal)
    this.#holder = made
    return made
  }

  /** Ends every session; the server is told to let go of what the holder has, for it would notice it late. */
  async close(): Promise<void> {
    if (this.#holder !== null) {
      this.#ended.add(this.#holder.thread)
      await this.#kill(this.#holder.thread)
    }
    this.#holder = null
    this.#isClosed = true
    await Promise.all([...this.#open].map(it => it.close()))
  }

  async #kill(thread: number): Promise<void> {
    try {
      await withDeadline(this.#env, { what: 'the end of a session', ms: KILL_MS }, async signal => {
        await (await this.control(signal)).run(sql`kill ${rawSql(String(thread))}`, signal)
      })
    } catch {
      // it has ended already, or the server is gone: then it ends by itself
    }
  }

  /** Readers of others are seen with a privilege only: who has none finds out when the server ends one of the two. */
  async #assertFree(connection: Connection, serverId: number, signal: AbortSignal): Promise<void> {
    try {
      const rows = await connection.query(sql`show slave hosts`, signal)
      const other = rows.find(([id]) => Number(id) === serverId)
      if (other !== undefined)
        throw inUse(this.#target, `a replica with server id ${serverId} at ${other[1] ?? 'a host'}`)
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
