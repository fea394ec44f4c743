import native from '@duckdb/node-bindings'
import { fail } from '../../../core/errors.ts'
import { ident, renderSql, sql, type Sql } from '../../../core/sql.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import type { PeopleView, Transaction } from '../contract.ts'
import { CATALOG } from './database.ts'
import { maskTables, rows } from './masked.ts'
import type { Session } from './session.ts'
import { inReader } from './transaction.ts'

/** Queries of people that run at the same time beside a run: more would take its memory, and wait. */
const LANES = 4
/** Times that the tables may change between making the masks and looking at them again. */
const TRIES = 20

/** A catalog in memory with the masked views of one query at a time. Whoever comes next uses them if they still fit. */
interface Lane {
  readonly catalog: string
  /** What its views were made of; `null` when it has none. */
  madeOf: string | null
}

/** Hands out the catalogs that the queries of people are asked in. */
export interface Lanes {
  /** Waits for a free one. Throws `CANCELLED` when the signal comes first. */
  take(signal: AbortSignal): Promise<Lane>
  free(lane: Lane): void
}

/** The lanes of a database that is open for other work. */
export function makeLanes(): Lanes {
  const idle: Lane[] = Array.from({ length: LANES }, (_, i) => ({ catalog: `people_${i + 1}`, madeOf: null }))
  const waiting: ((lane: Lane) => void)[] = []
  return {
    take: signal =>
      new Promise((resolve, reject) => {
        const lane = idle.pop()
        if (lane !== undefined) return resolve(lane)
        const onAbort = (): void => {
          waiting.splice(waiting.indexOf(go), 1)
          reject(fail('CANCELLED', { what: 'a wait for the database' }, { cause: signal.reason }))
        }
        const go = (lane: Lane): void => {
          signal.removeEventListener('abort', onAbort)
          resolve(lane)
        }
        signal.addEventListener('abort', onAbort, { once: true })
        waiting.push(go)
      }),
    free: lane => {
      const next = waiting.shift()
      if (next === undefined) idle.push(lane)
      else next(lane)
    },
  }
}

/**
 * Puts a connection into a transaction in which names mean the masked views of its lane. The masks are those of the very
 * state that the transaction sees: made before it, they are looked at again within it.
 */
export async function enterLane(
  session: Session,
  lane: Lane,
  signal: AbortSignal,
  viewOf: (tx: Transaction) => Promise<PeopleView>,
): Promise<void> {
  const { connection } = session
  const look = async (): Promise<readonly [PeopleView, string]> => {
    await send(connection, sql`use ${ident(CATALOG)}`)
    const view = await inReader(session, signal, viewOf)
    return [view, JSON.stringify([await columnsIn(connection), view])]
  }
  for (let tried = 0; tried < TRIES; tried++) {
    await send(connection, sql`begin transaction read only`)
    const [, now] = await look()
    if (now === lane.madeOf) return send(connection, sql`use ${ident(lane.catalog)}`)
    await send(connection, sql`rollback`)
    lane.madeOf = null
    // Attached once and kept: a transaction that is open beside us and met another catalog of this name would be a fatal error.
    await send(connection, sql`attach if not exists ':memory:' as ${ident(lane.catalog)}`)
    // The views are made of one state: tables come and go beside us.
    await send(connection, sql`begin transaction`)
    const [view, made] = await look()
    await emptyLane(connection, lane)
    await maskTables(connection, CATALOG, lane.catalog, view)
    await send(connection, sql`commit`)
    lane.madeOf = made
  }
  throw fail('ENGINE_BUSY', { address: session.path, what: 'its tables change faster than a query can begin' })
}

async function emptyLane(connection: native.Connection, { catalog }: Lane): Promise<void> {
  const views = await rows(
    connection,
    sql`select schema_name, view_name from duckdb_views() where database_name = ${catalog} and not internal`,
  )
  for (const [schema, view] of views)
    await send(connection, sql`drop view ${ident(catalog, String(schema), String(view))}`)
}

/** Every column of every table and view of the file: what the masks are made of. */
async function columnsIn(connection: native.Connection): Promise<string> {
  const statement = sql`
    select md5(to_json(list([schema_name, table_name, column_name, data_type] order by
      schema_name, table_name, column_index))) from duckdb_columns() where database_name = ${CATALOG}`
  return String((await rows(connection, statement))[0]?.[0] ?? '')
}

async function send(connection: native.Connection, statement: Sql): Promise<void> {
  await native.query(connection, renderSql(statement, duckdbDialect).text)
}
