import { rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import { readAs, type NativeColumn, type NativeType } from '../../../systems/postgres/types.ts'
import type { TableDescription } from '../contract.ts'
import type { Connection, TextRow } from './connection.ts'

/** A table as the server has it now. */
export interface CatalogTable extends TableDescription {
  readonly oid: number
  readonly schema: string
  readonly relation: string
  readonly columns: readonly CatalogColumn[]
  /** The SELECT that has this name instead of a table. */
  readonly query?: string
}

export interface CatalogColumn {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
  readonly personal: boolean
  readonly nativeType: string
  /** The source casts it to text for us. */
  readonly asText: boolean
  /** The account may read it. */
  readonly readable: boolean
}

/** Which tables: all that may be read, those of some schemas, or the one with a name, readable or not. */
export interface TableChoice {
  readonly schemas?: readonly string[] | null
  readonly name?: string
}

/**
 * Reads the tables and views that the account may read from pg_catalog: the information schema hides keys from
 * accounts that may only read. Partitions are part of their table and not listed.
 */
export async function readCatalog(
  connection: Connection,
  choice: TableChoice,
  signal?: AbortSignal,
): Promise<readonly CatalogTable[]> {
  const columns = await connection.query(columnsQuery(choice), signal)
  if (columns.length === 0) return []
  const keys = groupBy(await connection.query(keysQuery, signal), 0)
  const types = await readTypes(connection, signal)
  return [...groupBy(columns, COLUMN.oid).values()].map(rows => tableOf(rows, keys, types))
}

/** Places of the values in a row of `columnsQuery`. */
const COLUMN = {
  oid: 0,
  schema: 1,
  relation: 2,
  name: 3,
  estimate: 4,
  column: 5,
  type: 6,
  modifier: 7,
  nativeType: 8,
  notNull: 9,
  readable: 10,
} as const

/** A table of schema public goes by its own name, unless a dot in it could be taken for a schema. */
const tableName = rawSql(`case when n.nspname = 'public' and position('.' in c.relname) = 0
  then c.relname::text else n.nspname || '.' || c.relname end`)

const mayRead = rawSql(`has_schema_privilege(n.oid, 'usage') and has_column_privilege(c.oid, a.attnum, 'select')`)

/** The tables that a write makes beside its target: see `stage.ts`. */
const isStageName = rawSql(String.raw`c.relname ~ '^naru_(stage|units)_'`)

function columnsQuery({ schemas, name }: TableChoice): Sql {
  const ofSchemas = schemas?.length
    ? sql`and n.nspname = any(string_to_array(${schemas.join('\u001f')}, ${'\u001f'}))`
    : sql``
  const ofName =
    name === undefined
      ? sql`and not c.relispartition and not ${isStageName} and ${mayRead}`
      : sql`and ${tableName} = ${name}`
  return sql`
    select c.oid, n.nspname, c.relname, ${tableName}, case when c.reltuples >= 0 then c.reltuples::bigint end,
      a.attname, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod), a.attnotnull,
      ${mayRead}
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind in ('r', 'p', 'v', 'm', 'f') ${ofSchemas} ${ofName}
      and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
    order by 4, a.attnum`
}

/** For each table its key columns in order: of the primary key, else of the first unique index that allows no NULL. */
const keysQuery = sql`
  select distinct on (i.indrelid) i.indrelid,
    (select string_agg(a.attname, ${'\u001f'} order by k.place)
     from unnest(i.indkey::int2[]) with ordinality k(attnum, place)
     join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
     where k.place <= i.indnkeyatts)
  from pg_index i
  where i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
    and not exists (
      select 1 from unnest(i.indkey::int2[]) with ordinality k(attnum, place)
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
      where k.place <= i.indnkeyatts and not a.attnotnull)
  order by i.indrelid, i.indisprimary desc, i.indnkeyatts, i.indexrelid`

/** What the types that users made stand for. */
export interface Types {
  /** What a domain stands for: `[type, modifier]`. */
  readonly domains: ReadonlyMap<number, readonly [number, number]>
  readonly labels: ReadonlyMap<number, readonly string[]>
}

/** Domains and enums of the database. */
export async function readTypes(connection: Connection, signal: AbortSignal | undefined): Promise<Types> {
  const domains = await connection.query(
    sql`select oid, typbasetype, typtypmod from pg_type where typtype = 'd'`,
    signal,
  )
  const labels = await connection.query(
    sql`select enumtypid, enumlabel from pg_enum order by enumtypid, enumsortorder`,
    signal,
  )
  return {
    domains: new Map(domains.map(row => [Number(row[0]), [Number(row[1]), Number(row[2])]])),
    labels: new Map([...groupBy(labels, 0)].map(([type, rows]) => [Number(type), rows.map(row => row[1] as string)])),
  }
}

function tableOf(rows: readonly TextRow[], keys: ReadonlyMap<string, readonly TextRow[]>, types: Types): CatalogTable {
  const first = rows[0] as TextRow
  const columns = rows.map(row => columnOf(row, types))
  const key = keys.get(first[COLUMN.oid] as string)?.[0]?.[1]?.split('\u001f') ?? []
  const estimate = first[COLUMN.estimate]
  return {
    oid: Number(first[COLUMN.oid]),
    schema: first[COLUMN.schema] as string,
    relation: first[COLUMN.relation] as string,
    name: first[COLUMN.name] as string,
    rowsEstimate: estimate == null ? null : Number(estimate),
    columns,
    // A key column that the account may not read leaves the table without a key that can be used.
    key: key.every(name => columns.some(column => column.name === name && column.readable)) ? key : [],
  }
}

function columnOf(row: TextRow, types: Types): CatalogColumn {
  return {
    name: row[COLUMN.column] as string,
    nativeType: row[COLUMN.nativeType] as string,
    nullable: row[COLUMN.notNull] !== 't',
    readable: row[COLUMN.readable] === 't',
    personal: false,
    ...readNative(Number(row[COLUMN.type]), Number(row[COLUMN.modifier]), types),
  }
}

/** How values of a type are read, whatever a domain calls it. */
export function readNative(type: number, typeModifier: number, types: Types): NativeColumn {
  return readAs(nativeOf(type, typeModifier, types))
}

/** What a type is, whatever a domain calls it. */
export function nativeOf(type: number, typeModifier: number, types: Types): NativeType {
  let [oid, modifier] = [type, typeModifier]
  for (let base = types.domains.get(oid); base !== undefined; base = types.domains.get(oid)) {
    const [baseType, baseModifier] = base
    oid = baseType
    if (baseModifier !== -1) modifier = baseModifier
  }
  return { oid, modifier, labels: types.labels.get(oid) }
}

function groupBy(rows: readonly TextRow[], place: number): Map<string, TextRow[]> {
  const groups = new Map<string, TextRow[]>()
  for (const row of rows) {
    const group = groups.get(row[place] as string)
    if (group === undefined) groups.set(row[place] as string, [row])
    else group.push(row)
  }
  return groups
}
