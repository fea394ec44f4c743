import { fail } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, renderSql, sql, type Sql } from '../../../core/sql.ts'
import type { EngineOpening, MaskedTable } from '../contract.ts'
import { postgresEngineDialect } from './dialect.ts'
import { LIBRARY } from './library.ts'
import { send, type Session } from './session.ts'

type People = Extract<EngineOpening, { access: 'people' }>

/** Schemas whose tables people may ask about. Everything else of the database is not theirs to read. */
const shown = ['staging', 'cleansed', 'ods', 'export', 'dw', 'mart', 'naru']
/** What tells which tables there are. */
const catalog = ['information_schema']
const QUERY = 'naru_query'

/**
 * Puts views in front of the tables, under the same schemas and names, with masked columns as `***`: in a transaction
 * that is never committed, so that nobody else sees them. The query is parsed by the server as a view of its own, and is
 * run only when everything that it reads and calls is among what people may use. Gives the statement to read.
 */
export async function openPeople(session: Session, query: Sql, given: People, signal: AbortSignal): Promise<Sql> {
  const run = (statement: Sql): Promise<unknown> => send(session, statement, signal)
  const tables = await tablesOf(session, signal)
  const hiding = `naru_hidden_${Buffer.from(session.site.env.random.bytes(12)).toString('hex')}`
  for (const schema of new Set(tables.map(it => it.schema))) {
    const hidden = `${hiding}_${schema}`
    await run(sql`alter schema ${ident(schema)} rename to ${ident(hidden)}`)
    await run(sql`create schema ${ident(schema)}`)
  }
  for (const table of tables) {
    const isKnown = given.masked.some(it => it.schema === table.schema && it.table === table.name)
    if (given.closed.includes(table.schema) && !isKnown) continue
    const columns = maskedColumns(table, given.masked)
    await run(sql`
      create view ${ident(table.schema, table.name)} as
      select ${columns} from ${ident(`${hiding}_${table.schema}`, table.name)}`)
  }
  const text = renderSql(query, postgresEngineDialect).text
  // Alone in its message, so that a text of two statements is an error; a view takes nothing but a SELECT.
  await send(session, rawSql(`create temporary view ${QUERY} as ${text}`), signal, { single: true })
  await refuseForeign(session, signal)
  return sql`select * from ${ident('temp', QUERY)}`
}

interface ShownTable {
  readonly schema: string
  readonly name: string
  readonly columns: readonly string[]
}

async function tablesOf(session: Session, signal: AbortSignal): Promise<readonly ShownTable[]> {
  const schemas = joinSql(shown.map(schema => sql`${schema}`))
  const { rows } = await send(
    session,
    sql`select n.nspname, c.relname, json_agg(a.attname order by a.attnum)::text
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where n.nspname in (${schemas}) and c.relkind in ('r', 'v', 'm', 'p') group by 1, 2 order by 1, 2`,
    signal,
  )
  return rows.map(([schema, name, columns]) => ({
    schema: schema as string,
    name: name as string,
    columns: JSON.parse(columns as string) as readonly string[],
  }))
}

function maskedColumns(table: ShownTable, masked: readonly MaskedTable[]): Sql {
  const hidden = new Set(
    masked.filter(it => it.schema === table.schema && it.table === table.name).flatMap(it => it.columns),
  )
  return joinSql(
    table.columns.map(column =>
      hidden.has(column)
        ? sql`case when ${ident(column)} is not null then '***' end as ${ident(column)}`
        : sql`${ident(column)}`,
    ),
  )
}

/**
 * Looks at what the server made of the query: the relations that it names, and every function and operator, by their
 * numbers in the stored tree. Functions that change something or read beside the query are volatile there; the few
 * stable ones that read tables by their names are refused by name. Throws `SQL_NOT_ALLOWED`.
 */
async function refuseForeign(session: Session, signal: AbortSignal): Promise<void> {
  const allowed = joinSql([...shown, ...catalog].map(schema => sql`${schema}`))
  const rule = sql`(select oid, ev_action::text as tree from pg_rewrite where ev_class = to_regclass(${`pg_temp.${QUERY}`}))`
  const { rows } = await send(
    session,
    sql`with rule as materialized ${rule},
      called as (
        select cast(m[1] as oid) as id from rule, regexp_matches(tree,
          ':(?:funcid|opfuncid|aggfnoid|winfnoid|aggtransfn|inputfunc|castfunc) (\\d+)', 'g') m
        union select o.oprcode from rule, regexp_matches(tree, ':opno (\\d+)', 'g') m join pg_operator o on o.oid = cast(m[1] as oid))
      select 'the table ' || c.oid::regclass as what from rule, regexp_matches(tree, ':relid (\\d+)', 'g') m
        join pg_class c on c.oid = cast(m[1] as oid) join pg_namespace n on n.oid = c.relnamespace
      where n.nspname not in (${allowed})
      union all
      select 'the function ' || p.proname from called join pg_proc p on p.oid = called.id join pg_namespace n on n.oid = p.pronamespace
      where p.provolatile = 'v' or n.nspname not in ('pg_catalog', ${LIBRARY})
        or p.proname ~ '(_to_xml|_to_xmlschema|_to_xml_and_xmlschema)$' or p.proname in ('current_setting', 'pg_get_viewdef')
      limit 1`,
    signal,
  )
  const [found] = rows
  if (found !== undefined) throw fail('SQL_NOT_ALLOWED', { why: `${found[0]} may not stand in it` })
}
