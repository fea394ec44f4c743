import { ident, sql, type Ident } from '../../../core/sql.ts'
import type { Row } from '../contract.ts'
import { CATALOG } from './database.ts'
import { run, stream, type Session } from './session.ts'

/** Rows of three row groups: a table of fewer is merged as a whole by the checkpoint before us. */
const ROWS_MIN = 3 * 122_880
/** Rows that are stored for each row that is there, above which deleted rows are given back. */
const STORED_MAX = 1.1

interface Compacting {
  /** Moves what is committed into the file; false when readers keep it from that. */
  readonly checkpoint: () => Promise<boolean>
  /** Asked before each step. */
  readonly isEnough: () => boolean
}

/**
 * Gives the space of deleted rows back. DuckDB does it in a checkpoint, for row groups of a table that changed since the
 * last one; it was opened to merge only three at once (`openDatabase`), because the file grows by what is written anew before
 * the old is free. So one checkpoint after the other, for each of which a row of the table is moved to its end. Each step is
 * a transaction and a checkpoint like any other: after a crash the rows are the same.
 */
export async function compact(session: Session, { checkpoint, isEnough }: Compacting): Promise<void> {
  if (isEnough()) return
  for (const table of await largeTables(session)) {
    let before = Number.POSITIVE_INFINITY
    while (!isEnough()) {
      const [size] = await read(session, sql`${storedRows(table)}, (select count(*) from ${table}) as n`)
      const stored = Number(size?.['stored'])
      if (stored >= before || stored <= Number(size?.['n']) * STORED_MAX) break
      before = stored
      await moveOneRow(session, table)
      if (!(await checkpoint())) return
    }
  }
}

/** A table with an index has no row groups merged. */
async function largeTables(session: Session): Promise<readonly Ident[]> {
  const found = await read(
    session,
    sql`select schema_name, table_name from duckdb_tables()
      where database_name = ${CATALOG} and estimated_size > ${ROWS_MIN} and index_count = 0 order by estimated_size desc`,
  )
  return found.map(row => ident(CATALOG, String(row['schema_name']), String(row['table_name'])))
}

/** The rows of a table with those that are deleted, as the catalog has them. */
function storedRows({ path }: Ident): ReturnType<typeof sql> {
  return sql`select (select max(estimated_size) from duckdb_tables() where database_name = ${CATALOG}
    and schema_name = ${path[1] as string} and table_name = ${path[2] as string}) as stored`
}

/**
 * Writes a row anew behind the last, and takes it from where it was. `rowid` may be a column of the table itself: rows are copied,
 * removed by the same condition, and written again, whatever it finds.
 */
async function moveOneRow(session: Session, table: Ident): Promise<void> {
  const always = new AbortController().signal
  const moved = ident('temp', '_moved')
  const row = sql`rowid = (select min(rowid) from ${table})`
  await run(session, sql`begin transaction`, always)
  try {
    await run(session, sql`create or replace temp table ${moved} as select * from ${table} where ${row}`, always)
    await run(session, sql`delete from ${table} where ${row}`, always)
    await run(session, sql`insert into ${table} select * from ${moved}`, always)
    await run(session, sql`drop table ${moved}`, always)
    await run(session, sql`commit`, always)
  } catch (error) {
    await run(session, sql`rollback`, always).catch(() => {}) // a commit that failed has rolled back; the first error counts
    throw error
  }
}

async function read(session: Session, statement: ReturnType<typeof sql>): Promise<readonly Row[]> {
  const result = await stream(session, statement, new AbortController().signal)
  const names = result.columns.map(column => column.name)
  const rows: Row[] = []
  for await (const page of result.pages) {
    for (const cells of page) rows.push(Object.fromEntries(names.map((name, i) => [name, cells[i] ?? null])))
  }
  return rows
}
