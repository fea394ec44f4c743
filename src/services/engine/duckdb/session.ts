import native from '@duckdb/node-bindings'
import type { Env } from '../../../core/env.ts'
import { fail, isNaruError } from '../../../core/errors.ts'
import { renderSql, type RenderedSql, type Sql } from '../../../core/sql.ts'
import type { Cell, QueryResult } from '../contract.ts'
import { pagesOf } from '../pages.ts'
import { cellOf } from './cells.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import { statementError } from './errors.ts'
import { nextChunk } from '../../../systems/duckdb/fetch.ts'
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
  /** How many rows tables had when they were last counted, by their path: whoever asks needs the magnitude only. */
  readonly sizes?: Map<string, { readonly rows: number; readonly untilMs: number }>
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
    nextChunk(await native.query(session.connection, rendered.text)),
  )
  return said === null ? 0 : Number(new DuckDBDataChunk(said).getRows()[0]?.[0] ?? 0)
}

/** The rows of a statement in chunks, as the engine has them. */
export interface Chunks {
  readonly columns: QueryResult['columns']
  /** The next ones; `null` behind the last. */
  next(): Promise<native.DataChunk | null>
  /** Ends what was not read. Left open it would keep the file locked, even when nothing refers to it any more. */
  drain(): Promise<void>
}

/**
 * Starts a statement whose rows are taken as they come. `restart` puts its connection into another transaction: where one is
 * given, a statement whose rows break off is run again for the reason, which the driver keeps.
 */
export async function openChunks(
  session: Session,
  statement: Sql,
  signal: AbortSignal,
  restart?: () => Promise<void>,
): Promise<Chunks> {
  const rendered = renderSql(statement, duckdbDialect)
  const result = await guarded(session, rendered, signal, () => startStream(session, rendered))
  const findReason = async (): Promise<void> => {
    refuseAborted(signal)
    if (restart === undefined) return
    await restart()
    await native.query(session.connection, `explain analyze ${rendered.text}`)
  }
  return {
    columns: columnsOf(result),
    next: () => guarded(session, rendered, signal, () => nextChunk(result, findReason)),
    drain: () => drain(session, result),
  }
}

/** The rows of a chunk, as they leave the engine. */
export function pageOf(chunk: native.DataChunk): readonly (readonly Cell[])[] {
  return new DuckDBDataChunk(chunk).getRows().map(row => row.map(cellOf))
}

/** Runs one statement and gives its rows as they come. */
export async function stream(session: Session, statement: Sql, signal: AbortSignal): Promise<QueryResult> {
  const chunks = await openChunks(session, statement, signal)
  const read = async (): Promise<readonly (readonly Cell[])[] | null> => {
    const chunk = await chunks.next()
    return chunk === null ? null : pageOf(chunk)
  }
  const finish = async (how: 'to the end' | 'in part'): Promise<void> => {
    if (how === 'in part') await chunks.drain()
  }
  return { columns: chunks.columns, pages: pagesOf(read, finish) }
}

/** Runs one statement and hands its rows on in chunks, as the engine has them. `take` runs no statement of the session. */
export async function eachChunk(
  session: Session,
  statement: Sql,
  signal: AbortSignal,
  take: (chunk: native.DataChunk) => void,
): Promise<void> {
  const chunks = await openChunks(session, statement, signal)
  try {
    for (let chunk = await chunks.next(); chunk !== null; chunk = await chunks.next()) take(chunk)
  } catch (error) {
    await chunks.drain()
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

async function drain(session: Session, result: native.Result): Promise<void> {
  native.interrupt(session.connection)
  try {
    while ((await nextChunk(result)) !== null);
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
