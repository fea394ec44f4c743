import native from '@duckdb/node-bindings'
import { renderSql, sql } from '../../../core/sql.ts'
import type { TablePlace } from '../../../systems/duckdb/append.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import type { RowsToTake } from '../contract.ts'
import { sameKey } from '../same-key.ts'
import { eachChunk, guarded, make, run, stream, type Session } from './session.ts'

/** Keys that are taken row by row at most: the rows are in memory while they are moved. */
const KEYS_MAX = 5_000
/**
 * Fetching a row by its place takes as long as reading the other columns of about 1,000 rows (measured with 18 columns and
 * 300 to 16,000 scattered keys of 10,000,000).
 */
const ROWS_PER_FETCH = 1_000
/** Time in milliseconds for which the number of rows of a table is taken as known. */
const SIZE_MS = 10_000

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

async function isQuickerByPlace(session: Session, given: Taking, signal: AbortSignal): Promise<boolean> {
  const { count } = given
  if (count === 0 || count > KEYS_MAX) return false
  return (await sizeOf(session, given, signal)) >= count * ROWS_PER_FETCH
}

async function sizeOf({ sizes, ...session }: Session, { table }: Taking, signal: AbortSignal): Promise<number> {
  const name = JSON.stringify(table.path)
  const nowMs = session.env.clock.monotonicMs()
  const known = sizes?.get(name)
  if (known !== undefined && known.untilMs > nowMs) return known.rows
  let rows = 0
  const result = await stream(session, sql`select count(*) from ${table}`, signal)
  for await (const page of result.pages) rows = Number(page[0]?.[0] ?? rows)
  sizes?.set(name, { rows, untilMs: nowMs + SIZE_MS })
  return rows
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
