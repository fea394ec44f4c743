import { AsyncLocalStorage } from 'node:async_hooks'
import path from 'node:path'
import native from '@duckdb/node-bindings'
import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { ident, renderSql, sql } from '../../../core/sql.ts'
import type { Engine, EngineOpening, QueryResult } from '../contract.ts'
import { attach, CATALOG, openDatabase, openReader } from './database.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import { refuseUnmasked } from './masked.ts'
import { guarded, stream, type Session } from './session.ts'
import { inTransaction } from './transaction.ts'

/**
 * Opens the engine on one file, or on `:memory:`. Throws `ENGINE_HELD` when another process has it,
 * `ENGINE_DAMAGED` when it is no readable database.
 */
export async function openEngine(given: EngineOpening): Promise<Engine> {
  const { path: asked, env } = given
  const file = asked === ':memory:' ? asked : await fileOf(asked, env)
  claim(file)
  try {
    const database = await openDatabase(given, file)
    try {
      const connection = await native.connect(database)
      await attach(connection, given, file)
      return makeEngine(database, { connection, env, path: file }, given)
    } catch (error) {
      native.close_sync(database)
      throw error
    }
  } catch (error) {
    openFiles.delete(file)
    throw error
  }
}

/** The operating system's lock does not keep a process from opening a file twice, and two openings damage it. */
const openFiles = new Set<string>()

function claim(file: string): void {
  if (file === ':memory:') return
  if (openFiles.has(file)) throw fail('ENGINE_HELD', { path: file, holder: 'this process' })
  openFiles.add(file)
}

async function fileOf(file: string, env: Env): Promise<string> {
  const folder = path.dirname(path.resolve(file))
  await env.files.mkdir(folder, { recursive: true })
  return path.join(await env.files.realpath(folder), path.basename(file))
}

function makeEngine(database: native.Database, writer: Session, given: EngineOpening): Engine {
  const inside = new AsyncLocalStorage<true>()
  const closing = new AbortController()
  const results = new Set<QueryResult>()
  const always = new AbortController().signal
  let last: Promise<unknown> = Promise.resolve()

  function refuseClosed(what: string): void {
    if (closing.signal.aborted) throw fail('ENGINE_CLOSED', { what })
  }

  /** One after the other; the same call inside a transaction would wait for itself. */
  function inOrder<T>(what: string, call: () => Promise<T>): Promise<T> {
    if (inside.getStore() === true) throw fail('INTERNAL', { what: `${what} was called inside a transaction` })
    const next = last.then(() => {
      refuseClosed(what)
      return inside.run(true, call)
    })
    last = next.catch(() => {})
    return next
  }

  return {
    kind: 'duckdb',
    dialect: duckdbDialect,
    can: { transactionalDdl: true },

    transaction: async (signal, body) => {
      refuseClosed('transaction')
      return inOrder('transaction', () =>
        inTransaction({ ...writer, readsFiles: given.readsFrom !== undefined }, signal, body),
      )
    },

    query: async (statement, signal) => {
      refuseClosed('query')
      if (given.access === 'people') {
        await refuseUnmasked(writer.connection, CATALOG, renderSql(statement, duckdbDialect).text)
      }
      const connection = await openReader(database, given)
      const open: { result?: QueryResult } = {}
      const ended = (): void => {
        if (open.result !== undefined) results.delete(open.result)
        native.disconnect_sync(connection)
      }
      const until = AbortSignal.any([signal, closing.signal])
      open.result = await stream({ ...writer, connection }, statement, until, ended)
      results.add(open.result)
      return open.result
    },

    checkpoint: async () => {
      refuseClosed('checkpoint')
      const statement = renderSql(sql`checkpoint ${ident(CATALOG)}`, duckdbDialect)
      await inOrder('checkpoint', () =>
        guarded(writer, statement, always, () => native.query(writer.connection, statement.text)),
      )
    },

    progress: () => {
      if (closing.signal.aborted) return null
      const { percentage } = native.query_progress(writer.connection)
      return percentage < 0 ? null : percentage / 100
    },

    close: async () => {
      if (closing.signal.aborted) return
      closing.abort(fail('ENGINE_CLOSED', { what: 'close' }))
      for (const result of results) await result.pages[Symbol.asyncIterator]().return?.()
      await last
      native.disconnect_sync(writer.connection)
      native.close_sync(database)
      openFiles.delete(writer.path)
    },
  }
}
