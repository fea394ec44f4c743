import { fail, isNaruError } from '../../../core/errors.ts'
import { sql, type Ident, type Sql } from '../../../core/sql.ts'
import { oneAtATime } from '../../../core/one-at-a-time.ts'
import type { Cell, Row, TableColumnNow, Transaction } from '../contract.ts'
import { openAppend, type Append, type TablePlace } from '../../../systems/duckdb/append.ts'
import { CATALOG } from './database.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import { statementError } from './errors.ts'
import { make, refuseAborted, run, stream, type Session } from './session.ts'
import { takeRows } from './take.ts'

/** Rows that `rows` gives at most: what is more stays in the engine. */
const ROWS_MAX = 100_000

/** Runs `body` between BEGIN and COMMIT; rolls back whatever was thrown. */
export async function inTransaction<T>(
  session: Session,
  signal: AbortSignal,
  body: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const always = new AbortController().signal // a rollback and a commit are not interrupted: they end what is half done
  await run(session, sql`begin transaction`, always)
  const tx = makeTransaction(session, signal)
  try {
    const value = await body(tx.given)
    await tx.end('commit')
    refuseAborted(signal)
    await run(session, sql`commit`, always)
    return value
  } catch (error) {
    await tx.end('rollback')
    await rollback(session, always)
    throw error
  }
}

/** Runs `body` in the transaction that a connection of a reader is in. */
export async function inReader<T>(
  session: Session,
  signal: AbortSignal,
  body: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const tx = makeTransaction({ ...session, onlyReads: true }, signal)
  try {
    const value = await body(tx.given)
    refuseAborted(signal)
    return value
  } finally {
    await tx.end('rollback')
  }
}

/** A commit that failed has rolled back already; then there is nothing to do, and the first error is the one to show. */
async function rollback(session: Session, signal: AbortSignal): Promise<void> {
  try {
    await run(session, sql`rollback`, signal)
  } catch {
    return
  }
}

interface OpenTransaction {
  readonly given: Transaction
  end(how: 'commit' | 'rollback'): Promise<void>
}

function makeTransaction(session: Session, signal: AbortSignal): OpenTransaction {
  let append: Append | null = null
  let ended = false
  const line = oneAtATime()

  /** One call after the other: a connection has room for one statement, and bulk rows go in before what reads them. */
  function inOrder<T>(call: () => T | Promise<T>): Promise<T> {
    if (ended) return Promise.reject(fail('INTERNAL', { what: 'a transaction was used after its end' }))
    return line.run(call)
  }

  function flush(): void {
    const open = append
    append = null
    if (open === null) return
    appending(session, open.place, () => open.close())
  }

  function statement<T>(call: () => T | Promise<T>): Promise<T> {
    return inOrder(() => {
      flush()
      return call()
    })
  }

  const given: Transaction = {
    dialect: duckdbDialect,
    execute: query => statement(() => run(session, query, signal)),
    rows: query => statement(() => readRows(session, query, signal)),
    append: (table, columns, batch) =>
      inOrder(() => {
        refuseAborted(signal)
        const place = placeOf(table)
        if (append !== null && !samePlace(append.place, place)) flush()
        appending(session, place, () => {
          append ??= openAppend(session.connection, place, columns)
          append.add(batch)
        })
      }),
    exists: table =>
      inOrder(async () => {
        if ((await columnsByName(session, table, signal)).length > 0) return true
        const found = await readRows(session, existsSql(table), signal)
        return found.length > 0
      }),
    columns: table =>
      statement(async () => {
        const known = await columnsByName(session, table, signal)
        return known.length > 0 ? known : columnsOf(await readRows(session, columnsSql(table), signal))
      }),
    takeRows: it => statement(() => takeRows(session, { ...it, place: placeOf(it.into) }, signal)),
    replaceTemp: (table, query) =>
      statement(() => make(session, sql`create or replace temp table ${table} as ${query}`, signal)),
  }
  return {
    given,
    end: async how => {
      await line.idle()
      if (how === 'commit') {
        flush()
      } else {
        append?.discard()
        append = null
      }
      ended = true
    },
  }
}

/** Errors of the bulk path, as errors of a statement on that table. */
function appending(session: Session, place: TablePlace, step: () => void): void {
  try {
    step()
  } catch (error) {
    if (isNaruError(error)) throw error
    throw statementError(error, session.path, { text: `append to ${place.schema}.${place.name}`, secrets: [] })
  }
}

async function readRows(session: Session, statement: Sql, signal: AbortSignal): Promise<readonly Row[]> {
  const result = await stream(session, statement, signal)
  const names = result.columns.map(column => column.name)
  const rows: Row[] = []
  for await (const page of result.pages) {
    if (rows.length + page.length > ROWS_MAX) {
      throw fail('ENGINE_RESULT_TOO_LARGE', { rows: rows.length + page.length, limit: ROWS_MAX })
    }
    for (const cells of page) rows.push(rowOf(names, cells))
  }
  return rows
}

function rowOf(names: readonly string[], cells: readonly Cell[]): Row {
  return Object.fromEntries(names.map((name, i) => [name, cells[i] ?? null]))
}

/**
 * The columns of a relation that is looked up by its name: a tenth of the time of a search in the catalog, which lists all
 * of it. None also when the name cannot be looked up so (a quote in it, a view of a table that is gone): the catalog knows.
 */
async function columnsByName(session: Session, table: Ident, signal: AbortSignal): Promise<readonly TableColumnNow[]> {
  const { catalog, schema, name } = placeOf(table)
  if ([schema, name].some(part => part.includes('"'))) return []
  const path = [catalog, schema, name].map(part => duckdbDialect.quote(part)).join('.')
  try {
    return columnsOf(await readRows(session, sql`select name, type from pragma_table_info(${path})`, signal))
  } catch (error) {
    if (isNaruError(error, 'ENGINE_SQL')) return []
    throw error
  }
}

function columnsOf(rows: readonly Row[]): readonly TableColumnNow[] {
  return rows.map(row => ({ name: String(row['name']), type: String(row['type']) }))
}

function existsSql(table: Ident): Sql {
  const { catalog, schema, name } = placeOf(table)
  const at = sql`database_name = ${catalog} and schema_name = lower(${schema})`
  return sql`
    select 1 from duckdb_tables() where ${at} and lower(table_name) = lower(${name})
    union all
    select 1 from duckdb_views() where ${at} and lower(view_name) = lower(${name})`
}

function columnsSql(table: Ident): Sql {
  const { catalog, schema, name } = placeOf(table)
  return sql`
    select column_name as name, data_type as type from duckdb_columns()
    where database_name = ${catalog} and schema_name = lower(${schema}) and lower(table_name) = lower(${name})
    order by column_index`
}

/** Where a table lies: `temp.x` is in a catalog of its own. */
function placeOf(table: Ident): TablePlace {
  const name = table.path.at(-1) as string
  const schema = table.path.at(-2) ?? 'main'
  return schema === 'temp' ? { catalog: 'temp', schema: 'main', name } : { catalog: CATALOG, schema, name }
}

function samePlace(a: TablePlace, b: TablePlace): boolean {
  return a.catalog === b.catalog && a.schema === b.schema && a.name === b.name
}
