import { fail } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import { typeText, type ColumnDef } from '../../../core/types.ts'
import type { WriteTarget } from '../contract-writes.ts'
import { findTable, identOf, type Place } from './catalog.ts'
import type { Session } from './session.ts'
import type { Spell, WriteFacts } from './write-facts.ts'

/** The table that is written, and how each value gets into it. */
export interface Found extends Place {
  readonly isThere: boolean
  /** In the order of the batches. */
  readonly columns: readonly FoundColumn[]
}

export interface FoundColumn {
  readonly name: string
  /** Type of the column of the stage: that of the target, so that a value is refused when it comes and not when it is published. */
  readonly native: string
  readonly spell: Spell
  readonly takesNull: boolean
}

/** Names of the two tables of one write, beside its target. */
export interface StageNames {
  readonly rows: Sql
  readonly units: Sql
}

/** Finds the target. Throws `WRITE_TARGET` when it is not there and must be, or the columns do not fit. */
export async function findTarget(
  session: Session,
  facts: WriteFacts,
  wanted: WriteTarget,
  signal: AbortSignal,
): Promise<Found> {
  const refuse = (problem: string): Error =>
    fail('WRITE_TARGET', { system: session.target.source, table: wanted.remote, problem })
  const found = await findColumns(session, facts, wanted, refuse, signal)
  const missing = wanted.key.find(name => !wanted.columns.some(column => column.name === name))
  if (missing !== undefined) throw refuse(`its key "${missing}" is not among the columns that are written`)
  return found
}

async function findColumns(
  session: Session,
  facts: WriteFacts,
  wanted: WriteTarget,
  refuse: (problem: string) => Error,
  signal: AbortSignal,
): Promise<Found> {
  const table = await findTable(session, wanted.remote, signal)
  if (table === null) {
    if (!wanted.create) throw refuse('it is not there')
    const columns = wanted.columns.map(column => newColumn(facts, wanted, column, refuse))
    return { ...placeOf(session, wanted.remote), isThere: false, columns }
  }
  const ask = facts.problemOf(table.schema, table.table)
  const [[problem = null] = []] = await session.query(ask, wanted.remote, signal)
  if (problem !== null) throw refuse(problem)
  const whole = await wholeTypes(session, facts, table.table, signal)
  const columns = wanted.columns.map(column => {
    const found = table.columns.find(it => it.name === column.name)
    if (found === undefined) throw refuse(`it has no column "${column.name}"`)
    const spell = spellFor(facts, column, found.nativeType, refuse)
    const isKey = wanted.key.includes(column.name) && wanted.mode !== 'insert' && wanted.mode !== 'replace'
    const native = whole?.get(column.name) ?? found.nativeType
    return { name: column.name, native, spell, takesNull: found.nullable && !isKey }
  })
  return { schema: table.schema, table: table.table, isThere: true, columns }
}

function newColumn(
  facts: WriteFacts,
  { key }: WriteTarget,
  column: ColumnDef,
  refuse: (problem: string) => Error,
): FoundColumn {
  const isKey = key.includes(column.name)
  const native = (isKey ? facts.keyTypeName(column.type, key.length) : null) ?? facts.typeName(column.type)
  if (native === null) throw refuse(`no type of the system holds every ${typeText(column.type)} of "${column.name}"`)
  return { name: column.name, native, spell: spellFor(facts, column, native, refuse), takesNull: !isKey }
}

function spellFor(
  facts: WriteFacts,
  { name, type }: ColumnDef,
  native: string,
  refuse: (problem: string) => Error,
): Spell {
  const spell = facts.spell(type, native)
  if (typeof spell === 'object') throw refuse(`column "${name}" ${spell.problem}`)
  return spell
}

/** `sales.order` is in the schema `sales` where there are schemas. */
function placeOf({ defaultSchema }: Session, remote: string): Place {
  const dot = remote.indexOf('.')
  if (defaultSchema === null) return { schema: null, table: remote }
  return dot <= 0
    ? { schema: defaultSchema, table: remote }
    : { schema: remote.slice(0, dot), table: remote.slice(dot + 1) }
}

async function wholeTypes(
  { query }: Session,
  facts: WriteFacts,
  table: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string> | null> {
  if (facts.wholeTypes === null) return null
  const rows = await query(facts.wholeTypes(table), table, signal)
  return new Map(rows.map(([name, type]) => [name ?? '', type ?? '']))
}

/** CREATE TABLE of a target that is not there. */
export function createTarget(facts: WriteFacts, found: Found, { key }: WriteTarget): Sql {
  const list = found.columns.map(({ name, native, takesNull }) => definition(sql`${ident(name)}`, native, takesNull))
  const primary = key.length === 0 ? [] : [sql`primary key (${joinSql(key.map(name => ident(name)))})`]
  return sql`create table ${identOf(found)} (${joinSql([...list, ...primary])})${rawSql(facts.tableEnd)}`
}

function definition(name: Sql, native: string, takesNull: boolean): Sql {
  // The system's own spelling of a type.
  return sql`${name} ${rawSql(native)} ${rawSql(takesNull ? 'null' : 'not null')}`
}

export function stageNames({ schema }: Place, id: string): StageNames {
  const [rows, units] = stageTables(id)
  return { rows: sql`${identOf({ schema, table: rows })}`, units: sql`${identOf({ schema, table: units })}` }
}

/** Id of the stage whose units are in the table; `null` for any other table. */
export function idOfUnits(table: string): string | null {
  return /^_naru_(\w{1,32})_units$/.exec(table)?.[1] ?? null
}

function stageTables(id: string): readonly [rows: string, units: string] {
  return [`_naru_${id}`, `_naru_${id}_units`]
}

/** The staged columns are numbered, so that no name clashes with ours. */
export function createStage(facts: WriteFacts, { rows }: StageNames, { columns }: Found): Sql {
  const list = columns.map(({ native }, i) => definition(sql`${ident(`c${i}`)}`, native, true))
  const ours = [sql`${ident('_unit')} bigint not null`, sql`${ident('_row')} bigint not null`]
  return sql`create table ${rows} (${joinSql([...ours, ...list])})${rawSql(facts.tableEnd)}`
}

/** Units by number; 0 is what the stage is for, -1 the mark of a publish. */
export function createUnits(facts: WriteFacts, { units }: StageNames): Sql {
  const text = rawSql(facts.typeName({ kind: 'text' }) ?? 'text')
  return sql`create table if not exists ${units} (unit bigint not null primary key, name ${text} null, row_count bigint not null,
    touched bigint not null)${rawSql(facts.tableEnd)}`
}

/** True for a stage as we make it, which tells when it was touched: any other table of such a name is not ours. */
export async function isStage(session: Session, { schema }: Place, id: string, signal: AbortSignal): Promise<boolean> {
  const [, units] = stageTables(id)
  const { declaredTypes } = session.facts
  const columns = declaredTypes === null ? [] : await session.query(declaredTypes(schema, units), units, signal)
  return columns.some(([, , name]) => name === 'touched')
}

/** Types of the columns of a stage that is there, in their order; `null` when it is not, or not whole. */
export async function stagedTypes(
  session: Session,
  facts: WriteFacts,
  { schema }: Place,
  id: string,
  signal: AbortSignal,
): Promise<readonly string[] | null> {
  const [rows, units] = stageTables(id)
  const { declaredTypes } = session.facts
  if (declaredTypes === null) return null
  const [ofUnits] = await session.query(declaredTypes(schema, units), units, signal)
  if (ofUnits === undefined) return null
  const declared = await session.query(declaredTypes(schema, rows), rows, signal)
  const whole = await wholeTypes(session, facts, rows, signal)
  return declared
    .filter(([, , name]) => /^c\d+$/.test(name ?? ''))
    .map(([, , name, native]) => whole?.get(name ?? '') ?? native ?? '')
}
