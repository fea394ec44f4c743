import type { Env } from '../../../../core/env.ts'
import { isNaruError, messageOf } from '../../../../core/errors.ts'
import { ident, rawSql, sql, type Ident } from '../../../../core/sql.ts'
import { idPositionOf, type IdsGiven } from '../../id-gaps.ts'
import { Connection } from '../connection.ts'
import { withoutSecrets, type Target } from '../target.ts'
import type { TableTechnique } from './names.ts'
import { streamIdent } from './script.ts'

/** Rows of one DELETE. */
const ROWS_MAX = 5_000

/**
 * Deletes what is confirmed, over a connection of its own, a few rows at a time. What a broken one left, the next one
 * deletes. Never throws: a failure is told by `trouble` until one goes well.
 */
export class Pruner {
  readonly #env: Env
  readonly #target: Target
  readonly #technique: TableTechnique
  readonly #tables: readonly { readonly name: string; readonly table: Ident; readonly id: string }[]
  #connection: Connection | null = null
  #wanted: string | null = null
  #running: Promise<void> | null = null
  readonly #closing = new AbortController()
  trouble: string | null = null

  constructor(
    env: Env,
    target: Target,
    technique: TableTechnique,
    tables: readonly { readonly name: string; readonly table: Ident; readonly id: string }[],
  ) {
    this.#env = env
    this.#target = target
    this.#technique = technique
    this.#tables = tables
  }

  want(position: string): void {
    if (this.#wanted === position) return
    this.#wanted = position
    this.#running ??= this.#run().finally(() => (this.#running = null))
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
    await this.#connection?.close()
  }

  async #run(): Promise<void> {
    try {
      let done: string | null = null
      while (this.#wanted !== null && this.#wanted !== done && !this.#closing.signal.aborted) {
        done = this.#wanted
        await this.#prune(done)
      }
      this.trouble = null
    } catch (error) {
      this.#connection?.destroy()
      this.#connection = null
      this.#wanted = null // the next confirmation tries again
      if (!isNaruError(error, 'CANCELLED'))
        this.trouble = `what is confirmed could not be deleted: ${withoutSecrets(this.#target, messageOf(error))}`
    }
  }

  async #prune(position: string): Promise<void> {
    const { signal } = this.#closing
    if (this.#connection === null) {
      this.#connection = await Connection.open(this.#env, this.#target, 'write', signal)
      // No locks of holes, which transactions that are open will fill.
      await this.#connection.run(sql`set session transaction isolation level read committed`, signal)
    }
    // Noted before anything is gone: who asks for an earlier position later must be refused.
    await this.#connection.run(
      sql`update ${streamIdent(this.#target.database)} set confirmed = ${position} where technique = ${this.#technique}`,
      signal,
    )
    for (const { name, table, id } of this.#tables) {
      const given = idPositionOf(position)?.tables.get(name)
      if (given === undefined) continue
      for (const { after, upTo } of stretches(given)) {
        for (;;) {
          const { affected } = await this.#connection.run(
            sql`delete from ${table} where ${ident(id)} > ${rawSql(String(after))} and ${ident(id)} <= ${rawSql(String(upTo))} limit ${ROWS_MAX}`,
            signal,
          )
          if (affected < BigInt(ROWS_MAX)) break
        }
      }
    }
  }
}

/** What lies between the holes: a row in one of them may be of an open transaction, which nobody must wait for. */
function stretches({ max, gaps }: IdsGiven): readonly { readonly after: bigint; readonly upTo: bigint }[] {
  const found = []
  let after = 0n
  for (const { from, to } of gaps) {
    if (from - 1n > after) found.push({ after, upTo: from - 1n })
    after = to
  }
  if (max > after) found.push({ after, upTo: max })
  return found
}
