import { fail, messageOf } from '../../../core/errors.ts'
import { ident, rawSql, sql, type Ident, type Sql } from '../../../core/sql.ts'
import type { DescribedColumn, TableDescription } from '../contract.ts'
import { sourceError } from './errors.ts'
import type { FactColumn, QueryFacts } from './facts.ts'
import { reflectedType } from './facts-generic.ts'
import type { CatalogCall, TextRow } from './messages.ts'
import type { Session } from './session.ts'
import { withoutSecrets } from './target.ts'

/** A table or view as the driver's catalog tells of it. */
export interface CatalogTable {
  /** The name to read it by: without its schema when that is the default. */
  readonly name: string
  readonly schema: string | null
  readonly table: string
  readonly columns: readonly FactColumn[]
  readonly key: readonly string[]
  /** The SELECT of a table that is a query. */
  readonly query?: string
}

/** Where a table is. */
export interface Place {
  readonly schema: string | null
  readonly table: string
}

/** Schemas that hold the system's own tables. */
const ownSchemas = ['information_schema', 'pg_catalog', 'performance_schema', 'mysql', 'sys', 'pg_toast']

/** Every table and view, with its columns. One without a column that the account may see is left out. */
export async function readCatalog(session: Session, signal: AbortSignal): Promise<readonly CatalogTable[]> {
  const places = await readPlaces(session, signal)
  const columns = await readColumns(session, null, signal)
  const tables: CatalogTable[] = []
  for (const place of places) {
    const found = columns.get(placeText(place)) ?? []
    if (found.length > 0) tables.push(await tableOf(session, place, found, signal))
  }
  return tables
}

/** One table by the name that `readCatalog` gives it; `null` when there is none. */
export async function findTable(session: Session, name: string, signal: AbortSignal): Promise<CatalogTable | null> {
  const place = (await readPlaces(session, signal)).find(it => nameOf(session, it) === name)
  if (place === undefined) return null
  const columns = (await readColumns(session, place, signal)).get(placeText(place)) ?? []
  return columns.length === 0 ? null : tableOf(session, place, columns, signal)
}

/** A query as a table of that name. Throws `SOURCE_QUERY` with what the system says of it. */
export async function describeQuery(
  session: Session,
  queries: QueryFacts,
  { name, query, signal }: { readonly name: string; readonly query: string; readonly signal: AbortSignal },
): Promise<CatalogTable> {
  const { connection, facts, render, target } = session
  const run = (statement: Sql): Promise<number> => connection.execute(render(statement).text, signal)
  try {
    for (const statement of queries.make(sql`select * from (${rawSql(query)}) ${ident('t')}`)) await run(statement)
    const rows = await connection.query(render(queries.columns), signal)
    await run(queries.drop)
    const columns = rows.map(([column, native]): FactColumn => {
      const nativeType = native ?? ''
      return { name: column ?? '', type: facts.typeOf(nativeType), nativeType, nullable: true }
    })
    return { name, query, schema: null, table: name, columns, key: [] }
  } catch (error) {
    const known = sourceError(error, target, name)
    if (['SOURCE_UNREACHABLE', 'CANCELLED', 'ODBC_DRIVER_CRASHED'].includes(known.code)) throw known
    throw fail(
      'SOURCE_QUERY',
      { source: target.source, problem: withoutSecrets(target, messageOf(error)) },
      { cause: known },
    )
  }
}

/** The table in a FROM clause. All columns are named through the alias: an output column never hides them. */
export function fromTable(table: CatalogTable): Sql {
  const { query } = table
  return sql`${query === undefined ? identOf(table) : sql`(${rawSql(query)})`} ${ident('t')}`
}

/** The table by its full name. */
export function identOf({ schema, table }: Place): Ident {
  return schema === null ? ident(table) : ident(schema, table)
}

/** A column of the table that `fromTable` names. */
export function columnOf(name: string): Sql {
  return sql`${ident('t', name)}`
}

/** The table as the contract describes it. No driver gives an estimate of its rows in a portable way. */
export function describe({ name, columns, key }: CatalogTable): TableDescription {
  return { name, key, rowsEstimate: null, columns: columns.map(describedColumn) }
}

function describedColumn({ name, type, nullable, nativeType }: FactColumn): DescribedColumn {
  return { name, type, nullable, personal: false, nativeType }
}

async function readPlaces(session: Session, signal: AbortSignal): Promise<readonly Place[]> {
  const { schemas } = session.target
  const rows = await ask(session, { kind: 'tables' }, signal)
  return rows
    .map(([, schema, table]): Place => ({ schema: schemaOf(schema), table: table ?? '' }))
    .filter(({ schema, table }) => table !== '' && !ownSchemas.includes((schema ?? '').toLowerCase()))
    .filter(({ schema }) => schemas === null || schemas.includes(schema ?? ''))
}

/** Columns by place. Names are patterns in these calls, so what they find is compared again. */
async function readColumns(
  session: Session,
  place: Place | null,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly FactColumn[]>> {
  const declared = await declaredColumns(session, place, signal)
  if (declared !== null) return declared
  const call = { kind: 'columns', schema: place?.schema ?? null, table: place?.table ?? null } as const
  const found = new Map<string, FactColumn[]>()
  for (const row of await ask(session, call, signal)) {
    const at = placeText({ schema: schemaOf(row[1]), table: row[2] ?? '' })
    found.set(at, [...(found.get(at) ?? []), reflected(row)])
  }
  return found
}

function reflected(row: TextRow): FactColumn {
  const [, , , name, sqlType, typeName, size, , digits, , nullable] = row
  return {
    name: name ?? '',
    type: reflectedType(Number(sqlType), Number(size ?? 0), Number(digits ?? 0), /unsigned/i.test(typeName ?? '')),
    nativeType: typeName ?? '',
    nullable: nullable !== '0',
  }
}

/** Known systems say themselves what a column is: drivers invent sizes for types that have none. */
async function declaredColumns(
  { facts, query }: Session,
  place: Place | null,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly FactColumn[]> | null> {
  if (facts.declaredTypes === null) return null
  const rows = await query(facts.declaredTypes(place?.schema ?? null, place?.table ?? null), 'the catalog', signal)
  const found = new Map<string, FactColumn[]>()
  for (const [schema, table, name, native, nullable] of rows) {
    const at = placeText({ schema: schemaOf(schema), table: table ?? '' })
    const nativeType = native ?? ''
    const column = { name: name ?? '', type: facts.typeOf(nativeType), nativeType, nullable: nullable === 'YES' }
    found.set(at, [...(found.get(at) ?? []), column])
  }
  return found
}

async function tableOf(
  session: Session,
  place: Place,
  columns: readonly FactColumn[],
  signal: AbortSignal,
): Promise<CatalogTable> {
  const key = await readKey(session, place, columns, signal)
  return { name: nameOf(session, place), ...place, columns, key }
}

/** Columns of the primary key, or of the first unique index without NULLs. */
async function readKey(
  session: Session,
  place: Place,
  columns: readonly FactColumn[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const primary = await ask(session, { kind: 'primaryKeys', ...place }, signal)
  if (primary.length > 0) return inOrder(primary, 3, 4)
  const required = new Set(columns.filter(column => !column.nullable).map(column => column.name))
  const indexes = new Map<string, TextRow[]>()
  for (const row of await ask(session, { kind: 'uniqueIndexes', ...place }, signal)) {
    const [name, isShared, filter] = [row[5] ?? null, row[3], row[12] ?? null]
    if (name !== null && isShared === '0' && filter === null) indexes.set(name, [...(indexes.get(name) ?? []), row])
  }
  const names = [...indexes.keys()].sort()
  const usable = names.find(name => indexes.get(name)?.every(row => required.has(row[8] ?? '')))
  return usable === undefined ? [] : inOrder(indexes.get(usable) ?? [], 8, 7)
}

function inOrder(rows: readonly TextRow[], nameAt: number, orderAt: number): readonly string[] {
  return [...rows].sort((a, b) => Number(a[orderAt]) - Number(b[orderAt])).map(row => row[nameAt] ?? '')
}

async function ask(session: Session, call: CatalogCall, signal: AbortSignal): Promise<readonly TextRow[]> {
  const { connection, target } = session
  try {
    // Databases are catalogs in some systems and schemas in others: only the one of the connection is looked at.
    return await connection.catalog(connection.info.catalog, call, signal)
  } catch (error) {
    throw sourceError(error, target, 'the catalog')
  }
}

function schemaOf(text: string | null | undefined): string | null {
  return text === undefined || text === null || text === '' ? null : text
}

function placeText({ schema, table }: Place): string {
  return JSON.stringify([schema, table])
}

function nameOf({ defaultSchema }: Session, { schema, table }: Place): string {
  return schema === null || schema === defaultSchema ? table : `${schema}.${table}`
}

/** A column by name. Throws `SOURCE_COLUMN_GONE`. */
export function wantedColumn(table: CatalogTable, name: string, source: string): FactColumn {
  const column = table.columns.find(it => it.name === name)
  if (column === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: table.name, column: name })
  return column
}
