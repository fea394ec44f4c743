import { fail } from '../../../core/errors.ts'
import { shortened, sql, type Ident, type Sql } from '../../../core/sql.ts'
import { oneAtATime } from '../../../core/one-at-a-time.ts'
import type { Row, TableColumnNow, Transaction } from '../contract.ts'
import { sameKey } from '../same-key.ts'
import { appender, checkLayout } from './append.ts'
import { postgresEngineDialect } from './dialect.ts'
import { isReshaping, reshape } from './reshape.ts'
import { cellsOf, refuseAborted, send, sendLimited, type Session, type TextResult } from './session.ts'

/** Rows that `rows` gives at most: what is more stays in the engine. */
const ROWS_MAX = 100_000
/** From this size on a temporary table is measured, so that joins with it are planned for what it holds. */
const ANALYZE_ROWS = 200

/** Begins to read one state of the database. The server refuses to go back to writing once something was read. */
export const beginReading: Sql = sql`begin isolation level repeatable read read only`

/** Runs `body` between BEGIN and COMMIT; rolls back whatever was thrown. */
export async function inTransaction<T>(
  session: Session,
  { writes, signal }: { readonly writes: boolean; readonly signal: AbortSignal },
  body: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const always = new AbortController().signal // a rollback and a commit are not interrupted: they end what is half done
  await send(session, writes ? sql`begin` : beginReading, always)
  const tx = makeTransaction(session, signal)
  try {
    const value = await body(tx.given)
    await tx.end()
    refuseAborted(signal)
    await commit(session, always)
    return value
  } catch (error) {
    await tx.end()
    await rollback(session, always)
    throw error
  }
}

/** After a failed statement that the body swallowed, the server answers COMMIT with a rollback: that is no success. */
async function commit(session: Session, signal: AbortSignal): Promise<void> {
  await send(session, sql`select 1`, signal)
  await send(session, sql`commit`, signal)
}

/** A connection that was lost has rolled back already; the first error is the one to show. */
async function rollback(session: Session, signal: AbortSignal): Promise<void> {
  try {
    await send(session, sql`rollback`, signal)
  } catch {
    return
  }
}

interface OpenTransaction {
  readonly given: Transaction
  end(): Promise<void>
}

function makeTransaction(session: Session, signal: AbortSignal): OpenTransaction {
  const bulk = appender(session)
  /** Columns of tables that were appended to since the last statement. */
  let known = new Map<string, readonly TableColumnNow[]>()
  let ended = false
  const line = oneAtATime()

  /** One call after the other: a connection has room for one statement. */
  function inOrder<T>(call: () => Promise<T>): Promise<T> {
    if (ended) return Promise.reject(fail('INTERNAL', { what: 'a transaction was used after its end' }))
    return line.run(call)
  }

  const run = (statement: Sql): Promise<TextResult> => {
    known = new Map()
    return isReshaping(statement) ? reshape(session, statement, signal) : send(session, statement, signal)
  }

  const given: Transaction = {
    dialect: postgresEngineDialect,
    execute: statement => inOrder(async () => (await run(statement)).changed),
    rows: statement => inOrder(() => readRows(session, statement, signal)),
    append: (table, columns, batch) =>
      inOrder(async () => {
        const name = JSON.stringify(table.path)
        const found = known.get(name) ?? (await columnsOf(session, table, signal))
        known.set(name, found)
        checkLayout(table, found, columns, batch)
        if (batch.rows > 0) await bulk.append(table, columns, batch, signal)
      }),
    unfit: bulk.unfit,
    exists: table =>
      inOrder(async () => {
        const { rows } = await send(session, sql`select to_regclass(${regclass(table)}) is not null`, signal)
        return rows[0]?.[0] === 't'
      }),
    columns: table => inOrder(() => columnsOf(session, table, signal)),
    takeRows: ({ table, keys, key, into }) =>
      inOrder(async () => {
        await run(sql`drop table if exists ${into}`)
        await run(sql`create temporary table ${into} as select * from ${table} where false`)
        const { changed } = await run(sql`
          with gone as (delete from ${table} t using ${keys} k where ${sameKey({ key })} returning t.*)
          insert into ${into} select * from gone`)
        if (changed >= ANALYZE_ROWS) await run(sql`analyze ${into}`)
        return changed
      }),
    replaceTemp: (table, query) =>
      inOrder(async () => {
        await run(sql`drop table if exists ${table}`)
        const { changed } = await run(sql`create temporary table ${table} as ${query}`)
        if (changed >= ANALYZE_ROWS) await run(sql`analyze ${table}`)
        return changed
      }),
  }
  return {
    given,
    end: async () => {
      await line.idle()
      ended = true
    },
  }
}

async function readRows(session: Session, statement: Sql, signal: AbortSignal): Promise<readonly Row[]> {
  const result = await sendLimited(session, statement, signal, ROWS_MAX)
  const names = result.fields.map(field => field.name)
  return cellsOf(result).map(cells => Object.fromEntries(names.map((name, i) => [name, cells[i] ?? null])))
}

/** The columns of a relation with their types as the catalog spells them. */
export async function columnsOf(
  session: Session,
  table: Ident,
  signal: AbortSignal,
): Promise<readonly TableColumnNow[]> {
  const { rows } = await send(
    session,
    sql`select attname, format_type(atttypid, atttypmod) from pg_attribute
      where attrelid = to_regclass(${regclass(table)}) and attnum > 0 and not attisdropped order by attnum`,
    signal,
  )
  return rows.map(([name, type]) => ({ name: name as string, type: type as string }))
}

/** The text that names a relation for the catalog. */
function regclass({ path }: Ident): string {
  const parts =
    path.length === 2 && path[0] === 'temp'
      ? ['pg_temp', shortened(path[1] as string, postgresEngineDialect.identBytesMax)]
      : path
  return parts.map(part => postgresEngineDialect.quote(part)).join('.')
}
