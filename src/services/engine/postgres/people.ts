import { ident, joinSql, rawSql, renderSql, sql, type Sql } from '../../../core/sql.ts'
import type { MaskedTable, PeopleView } from '../contract.ts'
import { postgresEngineDialect } from './dialect.ts'
import { refuseForeign, type UsedRelation } from './people-rules.ts'
import { send, type Session } from './session.ts'

/** Schemas whose tables people may ask about. Everything else of the database is not theirs to read. */
const shown = ['staging', 'cleansed', 'ods', 'export', 'dw', 'mart', 'naru']
const QUERY = 'naru_query'
/** Number of the lock under which a query is prepared, one at a time and for milliseconds: "narq" in ASCII. */
const PREPARING_LOCK = 0x6e_61_72_71

/**
 * Makes of a person's query one in which the names of tables mean their masked rows. The server itself does it, in a
 * short transaction that is rolled back: schemas of the same names hold empty stand-ins, the query becomes a view over
 * them, everything that it uses is looked at, and the server prints it with the stand-ins under names that nobody can
 * know. These are then common table expressions over the real tables. No table is locked meanwhile. Throws
 * `SQL_NOT_ALLOWED`.
 */
export async function maskedQuery(session: Session, query: Sql, given: PeopleView, signal: AbortSignal): Promise<Sql> {
  const run = (statement: Sql): ReturnType<typeof send> => send(session, statement, signal)
  await run(sql`begin isolation level read committed read write`)
  await run(sql`select pg_advisory_xact_lock(${PREPARING_LOCK})`)
  const tables = (await tablesOf(session, signal)).filter(table => isOpen(table, given))
  const secret = `naru_${Buffer.from(session.site.env.random.bytes(12)).toString('hex')}`
  await run(standIns(tables, secret))
  const { text } = renderSql(query, postgresEngineDialect)
  // Alone in its message, so that a text of two statements is an error; a view takes nothing but a SELECT.
  await send(session, rawSql(`create temporary view ${QUERY} as ${text}`), signal, { single: true })
  const used = await refuseForeign(session, { view: QUERY, schemas: shown, signal })
  const named = used.map((relation, i) => ({ relation, name: `${secret}_${i}` }))
  const printed = await print(session, named, signal)
  await run(sql`rollback`)
  if (named.length === 0) return rawSql(printed)
  const masked = named.map(({ relation, name }) => {
    const table = tables.find(it => it.schema === relation.schema && it.name === relation.name) as ShownTable
    const columns = maskedColumns(table, given.masked)
    return sql`${ident(name)} as not materialized (select ${columns} from ${ident(table.schema, table.name)})`
  })
  return sql`with ${joinSql(masked)} select * from (${rawSql(printed)}) as ${ident(QUERY)}`
}

interface ShownTable {
  readonly schema: string
  readonly name: string
  readonly columns: readonly { readonly name: string; readonly type: string }[]
}

/** A table that left the config has nobody to say what is personal in it. */
function isOpen({ schema, name }: ShownTable, { closed, masked }: PeopleView): boolean {
  return !closed.includes(schema) || masked.some(it => it.schema === schema && it.table === name)
}

/** Tables and views by the catalog alone: looking at them would wait for a run that makes one anew. */
async function tablesOf(session: Session, signal: AbortSignal): Promise<readonly ShownTable[]> {
  const schemas = joinSql(shown.map(schema => sql`${schema}`))
  const { rows } = await send(
    session,
    // The row type of a table of ours is no type of the stand-ins.
    sql`select n.nspname, c.relname, json_agg(json_build_object('name', a.attname, 'type',
          case when tn.nspname in (${schemas}) then 'text' else format_type(a.atttypid, a.atttypmod) end) order by a.attnum)::text
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        join pg_type t on t.oid = a.atttypid join pg_namespace tn on tn.oid = t.typnamespace
      where n.nspname in (${schemas}) and c.relkind in ('r', 'v', 'm', 'p') group by 1, 2 order by 1, 2`,
    signal,
  )
  return rows.map(([schema, name, columns]) => ({
    schema: schema as string,
    name: name as string,
    columns: JSON.parse(columns as string) as ShownTable['columns'],
  }))
}

/** Every schema aside, and one of the same name with an empty view for each table: all in one message. */
function standIns(tables: readonly ShownTable[], secret: string): Sql {
  const aside = [...new Set(tables.map(it => it.schema))].toSorted().map(
    schema => sql`alter schema ${ident(schema)} rename to ${ident(`${secret}_${schema}`)};
      create schema ${ident(schema)}`,
  )
  const views = tables.map(({ schema, name, columns }) => {
    const typed = columns.map(column => sql`cast(${null} as ${rawSql(column.type)}) as ${ident(column.name)}`)
    return sql`create view ${ident(schema, name)} as select ${joinSql(typed)}`
  })
  return joinSql([...aside, ...views, sql`select 1`], ';\n')
}

/** The text of the query by the server, in which each stand-in has the name that is given to it. */
async function print(
  session: Session,
  named: readonly { readonly relation: UsedRelation; readonly name: string }[],
  signal: AbortSignal,
): Promise<string> {
  for (const { relation, name } of named) {
    await send(session, sql`alter view ${ident(relation.schema, relation.name)} rename to ${ident(name)}`, signal)
  }
  // Printed without their schemas are the names that are found without them.
  const path = ['public', ...new Set(named.map(it => it.relation.schema))]
  await send(session, sql`set local search_path to ${joinSql(path.map(schema => ident(schema)))}`, signal)
  const { rows } = await send(session, sql`select pg_get_viewdef(to_regclass(${`pg_temp.${QUERY}`}))`, signal)
  const text = String(rows[0]?.[0]).trim().replace(/;$/, '')
  // A whole row in a SELECT list is printed with the type of its stand-in.
  return named.reduce((printed, { name }) => printed.replace(new RegExp(`::${name}\\b`, 'g'), '::record'), text)
}

function maskedColumns(table: ShownTable, masked: readonly MaskedTable[]): Sql {
  const hidden = new Set(
    masked.filter(it => it.schema === table.schema && it.table === table.name).flatMap(it => it.columns),
  )
  return joinSql(
    table.columns.map(({ name }) =>
      hidden.has(name)
        ? sql`case when ${ident(name)} is not null then '***' end as ${ident(name)}`
        : sql`${ident(name)}`,
    ),
  )
}
