import { fail } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import { typeText, type ColumnDef } from '../../../core/types.ts'
import { exactTypeName } from '../../../systems/mysql/dialect.ts'
import { takes } from '../../../systems/mysql/value-encoder.ts'
import type { WriteTarget } from '../contract-writes.ts'
import { findTable, type CatalogColumn, type CatalogTable } from './catalog.ts'
import type { Connection, ServerKind } from './connection.ts'
import type { Target } from './target.ts'

/** The table that is written, and its columns in the order of the batches. */
export interface Found {
  readonly table: CatalogTable
  readonly columns: readonly CatalogColumn[]
}

/** Finds the target, or makes it. Throws `WRITE_TARGET` when it is not there or the columns do not fit. */
export async function findTarget(
  connection: Connection,
  target: Target,
  wanted: WriteTarget,
  signal: AbortSignal,
): Promise<Found> {
  const refuse = (problem: string): Error =>
    fail('WRITE_TARGET', { system: target.source, table: wanted.remote, problem })
  let table = await findTable(connection, wanted.remote, target.database, signal)
  if (table === null) {
    if (!wanted.create) throw refuse('it is not there')
    await connection.run(createTable(placeOf(wanted.remote, target), wanted, connection.kind, refuse), signal)
    table = await findTable(connection, wanted.remote, target.database, signal)
    if (table === null) throw refuse('it was made and is not there')
  }
  if (table.engine !== 'InnoDB') {
    throw refuse(table.engine === null ? 'it is a view' : `it is kept by ${table.engine}, which has no transactions`)
  }
  return { table, columns: wanted.columns.map(column => fitting(table, column, refuse)) }
}

function fitting(table: CatalogTable, wanted: ColumnDef, refuse: (problem: string) => Error): CatalogColumn {
  const found = table.columns.find(column => column.name === wanted.name)
  if (found === undefined) throw refuse(`it has no column "${wanted.name}"`)
  if (found.generated) throw refuse(`column "${wanted.name}" is computed by the server`)
  if (takes(found, wanted.type)) return found
  throw refuse(`column "${wanted.name}" is ${found.nativeType}, and ${typeText(wanted.type).slice(0, 60)} is written`)
}

/** `sales.order` is in the database `sales`; a name without a dot in that of the address. */
function placeOf(remote: string, { database }: Target): Pick<CatalogTable, 'schema' | 'relation'> {
  const dot = remote.indexOf('.')
  return dot <= 0
    ? { schema: database, relation: remote }
    : { schema: remote.slice(0, dot), relation: remote.slice(dot + 1) }
}

function createTable(
  { schema, relation }: Pick<CatalogTable, 'schema' | 'relation'>,
  { columns, key }: WriteTarget,
  kind: ServerKind,
  refuse: (problem: string) => Error,
): Sql {
  const texts = columns.filter(({ name, type }) => key.includes(name) && isLong(type)).length
  const definitions = columns.map(({ name, type }) => {
    const isKey = key.includes(name)
    const native = isKey && isLong(type) ? keyType(type, texts, kind) : exactTypeName(type)
    if (native === null) throw refuse(`no type of the server holds ${typeText(type)} of column "${name}" exactly`)
    return sql`${ident(name)} ${rawSql(native)} ${rawSql(isKey ? 'not null' : 'null')}`
  })
  const primary = key.length === 0 ? sql`` : sql`, primary key (${joinSql(key.map(name => ident(name)))})`
  return sql`create table ${ident(schema, relation)} (${joinSql(definitions)}${primary}) engine = InnoDB character set utf8mb4`
}

function isLong({ kind }: ColumnDef['type']): boolean {
  return kind === 'text' || kind === 'enum' || kind === 'json' || kind === 'bytes'
}

/** An index holds 3,072 bytes of a row. */
const KEY_BYTES = 3_072

/** A key needs a limit; its text tells apart what is not the same, also by spaces at the end. */
function keyType({ kind }: ColumnDef['type'], count: number, { isMariaDb, version }: ServerKind): string {
  const bytes = Math.floor(KEY_BYTES / Math.max(count, 1)) - 16
  if (kind === 'bytes') return `varbinary(${bytes})`
  const collation = isMariaDb ? 'utf8mb4_nopad_bin' : version >= 80_017 ? 'utf8mb4_0900_bin' : 'utf8mb4_bin'
  return `varchar(${Math.floor(bytes / 4)}) character set utf8mb4 collate ${collation}`
}

/** Names of the tables of one write, beside its target. */
export interface StageNames {
  readonly rows: Sql
  readonly units: Sql
}

export function stageNames({ schema }: Pick<CatalogTable, 'schema'>, id: string): StageNames {
  return {
    rows: sql`${ident(schema, `_naru_${id}`)}`,
    units: sql`${ident(schema, `_naru_${id}_units`)}`,
  }
}

/** Id of the stage whose units are in the table; `null` for any other table. */
export function idOfUnits(table: string): string | null {
  return /^_naru_(\w{1,32})_units$/.exec(table)?.[1] ?? null
}

/** The stage has the columns of the target, so that a value is refused when it comes and not when it is published. */
export function createStage({ rows }: StageNames, columns: readonly CatalogColumn[], { key, mode }: WriteTarget): Sql {
  const findsRows = mode !== 'insert' && mode !== 'replace'
  const definitions = columns.map((column, i) => {
    const charset = column.charset === null ? '' : `character set ${column.charset} collate ${column.collation}`
    const takesNull = column.nullable && !(findsRows && key.includes(column.name))
    // The text of a type is the server's own: labels of an enum stand in it quoted.
    return sql`${ident(`c${i}`)} ${rawSql(`${column.nativeType} ${charset} ${takesNull ? 'null' : 'not null'}`)}`
  })
  return sql`create table ${rows} (_id bigint unsigned not null auto_increment primary key, _unit int not null,
    ${joinSql(definitions)}, index (_unit)) engine = InnoDB`
}

/** The clock of the server, in seconds: when a stage was touched. */
export const nowSeconds = sql`unix_timestamp()`

/** Units by number, and the mark of a write that was published. */
export function createUnits({ units }: StageNames): Sql {
  return sql`create table ${units} (unit int not null auto_increment primary key,
    name varchar(700) character set utf8mb4 collate utf8mb4_bin not null, row_count bigint not null,
    told longtext character set utf8mb4, touched bigint not null, unique (name)) engine = InnoDB`
}
