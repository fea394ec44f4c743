import { joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import { readAs, type NativeColumn } from '../../../systems/mysql/types.ts'
import type { TableDescription } from '../contract.ts'
import type { Connection, TextRow } from './connection.ts'

/** A table as the server has it now. */
export interface CatalogTable extends TableDescription {
  readonly schema: string
  readonly relation: string
  /** `InnoDB`, …; `null` for a view. */
  readonly engine: string | null
  /** The server keeps old versions of its rows (SYSTEM VERSIONED). */
  readonly isVersioned: boolean
  readonly columns: readonly CatalogColumn[]
  /** What stands in the FROM clause instead of a name. */
  readonly query?: Sql
}

export interface CatalogColumn extends ColumnDef {
  /** `varchar`, `bigint`, … without length and sign. */
  readonly nativeName: string
  readonly nativeType: string
  readonly as: NativeColumn['as']
  readonly charset: string | null
  readonly collation: string | null
  /** The account may read it. */
  readonly readable: boolean
  /** The server computes it; it cannot be written. */
  readonly generated: boolean
  /** Digits after the second that a time keeps. */
  readonly timeDigits: number
}

/** Tables and views of the databases that the account may read. */
export async function readCatalog(
  connection: Connection,
  schemas: readonly string[],
  database: string,
  signal?: AbortSignal,
): Promise<readonly CatalogTable[]> {
  const choice = (schema: string): Sql => sql`${rawSql(schema)} in (${joinSql(schemas.map(name => sql`${name}`))})`
  const tables = await readTables(connection, { database, choice, name: sql`true` }, signal)
  return tables
    .filter(table => table.columns.some(column => column.readable))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The one table of this name, readable or not. The database is looked for in every part of a name with dots. */
export async function findTable(
  connection: Connection,
  remote: string,
  database: string,
  signal?: AbortSignal,
): Promise<CatalogTable | null> {
  for (const [schema, relation] of placesOf(remote, database)) {
    const choice = (column: string): Sql => sql`${rawSql(column)} = ${schema}`
    const tables = await readTables(connection, { database, choice, name: sql`table_name = ${relation}` }, signal)
    // The catalog compares names without their case; tables may differ in it.
    const found = tables.find(table => table.schema === schema && table.relation === relation)
    if (found !== undefined) return found
  }
  return null
}

/** What a name may stand for: database and object. */
export function placesOf(remote: string, database: string): readonly (readonly [schema: string, name: string])[] {
  const dots = [...remote].flatMap((letter, i) => (letter === '.' ? [i] : []))
  if (dots.length === 0) return remote === '' ? [] : [[database, remote]]
  return dots
    .map(i => [remote.slice(0, i), remote.slice(i + 1)] as const)
    .filter(([schema, name]) => schema !== '' && name !== '')
}

interface Choice {
  readonly database: string
  readonly choice: (column: string) => Sql
  readonly name: Sql
}

async function readTables(
  connection: Connection,
  { database, choice, name }: Choice,
  signal?: AbortSignal,
): Promise<readonly CatalogTable[]> {
  const rows = await connection.query(
    sql`select table_schema, table_name, engine, table_rows, table_type from information_schema.tables
        where ${choice('table_schema')} and ${name}
          and table_type in ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED', 'SYSTEM VIEW')`,
    signal,
  )
  if (rows.length === 0) return []
  const columns = groupBy(await connection.query(columnsQuery(choice, name), signal))
  const indexes = groupBy(await connection.query(indexesQuery(choice, name), signal))
  const json = connection.kind.isMariaDb ? await connection.query(jsonChecks(choice, name), signal) : []
  const isJson = new Set(json.map(row => row.join('\0')))
  return rows.map(row => {
    const id = `${row[0]}\0${row[1]}`
    const described = (columns.get(id) ?? []).map(column => columnOf(column, isJson.has(`${id}\0${column[2]}`)))
    return tableOf(row, described, keyOf(indexes.get(id) ?? [], described), database)
  })
}

function columnsQuery(choice: Choice['choice'], name: Sql): Sql {
  return sql`
    select table_schema, table_name, column_name, data_type, column_type, numeric_precision, numeric_scale,
      character_set_name, collation_name, is_nullable, privileges, extra, datetime_precision
    from information_schema.columns where ${choice('table_schema')} and ${name}
    order by table_schema, table_name, ordinal_position`
}

/** Unique indexes, the primary one first, then those with fewer columns. */
function indexesQuery(choice: Choice['choice'], name: Sql): Sql {
  return sql`
    select table_schema, table_name, index_name, column_name from information_schema.statistics
    where ${choice('table_schema')} and ${name} and non_unique = 0
    order by index_name <> 'PRIMARY', index_name, seq_in_index`
}

/** MariaDB keeps JSON as text with a check of its own making. */
function jsonChecks(choice: Choice['choice'], name: Sql): Sql {
  return sql`
    select constraint_schema, table_name, constraint_name from information_schema.check_constraints
    where ${choice('constraint_schema')} and ${name} and level = 'Column'
      and check_clause = concat('json_valid(\`', replace(constraint_name, '\`', '\`\`'), '\`)')`
}

function tableOf(
  [schema, relation, engine, estimate, kind]: TextRow,
  columns: readonly CatalogColumn[],
  key: readonly string[],
  database: string,
): CatalogTable {
  const plain = schema === database && !(relation as string).includes('.')
  return {
    schema: schema as string,
    relation: relation as string,
    name: plain ? (relation as string) : `${schema}.${relation}`,
    engine: engine ?? null,
    isVersioned: kind === 'SYSTEM VERSIONED',
    rowsEstimate: estimate == null ? null : Number(estimate),
    columns,
    key,
  }
}

function columnOf(row: TextRow, isJson: boolean): CatalogColumn {
  const [
    ,
    ,
    name,
    dataType,
    columnType,
    precision,
    scale,
    charset,
    collation,
    nullable,
    privileges,
    extra,
    timeDigits,
  ] = row as readonly string[]
  const native = readAs({
    name: dataType as string,
    full: columnType as string,
    precision: precision == null ? null : Number(precision),
    scale: scale == null ? null : Number(scale),
    charset: charset ?? null,
    isJson,
  })
  return {
    name: name as string,
    type: native.type,
    as: native.as,
    nativeName: dataType as string,
    nativeType: columnType as string,
    nullable: nullable === 'YES',
    personal: false,
    charset: charset ?? null,
    collation: collation ?? null,
    readable: (privileges ?? '').split(',').includes('select'),
    generated: /GENERATED/i.test(extra ?? '') && !/DEFAULT_GENERATED/i.test(extra ?? ''),
    timeDigits: Number(timeDigits ?? 0),
  }
}

/** Columns of the first unique index that allows no NULL and that may be read. A functional index names no columns. */
function keyOf(rows: readonly TextRow[], columns: readonly CatalogColumn[]): readonly string[] {
  const indexes = new Map<string, (string | null)[]>()
  for (const [, , index, column] of rows) {
    const parts = indexes.get(index as string)
    if (parts === undefined) indexes.set(index as string, [column ?? null])
    else parts.push(column ?? null)
  }
  const fits = (name: string | null): boolean =>
    columns.some(column => column.name === name && !column.nullable && column.readable)
  const primary = indexes.get('PRIMARY')
  const others = [...indexes.values()].filter(it => it !== primary).sort((a, b) => a.length - b.length)
  const found = [...(primary === undefined ? [] : [primary]), ...others].find(parts => parts.every(fits))
  return (found as readonly string[] | undefined) ?? []
}

/** Rows by their first two values. */
function groupBy(rows: readonly TextRow[]): Map<string, TextRow[]> {
  const groups = new Map<string, TextRow[]>()
  for (const row of rows) {
    const id = `${row[0]}\0${row[1]}`
    const group = groups.get(id)
    if (group === undefined) groups.set(id, [row])
    else group.push(row)
  }
  return groups
}
