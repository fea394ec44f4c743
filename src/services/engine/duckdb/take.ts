import native from '@duckdb/node-bindings'
import { ident, joinSql, renderSql, sql, type Sql } from '../../../core/sql.ts'
import type { TablePlace } from '../../../systems/duckdb/append.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import type { RowsToTake } from '../contract.ts'
import { eachChunk, guarded, make, run, type Session } from './session.ts'

/** Keys that are taken row by row at most: the rows are in memory while they are moved. */
const KEYS_MAX = 5_000
/**
 * Fetching a row by its place takes as long as reading the other columns of about 1,000 rows (measured with 18 columns and
 * 300 to 16,000 scattered keys of 10,000,000).
 */
const ROWS_PER_FETCH = 1_000

type Taking = RowsToTake & { readonly place: TablePlace }

/**
 * `Transaction.takeRows`. Of a large table a scan of the key alone finds and deletes the rows, and RETURNING fetches each
 * by its place; in a small one, or for many keys, a join that reads all columns is quicker.
 */
export async function takeRows(session: Session, given: Taking, signal: AbortSignal): Promise<number> {
  const { table, keys, into } = given
  if (await isQuickerByPlace(session, given, signal)) return takeByPlace(session, given, signal)
  const taken = await make(
    session,
    sql`create or replace temp table ${into} as select t.* from ${table} t join ${keys} k on ${sameKey(given)}`,
    signal,
  )
  if (taken > 0) await run(session, sql`delete from ${table} t using ${into} k where ${sameKey(given)}`, signal)
  return taken
}

function sameKey({ key }: Taking): Sql {
  return joinSql(
    key.map(name => sql`${ident('t', name)} = ${ident('k', name)}`),
    ' and ',
  )
}

async function isQuickerByPlace(session: Session, { table, keys }: Taking, signal: AbortSignal): Promise<boolean> {
  let quicker = false
  const question = sql`
    select 1 from (select (select count(*) from ${keys}) as n, (select count(*) from ${table}) as among) c
    where n between 1 and ${KEYS_MAX} and among >= n * ${ROWS_PER_FETCH}`
  await eachChunk(session, question, signal, () => (quicker = true))
  return quicker
}

async function takeByPlace(session: Session, given: Taking, signal: AbortSignal): Promise<number> {
  const { table, keys, into, place } = given
  await run(session, sql`create or replace temp table ${into} as select * from ${table} limit 0`, signal)
  // Opened before the rows come: it looks its table up, and while they come the connection has no room for that.
  const appender = native.appender_create_ext(session.connection, place.catalog, place.schema, place.name)
  const taking = sql`delete from ${table} t using ${keys} k where ${sameKey(given)} returning t.*`
  let taken = 0
  try {
    await eachChunk(session, taking, signal, chunk => {
      native.append_data_chunk(appender, chunk)
      taken += native.data_chunk_get_size(chunk)
    })
    await guarded(session, renderSql(taking, duckdbDialect), signal, async () => native.appender_close_sync(appender))
  } catch (error) {
    native.appender_clear(appender)
    native.appender_close_sync(appender)
    throw error
  }
  return taken
}
