import path from 'node:path'
import native from '@duckdb/node-bindings'
import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { ident, renderSql, sql, type Sql } from '../../../core/sql.ts'
import type { Engine, EngineOpening, EngineSite, QueryResult } from '../contract.ts'
import { fileExists } from '../../../core/files.ts'
import { readOptions } from '../../../core/implementation.ts'
import { serial } from '../serial.ts'
import { openQuery, type OpenQuery } from './aside.ts'
import { compact } from './compact.ts'
import { attach, CATALOG, openDatabase, openReader, WHERE } from './database.ts'
import { isHeldByReaders } from './errors.ts'
import { duckdb } from './index.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import { refuseUnmasked } from './masked.ts'
import { enterLane, makeLanes } from './people.ts'
import { guarded, type Session } from './session.ts'
import { inReader, inTransaction } from './transaction.ts'

/** A query that is open for longer than this, in milliseconds, when a checkpoint has to wait, is put aside. */
const ASIDE_AFTER_MS = 1_000

/**
 * Opens the engine on one file, or on `:memory:`. Throws `ENGINE_HELD` when another process has it,
 * `ENGINE_DAMAGED` when it is no readable database.
 */
export async function openEngine(given: EngineOpening): Promise<Engine> {
  const { env } = given
  const asked = pathOf(given)
  const file = asked === ':memory:' ? asked : await fileOf(asked, env)
  claim(file)
  try {
    const database = await openDatabase(given, file)
    try {
      const connection = await native.connect(database)
      await attach(connection, given, file)
      return makeEngine(database, { connection, env, path: file, sizes: new Map() }, given)
    } catch (error) {
      native.close_sync(database)
      throw error
    }
  } catch (error) {
    openFiles.delete(file)
    throw error
  }
}

export { duckdbDialect as dialect }

/** What DuckDB can do. */
export const can: Engine['can'] = { indexes: false, losses: [] }

/** The file is made by the first run. */
export async function databaseExists(site: EngineSite): Promise<boolean> {
  return fileExists(site.env, pathOf(site))
}

function pathOf({ options, configDir }: EngineSite): string {
  const { path: given } = readOptions(duckdb.options, options, WHERE)
  return given === ':memory:' ? given : path.resolve(configDir, given)
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

/** False when readers still need what it would replace. */
async function checkpointOn(writer: Session): Promise<boolean> {
  const statement = renderSql(sql`checkpoint ${ident(CATALOG)}`, duckdbDialect)
  try {
    const always = new AbortController().signal
    await guarded(writer, statement, always, () => native.query(writer.connection, statement.text))
    return true
  } catch (error) {
    if (!isHeldByReaders(error)) throw error
    return false
  }
}

/** Remembers a task until it ends, so that `close` can wait for it. */
function tracked<T>(all: Set<Promise<unknown>>, task: Promise<T>): Promise<T> {
  const forget = (): void => void all.delete(ended)
  const ended: Promise<void> = task.then(forget, forget)
  all.add(ended)
  return task
}

function makeEngine(database: native.Database, writer: Session, given: EngineOpening): Engine {
  const closing = new AbortController()
  const queries = new Set<OpenQuery>()

  function refuseClosed(what: string): void {
    if (closing.signal.aborted) throw fail('ENGINE_CLOSED', { what })
  }
  const calls = serial(refuseClosed)
  const lanes = makeLanes()
  const reading = new Set<Promise<unknown>>()

  /** Streams a query over a connection of its own; `ended` is called when both are done with. */
  async function open(
    connection: native.Connection,
    statement: Sql,
    signal: AbortSignal,
    ended: () => void,
  ): Promise<QueryResult> {
    const own: { query?: OpenQuery } = {}
    own.query = await openQuery({
      session: { ...writer, connection },
      connect: () => native.connect(database),
      statement,
      signal,
      ended: () => {
        if (own.query !== undefined) queries.delete(own.query)
        ended()
      },
    })
    queries.add(own.query)
    return own.query.result
  }

  /** Who reads slowly would keep the file from being replaced for as long. */
  function putAside(): void {
    const before = given.env.clock.monotonicMs() - ASIDE_AFTER_MS
    for (const query of queries) if (query.sinceMs <= before) void tracked(reading, query.putAside())
  }

  return {
    kind: 'duckdb',
    dialect: duckdbDialect,
    can,

    transaction: async (signal, body) => {
      refuseClosed('transaction')
      return calls.run('transaction', () => inTransaction(writer, signal, body))
    },

    query: async (statement, signal) => {
      refuseClosed('query')
      if (given.access === 'people') {
        await refuseUnmasked(writer.connection, CATALOG, renderSql(statement, duckdbDialect).text)
      }
      const connection = await openReader(database, given)
      return open(connection, statement, AbortSignal.any([signal, closing.signal]), () => {})
    },

    read: (signal, body) => {
      const run = async (): Promise<Awaited<ReturnType<typeof body>>> => {
        refuseClosed('read')
        const connection = await openReader(database, given)
        try {
          return await inReader({ ...writer, connection }, AbortSignal.any([signal, closing.signal]), body)
        } finally {
          native.disconnect_sync(connection)
        }
      }
      return tracked(reading, run())
    },

    forPeople: viewOf => ({
      query: (statement, signal) => {
        const run = async (): Promise<QueryResult> => {
          refuseClosed('query')
          const until = AbortSignal.any([signal, closing.signal])
          const lane = await lanes.take(until)
          const connection = await native.connect(database)
          const session = { ...writer, connection }
          try {
            await refuseUnmasked(connection, CATALOG, renderSql(statement, duckdbDialect).text)
            await enterLane(session, lane, until, viewOf)
          } catch (error) {
            native.disconnect_sync(connection)
            lanes.free(lane)
            throw error
          }
          return open(connection, statement, until, () => lanes.free(lane))
        }
        return tracked(reading, run())
      },
    }),

    checkpoint: async (withinMs = Number.POSITIVE_INFINITY, signal) => {
      refuseClosed('checkpoint')
      return calls.run('checkpoint', async () => {
        const checkpoint = (): Promise<boolean> => checkpointOn(writer)
        if (!(await checkpoint())) {
          putAside()
          return 'held'
        }
        const endMs = given.env.clock.monotonicMs() + withinMs
        const isEnough = (): boolean =>
          closing.signal.aborted || signal?.aborted === true || given.env.clock.monotonicMs() >= endMs
        await compact(writer, { checkpoint, isEnough })
        return 'done'
      })
    },

    close: async () => {
      if (closing.signal.aborted) return
      closing.abort(fail('ENGINE_CLOSED', { what: 'close' }))
      await Promise.allSettled(reading)
      for (const { result } of queries) await result.pages[Symbol.asyncIterator]().return?.()
      await calls.idle()
      native.disconnect_sync(writer.connection)
      native.close_sync(database)
      openFiles.delete(writer.path)
    },
  }
}
