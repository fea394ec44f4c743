import native from '@duckdb/node-bindings'
import { isNaruError } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import { oneAtATime } from '../../../core/one-at-a-time.ts'
import type { QueryResult } from '../contract.ts'
import { pagesOf } from '../pages.ts'
import { statementError } from './errors.ts'
import { openChunks, pageOf, run, stream, type Chunks, type Session } from './session.ts'

/** Where rows wait that were put aside: a table of the connection alone, which the engine moves to its temporary files. */
const ASIDE = ident('temp', 'main', '_aside')

/** Bytes of temporary files above which no more is put aside: what is left is read from the engine, and put aside in its turn. */
const ASIDE_BYTES_MAX = 1024 * 1024 * 1024
/** Chunks of 2,048 rows between two looks at it. */
const CHUNKS_BETWEEN = 32

/** A result that somebody reads at his own pace. */
export interface OpenQuery {
  readonly result: QueryResult
  /** When it began, in milliseconds of the monotonic clock. */
  readonly sinceMs: number
  /**
   * Reads the rest and puts it aside, so that the state it is read from is no longer needed: a transaction that stays open
   * keeps every checkpoint from the file, and with it all that was replaced since. Never throws: who reads gets the error.
   */
  putAside(): Promise<void>
}

interface QueryGiven {
  /** Its connection is in a transaction that only reads, and belongs to the result from here on. */
  readonly session: Session
  readonly connect: () => Promise<native.Connection>
  readonly statement: Sql
  readonly signal: AbortSignal
  /** Called once, when nothing is read any more. */
  readonly ended: () => void
  readonly bytesMax?: number
}

interface Rows {
  readonly chunks: Chunks
  readonly session: Session
}

/** Starts a query over a connection of its own. */
export async function openQuery(given: QueryGiven): Promise<OpenQuery> {
  const { session, connect, statement, signal, ended, bytesMax = ASIDE_BYTES_MAX } = given
  /** What the engine still has to give; `null` once all of it is aside. */
  let left: Rows | null
  /** What was put aside: it is read before what is left. */
  let aside: Rows | null = null
  /** What the rest could not be put aside for, behind which rows are missing. */
  let broken: { readonly error: unknown } | null = null
  let isFit = true
  let hasEnded = false
  /** A page is read, or the rest put aside: never both at once. The end comes behind either, also behind a failure. */
  const { run: inOrder } = oneAtATime()

  /** What failed is run again for its reason, in a state that may be a later one. */
  const again = async (): Promise<void> => {
    await run(session, sql`rollback`, signal)
    await run(session, sql`begin transaction read only`, signal)
  }

  try {
    left = { chunks: await openChunks(session, statement, signal, again), session }
  } catch (error) {
    native.disconnect_sync(session.connection)
    ended()
    throw error
  }
  const { columns } = left.chunks

  const read = async (): Promise<ReturnType<typeof pageOf> | null> => {
    if (broken !== null) throw broken.error
    const put = await aside?.chunks.next()
    if (put) return pageOf(put)
    if (aside !== null) native.disconnect_sync(aside.session.connection)
    aside = null
    const chunk = await left?.chunks.next()
    return chunk ? pageOf(chunk) : null
  }
  const finish = async (how: 'to the end' | 'in part'): Promise<void> => {
    for (const rows of [aside, left]) {
      if (rows === null) continue
      if (how === 'in part') await rows.chunks.drain()
      native.disconnect_sync(rows.session.connection)
    }
    ended()
  }
  const putAside = async (): Promise<void> => {
    if (hasEnded || left === null || aside !== null || !isFit) return
    const place = { ...session, connection: await connect() }
    try {
      await run(place, asideTable(columns), signal)
    } catch {
      // A type that no table can have: it is read as before, and keeps the checkpoint waiting.
      isFit = false
      return native.disconnect_sync(place.connection)
    }
    try {
      const isWhole = await moveRest(
        left.chunks,
        place,
        async () => hasEnded || (await temporaryBytes(place)) > bytesMax,
      )
      aside = { chunks: await openChunks(place, sql`select * from ${ASIDE}`, signal, async () => {}), session: place }
      if (!isWhole) return
      await run(session, sql`rollback`, new AbortController().signal)
      native.disconnect_sync(session.connection)
      left = null
    } catch (error) {
      if (aside === null) native.disconnect_sync(place.connection)
      const text = 'append to what is put aside'
      broken = { error: isNaruError(error) ? error : statementError(error, session.path, { text, secrets: [] }) }
    }
  }
  const pages = pagesOf(
    () => inOrder(read),
    how => {
      hasEnded = true // also for what is being put aside
      return inOrder(() => finish(how))
    },
  )
  return {
    result: { columns, pages },
    sinceMs: session.env.clock.monotonicMs(),
    putAside: () => inOrder(putAside),
  }
}

function asideTable(columns: QueryResult['columns']): Sql {
  const defs = columns.map(({ type }, i) => sql`${ident(`c${i}`)} ${rawSql(type)}`)
  return sql`create temp table ${ASIDE} (${joinSql(defs)})`
}

/** False when it was enough before the last row. */
async function moveRest(chunks: Chunks, { connection }: Session, isEnough: () => Promise<boolean>): Promise<boolean> {
  const [catalog, schema, table] = ASIDE.path as [string, string, string]
  const appender = native.appender_create_ext(connection, catalog, schema, table)
  try {
    for (let moved = 1; ; moved += 1) {
      const chunk = await chunks.next()
      if (chunk === null) return true
      native.append_data_chunk(appender, chunk)
      if (moved % CHUNKS_BETWEEN === 0 && (await isEnough())) return false
    }
  } finally {
    native.appender_close_sync(appender)
  }
}

/** Of the whole engine: whoever else has much there leaves less for what is put aside. */
async function temporaryBytes(session: Session): Promise<number> {
  const { pages } = await stream(
    session,
    sql`select sum(size) from duckdb_temporary_files()`,
    new AbortController().signal,
  )
  let bytes = 0
  for await (const page of pages) bytes = Number(page[0]?.[0] ?? 0)
  return bytes
}
