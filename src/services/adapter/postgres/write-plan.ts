import { fail } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../../core/sql.ts'
import { typeText, type ColumnDef } from '../../../core/types.ts'
import { postgresDialect } from '../../../systems/postgres/dialect.ts'
import type { WriteTarget } from '../contract-writes.ts'
import { readCatalog, type CatalogTable } from './catalog.ts'
import type { Connection, TextRow } from './connection.ts'
import { fitOf, type WriteColumn } from './write-fit.ts'

/** How staged rows get into a table that is there. */
export interface WritePlan {
  readonly table: Ident
  readonly columns: readonly WriteColumn[]
  /** Columns that are not written and take a default. */
  readonly others: readonly string[]
  /** At most one row has a key: a unique index says so. */
  readonly isKeyUnique: boolean
  /** Foreign keys of other tables point here. */
  readonly isReferenced: boolean
  /** With the mode `call`: `table` is the name of one. */
  readonly routine?: 'procedure' | 'function'
}

/** What a plan is made for: the order, who gives it, and how the write is told from others. */
export interface WriteOrder extends WriteTarget {
  /** The source in the config. */
  readonly system: string
}

/** Where the target is, or will be. */
export interface TargetPlace {
  readonly schema: string
  readonly relation: string
}

/** The plan for the target, `null` when it is not there and may be made. Throws `WRITE_TARGET`, `SOURCE_DENIED`. */
export async function planWrite(
  connection: Connection,
  order: WriteOrder,
  signal: AbortSignal,
): Promise<{ readonly place: TargetPlace; readonly plan: WritePlan | null }> {
  const [table] = await readCatalog(connection, { name: order.remote }, signal)
  if (table !== undefined) return { place: table, plan: await planFor(connection, order, table, signal) }
  if (!order.create) throw refused(order, 'it is not there')
  return { place: await newPlace(connection, order, signal), plan: null }
}

/** `WRITE_TARGET`, with what is wrong. */
export function refused({ system, remote }: Pick<WriteOrder, 'system' | 'remote'>, problem: string): Error {
  return fail('WRITE_TARGET', { system, table: remote, problem })
}

/** The columns of a target that will be made: only its key says no to a value. */
export function newColumns({ columns, key }: WriteOrder): readonly WriteColumn[] {
  return columns.map(({ name, type, nullable }) => {
    const native = postgresDialect.type(type)
    return { name, type, native, isChecked: false, notNull: nullable && key.includes(name) }
  })
}

/** The statement that makes the target. */
export function createTarget({ columns, key }: WriteOrder, { schema, relation }: TargetPlace): Sql {
  const list = columns.map(column => columnDefinition(column, column.nullable && !key.includes(column.name)))
  const primary = key.length === 0 ? [] : [sql`primary key (${joinSql(key.map(name => ident(name)))})`]
  return sql`create table ${ident(schema, relation)} (${joinSql([...list, ...primary])})`
}

/** A column of a new table. */
export function columnDefinition({ name, type }: ColumnDef, isNullable: boolean): Sql {
  return sql`${ident(name)} ${rawSql(postgresDialect.type(type))} ${rawSql(isNullable ? '' : 'not null')}`
}

/** The columns of the table as text: rows that were staged for one shape must not go into another. */
export function shapeText(plan: WritePlan | null): string {
  return plan === null ? 'new' : plan.columns.map(it => `${it.name} ${it.native} ${it.notNull}`).join(', ')
}

async function newPlace(connection: Connection, order: WriteOrder, signal: AbortSignal): Promise<TargetPlace> {
  const dot = order.remote.indexOf('.')
  const place = dot < 0 ? ['public', order.remote] : [order.remote.slice(0, dot), order.remote.slice(dot + 1)]
  const [schema, relation] = place as [string, string]
  if (relation === '') throw refused(order, 'its name is empty')
  const found = await connection.query(sql`select 1 from pg_namespace where nspname = ${schema}`, signal)
  if (found.length === 0) throw refused(order, `there is no schema "${schema}" to make it in`)
  return { schema, relation }
}

async function planFor(
  connection: Connection,
  order: WriteOrder,
  table: CatalogTable,
  signal: AbortSignal,
): Promise<WritePlan> {
  const facts = await readFacts(connection, table, signal)
  if (!facts.isTable) throw refused(order, 'it is a view or a foreign table; rows are written to tables')
  checkRights(order, facts)
  const columns = order.columns.map(def => writeColumn(order, def, table, facts))
  for (const name of order.key) {
    if (!columns.some(column => column.name === name))
      throw refused(order, `its key "${name}" is not among the columns`)
  }
  const others = [...facts.columns].filter(
    ([name, it]) => !it.isGenerated && !columns.some(column => column.name === name),
  )
  if (addsRows(order)) {
    const missing = others.filter(([, it]) => it.notNull && !it.hasDefault).map(([name]) => `"${name}"`)
    if (missing.length > 0) throw refused(order, `${missing.join(', ')} must have a value and has no default`)
  }
  const isKeyUnique = await hasUniqueKey(connection, table, order.key, signal)
  const plan = {
    table: ident(table.schema, table.relation),
    columns,
    others: others.map(([name]) => name),
    isKeyUnique,
    isReferenced: facts.isReferenced,
  }
  if (order.mode === 'replace' && plan.isReferenced && !isKeyUnique) {
    throw refused(order, 'other tables refer to its rows, and no unique index over the key tells which rows stay')
  }
  return plan
}

function addsRows({ mode }: WriteTarget): boolean {
  return mode === 'insert' || mode === 'upsert' || mode === 'replace'
}

function writeColumn(order: WriteOrder, def: ColumnDef, table: CatalogTable, facts: TableFacts): WriteColumn {
  const found = table.columns.find(column => column.name === def.name)
  const fact = facts.columns.get(def.name)
  if (found === undefined || fact === undefined) throw refused(order, `it has no column "${def.name}"`)
  if (fact.isGenerated) throw refused(order, `column "${def.name}" is computed by the database`)
  const fit = fitOf(def, found)
  if (typeof fit === 'object') throw refused(order, fit.why)
  const isKey = order.key.includes(def.name) && order.mode !== 'insert' && order.mode !== 'replace'
  const notNull = (fact.notNull || isKey) && def.nullable
  return { name: def.name, type: def.type, native: found.nativeType, isChecked: fit === 'checked', notNull }
}

interface ColumnFacts {
  readonly notNull: boolean
  readonly hasDefault: boolean
  readonly isGenerated: boolean
  readonly mayInsert: boolean
  readonly mayUpdate: boolean
}

interface TableFacts {
  readonly isTable: boolean
  readonly mayDelete: boolean
  readonly isReferenced: boolean
  readonly columns: ReadonlyMap<string, ColumnFacts>
}

async function readFacts(connection: Connection, { oid }: CatalogTable, signal: AbortSignal): Promise<TableFacts> {
  const rows = await connection.query(
    sql`
    select c.relkind in ('r', 'p'), has_table_privilege(c.oid, 'delete'),
      exists (select 1 from pg_constraint f where f.contype = 'f' and f.confrelid = c.oid and f.conrelid <> c.oid),
      a.attname, a.attnotnull, a.atthasdef or a.attidentity <> '', a.attgenerated <> '',
      has_column_privilege(c.oid, a.attnum, 'insert'), has_column_privilege(c.oid, a.attnum, 'update')
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.oid = ${oid}`,
    signal,
  )
  const [isTable, mayDelete, isReferenced] = (rows[0] as TextRow).map(value => value === 't')
  const columns = rows.map(([, , , name, ...facts]): [string, ColumnFacts] => {
    const [notNull, hasDefault, isGenerated, mayInsert, mayUpdate] = facts.map(value => value === 't')
    return [name as string, { notNull, hasDefault, isGenerated, mayInsert, mayUpdate } as ColumnFacts]
  })
  return { isTable, mayDelete, isReferenced, columns: new Map(columns) } as TableFacts
}

/** Said before a row is sent, not after all of them. */
function checkRights(order: WriteOrder, facts: TableFacts): void {
  const lacking: string[] = []
  const all = (right: 'mayInsert' | 'mayUpdate', names: readonly string[]): boolean =>
    names.every(name => facts.columns.get(name)?.[right] !== false)
  const names = order.columns.map(column => column.name)
  const changed = names.filter(name => !order.key.includes(name))
  if (addsRows(order) && !all('mayInsert', names)) lacking.push('INSERT')
  if ((order.mode === 'update' || order.mode === 'upsert') && !all('mayUpdate', changed)) lacking.push('UPDATE')
  if ((order.mode === 'delete' || order.mode === 'replace') && !facts.mayDelete) lacking.push('DELETE')
  if (lacking.length === 0) return
  const problem = `the account has no ${lacking.join(' and no ')} privilege`
  throw fail('SOURCE_DENIED', { source: order.system, object: `table "${order.remote}"`, problem })
}

async function hasUniqueKey(
  connection: Connection,
  { oid }: CatalogTable,
  key: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  if (key.length === 0) return false
  const names = joinSql(key.map(name => sql`${name}`))
  const found = await connection.query(
    sql`
    select 1 from pg_index i
    where i.indrelid = ${oid} and i.indisunique and i.indisvalid and i.indimmediate
      and i.indpred is null and i.indexprs is null
      and (select bool_and(a.attname::text in (${names}))
        from unnest(i.indkey::int2[]) with ordinality k(attnum, place)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where k.place <= i.indnkeyatts)
    limit 1`,
    signal,
  )
  return found.length > 0
}

/** The order in one line: a stage belongs to one. */
export function orderText({ remote, mode, key, columns }: WriteOrder): string {
  return JSON.stringify([remote, mode, key, columns.map(({ name, type }) => [name, typeText(type)])])
}
