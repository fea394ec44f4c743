import { isNaruError } from '../../../../core/errors.ts'
import { ident, sql, type Ident } from '../../../../core/sql.ts'
import type { Env } from '../../../../core/env.ts'
import { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import { streamTable } from './names.ts'
import { comparePositions, type Position } from './position.ts'
import type { TableTechnique } from './script.ts'

/** Rows of one DELETE. */
const ROWS_MAX = 5_000

/** A table that is pruned, and the column with the number of the transaction. */
export interface Pruned {
  readonly table: Ident
  readonly xid: string
}

/**
 * Deletes what is confirmed, over a connection of its own, a few rows at a time. What a broken one left, the next one deletes.
 * Never throws: a failure is told by `trouble` until one goes well.
 */
export class Pruner {
  readonly #env: Env
  readonly #target: Target
  readonly #technique: TableTechnique
  readonly #tables: readonly Pruned[]
  #connection: Connection | null = null
  #wanted: Position | null = null
  #running: Promise<void> | null = null
  readonly #closing = new AbortController()
  trouble: string | null = null

  constructor(env: Env, target: Target, technique: TableTechnique, tables: readonly Pruned[]) {
    this.#env = env
    this.#target = target
    this.#technique = technique
    this.#tables = tables
  }

  /** Everything that the position's view has seen may go. Within a window that is what was given before it. */
  want(position: Position): void {
    if (this.#wanted !== null && comparePositions(position, this.#wanted) <= 0) return
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
      let done: Position | null = null
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
        this.trouble = `what is confirmed could not be deleted: ${(error as Error).message}`
    }
  }

  async #prune({ seen }: Position): Promise<void> {
    const { signal } = this.#closing
    this.#connection ??= await Connection.open(this.#env, this.#target, signal, 'write')
    // Noted before anything is gone: who asks for an earlier position later must be refused.
    await this.#connection.query(
      sql`update ${streamTable} set pruned = ${seen.text}::pg_snapshot where technique = ${this.#technique}`,
      signal,
    )
    for (const { table, xid } of this.#tables) {
      for (;;) {
        const deleted = await this.#connection.execute(
          sql`
          delete from ${table} where ctid = any (array(
            select c.ctid from ${table} c where c.${ident(xid)} < ${String(seen.xmax)}::xid8
              and pg_visible_in_snapshot(c.${ident(xid)}, ${seen.text}::pg_snapshot) limit ${ROWS_MAX}))`,
          signal,
        )
        if (deleted < BigInt(ROWS_MAX)) break
      }
    }
  }
}
