import native from '@duckdb/node-bindings'
import type { Env } from '../../../core/env.ts'
import { fail, isNaruError } from '../../../core/errors.ts'
import { renderSql, type RenderedSql, type Sql } from '../../../core/sql.ts'
import type { Cell, QueryResult } from '../contract.ts'
import { pagesOf } from '../pages.ts'
import { cellOf } from './cells.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import { statementError } from './errors.ts'
import { duckdbApi } from '../../../systems/duckdb/api.ts'

const { DuckDBDataChunk, DuckDBLogicalType } = duckdbApi

/** An interrupt that arrives before the statement has begun is lost, so it is repeated until the statement ends. */
const INTERRUPT_AGAIN_MS = 50

/** One connection and what its errors need. */
export interface Session {
  readonly connection: native.Connection
  readonly env: Env
  /** The database file, for errors. */
  readonly path: string
  /** Takes nothing but what reads: not even the end of its transaction, behind which it could write. */
  readonly onlyReads?: boolean
}

/** Runs one statement to its end; gives the rows it changed. */
export async function run(session: Session, statement: Sql, signal: AbortSignal): Promise<number> {
  const rendered = renderSql(statement, duckdbDialect)
  if (session.onlyReads === true) throw notRead(rendered)
  const result = await guarded(session, rendered, signal, () => native.query(session.connection, rendered.text))
  return native.rows_changed(result)
}

/** Makes a table of a query; gives its rows, which the engine says in a result and not as rows that changed. */
export async function make(session: Session, statement: Sql, signal: AbortSignal): Promise<number> {
  const rendered = renderSql(statement, duckdbDialect)
  if (session.onlyReads === true) throw notRead(rendered)
  const said = await guarded(session, rendered, signal, async () =>
    native.fetch_chunk(await native.query(session.connection, rendered.text)),
  )
  return said === null ? 0 : Number(new DuckDBDataChunk(said).getRows()[0]?.[0] ?? 0)
}

/** Runs one statement and gives its rows as they come. `ended` is called once, when the result no longer needs the session. */
export async function stream(
  session: Session,
  statement: Sql,
  signal: AbortSignal,
  ended: () => void = () => {},
): Promise<QueryResult> {
  const rendered = renderSql(statement, duckdbDialect)
  try {
    const result = await guarded(session, rendered, signal, () => startStream(session, rendered))
    return { columns: columnsOf(result), pages: pages({ session, rendered, result, signal, ended }) }
  } catch (error) {
    ended()
    throw error
  }
}

/** Runs one statement and hands its rows on in chunks, as the engine has them. `take` runs no statement of the session. */
export async function eachChunk(
  session: Session,
  statement: Sql,
  signal: AbortSignal,
  take: (chunk: native.DataChunk) => void,
): Promise<void> {
  const rendered = renderSql(statement, duckdbDialect)
  const result = await guarded(session, rendered, signal, () => startStream(session, rendered))
  try {
    for (;;) {
      const chunk = await guarded(session, rendered, signal, () => native.fetch_chunk(result))
      if (isEmpty(chunk)) return
      take(chunk)
    }
  } catch (error) {
    await drain(session, result)
    throw error
  }
}

async function startStream(session: Session, rendered: RenderedSql): Promise<native.Result> {
  const prepared = await native.prepare(session.connection, rendered.text)
  try {
    if (session.onlyReads === true && !reads(prepared)) throw notRead(rendered)
    return await native.execute_prepared_streaming(prepared)
  } finally {
    native.destroy_prepare_sync(prepared)
  }
}

function reads(prepared: native.PreparedStatement): boolean {
  const { SELECT, EXPLAIN } = native.StatementType
  return [SELECT, EXPLAIN].includes(native.prepared_statement_type(prepared))
}

function notRead({ text }: RenderedSql): Error {
  return fail('ENGINE_SQL', {
    problem: 'it is not a query, and only those are run here',
    statement: text.slice(0, 200),
  })
}

function columnsOf(result: native.Result): QueryResult['columns'] {
  return Array.from({ length: native.column_count(result) }, (_, i) => ({
    name: native.column_name(result, i),
    type: String(DuckDBLogicalType.create(native.column_logical_type(result, i)).asType()),
  }))
}

interface OpenResult {
  readonly session: Session
  readonly rendered: RenderedSql
  readonly result: native.Result
  readonly signal: AbortSignal
  readonly ended: () => void
}

/** The pages of a result: whoever stops early ends it in the engine. */
function pages({ session, rendered, result, signal, ended }: OpenResult): QueryResult['pages'] {
  const read = async (): Promise<readonly (readonly Cell[])[] | null> => {
    const chunk = await guarded(session, rendered, signal, () => native.fetch_chunk(result))
    return isEmpty(chunk) ? null : new DuckDBDataChunk(chunk).getRows().map(it => it.map(cellOf))
  }
  const finish = async (how: 'to the end' | 'in part'): Promise<void> => {
    if (how === 'in part') await drain(session, result)
    ended()
  }
  return pagesOf(read, finish)
}

function isEmpty(chunk: native.DataChunk | null): chunk is null {
  return chunk === null || native.data_chunk_get_size(chunk) === 0
}

/** Ends an unread result. Left open it would keep the file locked, even when nothing refers to it any more. */
async function drain(session: Session, result: native.Result): Promise<void> {
  native.interrupt(session.connection)
  try {
    for (;;) {
      const chunk = await native.fetch_chunk(result)
      if (isEmpty(chunk)) return
    }
  } catch {
    return // the interrupt ended it, which is what was wanted
  }
}

/** Runs a call of the driver: an abort interrupts it, its error is ours. */
export async function guarded<T>(
  session: Session,
  statement: RenderedSql,
  signal: AbortSignal,
  call: () => Promise<T>,
): Promise<T> {
  refuseAborted(signal)
  const stop = interruptOnAbort(session, signal)
  try {
    return await call()
  } catch (error) {
    throw isNaruError(error) ? error : statementError(error, session.path, statement)
  } finally {
    stop()
  }
}

/** Throws `CANCELLED` when the signal has been aborted. */
export function refuseAborted(signal: AbortSignal): void {
  if (signal.aborted) throw fail('CANCELLED', { what: 'a statement of the engine' }, { cause: signal.reason })
}

function interruptOnAbort(session: Session, signal: AbortSignal): () => void {
  let stopRepeating = (): void => {}
  const onAbort = (): void => {
    native.interrupt(session.connection)
    stopRepeating = session.env.clock.every(INTERRUPT_AGAIN_MS, () => native.interrupt(session.connection))
  }
  signal.addEventListener('abort', onAbort, { once: true })
  return () => {
    signal.removeEventListener('abort', onAbort)
    stopRepeating()
  }
}
