import native from '@duckdb/node-bindings'
import { fail } from '../../../core/errors.ts'
import { ident, joinSql, renderSql, sql, type Sql } from '../../../core/sql.ts'
import type { PeopleView } from '../contract.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import { nextChunk } from '../../../systems/duckdb/fetch.ts'
import { duckdbApi } from '../../../systems/duckdb/api.ts'

const { DuckDBDataChunk } = duckdbApi

/** Functions that stand in FROM and read no table by its name. Everything else there is refused. */
const tableFunctions: ReadonlySet<string> = new Set([
  'range',
  'generate_series',
  'unnest',
  'duckdb_columns',
  'duckdb_functions',
  'duckdb_keywords',
  'duckdb_schemas',
  'duckdb_tables',
  'duckdb_types',
  'duckdb_views',
])

/**
 * Puts a view in front of every table of the attached file `catalog`, under the same schema and name in the catalog
 * `into`, with masked columns as `***`. Where that is the catalog of unqualified names these find the views;
 * `refuseUnmasked` keeps a query from going around them.
 */
export async function maskTables(
  connection: native.Connection,
  catalog: string,
  into: string,
  { masked, closed }: PeopleView,
): Promise<void> {
  const tables = await rows(
    connection,
    sql`select schema_name, table_name from duckdb_tables() where database_name = ${catalog}
        union all
        select schema_name, view_name from duckdb_views() where database_name = ${catalog} and not internal`,
  )
  for (const schema of new Set(tables.map(([name]) => String(name)))) {
    await send(connection, sql`create schema if not exists ${ident(into, schema)}`)
  }
  for (const [schema, table] of tables.map(row => row.map(String) as [string, string])) {
    if (closed.includes(schema) && !masked.some(it => it.schema === schema && it.table === table)) continue
    const named = masked.filter(it => it.schema === schema && it.table === table).flatMap(it => it.columns)
    const hidden = [...new Set(named)]
    const present = hidden.length === 0 ? [] : await columnsOf(connection, catalog, schema, table)
    const replaced = hidden
      .filter(column => present.includes(column))
      .map(column => sql`case when ${ident(column)} is not null then '***' end as ${ident(column)}`)
    const columns = replaced.length === 0 ? sql`*` : sql`* replace (${joinSql(replaced)})`
    await send(
      connection,
      sql`create view ${ident(into, schema, table)} as select ${columns} from ${ident(catalog, schema, table)}`,
    )
  }
}

async function columnsOf(
  connection: native.Connection,
  catalog: string,
  schema: string,
  table: string,
): Promise<readonly string[]> {
  const found = await rows(
    connection,
    sql`select column_name from duckdb_columns()
        where database_name = ${catalog} and schema_name = ${schema} and table_name = ${table}`,
  )
  return found.map(([name]) => String(name))
}

/**
 * Lets only a single SELECT pass that names no catalog and calls no function that reads tables by name. Asks the
 * engine's own parser, so that no spelling escapes. Throws `SQL_NOT_ALLOWED`.
 */
export async function refuseUnmasked(connection: native.Connection, catalog: string, text: string): Promise<void> {
  const [row] = await rows(connection, sql`select json_serialize_sql(${text})`)
  const parsed = JSON.parse(String(row?.[0])) as Parsed
  if (parsed.error === true) {
    const why =
      parsed.error_type === 'parser' ? parsed.error_message : 'only a SELECT, DESCRIBE or SUMMARIZE may be run here'
    throw fail('SQL_NOT_ALLOWED', { why: why ?? 'it cannot be parsed' })
  }
  if (parsed.statements?.length !== 1) throw fail('SQL_NOT_ALLOWED', { why: 'only one statement may be run at a time' })
  visit(parsed.statements, catalog)
}

interface Parsed {
  readonly error?: boolean
  readonly error_type?: string
  readonly error_message?: string
  readonly statements?: readonly unknown[]
}

function visit(node: unknown, catalog: string): void {
  if (typeof node === 'string' && node.toLowerCase().includes(catalog)) {
    throw fail('SQL_NOT_ALLOWED', { why: `it names the catalog ${catalog}` })
  }
  if (typeof node !== 'object' || node === null) return
  if ('type' in node && node.type === 'TABLE_FUNCTION' && 'function' in node) {
    const name = (node.function as { function_name?: string }).function_name ?? ''
    if (!tableFunctions.has(name.toLowerCase())) {
      throw fail('SQL_NOT_ALLOWED', { why: `the function ${name} may not stand in FROM here` })
    }
  }
  for (const child of Object.values(node)) visit(child, catalog)
}

/** A small result as rows. */
export async function rows(connection: native.Connection, statement: Sql): Promise<readonly (readonly unknown[])[]> {
  const result = await native.query(connection, renderSql(statement, duckdbDialect).text)
  const found: (readonly unknown[])[] = []
  for (let chunk = await nextChunk(result); chunk !== null; chunk = await nextChunk(result))
    found.push(...new DuckDBDataChunk(chunk).getRows())
  return found
}

async function send(connection: native.Connection, statement: Sql): Promise<void> {
  await native.query(connection, renderSql(statement, duckdbDialect).text)
}
