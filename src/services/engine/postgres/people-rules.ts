import { fail } from '../../../core/errors.ts'
import { joinSql, sql, type Sql } from '../../../core/sql.ts'
import { LIBRARY } from './library.ts'
import { send, type Session } from './session.ts'

/** A table or view that a query names. */
export interface UsedRelation {
  readonly schema: string
  readonly name: string
}

/** What tells which tables there are. Its other views show passwords of foreign servers and the texts of views. */
const catalog = ['tables', 'columns', 'schemata']
/** Functions of the server's own that change and read nothing, although they are called volatile or after the catalog. */
const harmless =
  '^(random|random_normal|clock_timestamp|timeofday|gen_random_uuid|uuidv4|uuidv7|pg_typeof|pg_size_pretty|pg_input_is_valid)$'
/** Functions that read tables by their names, settings, statements of others or definitions, and are called stable. */
const forbidden = '^pg_|_to_xml$|_to_xmlschema$|_to_xml_and_xmlschema$|^(current_setting|ts_stat|ts_rewrite)$'

/**
 * Looks at what the server made of the query, a view: the relations that it names, every function and operator by its
 * number in the stored tree, and whether it locks rows. Gives the relations. Throws `SQL_NOT_ALLOWED`.
 */
export async function refuseForeign(
  session: Session,
  asked: { readonly view: string; readonly schemas: readonly string[]; readonly signal: AbortSignal },
): Promise<readonly UsedRelation[]> {
  const ask = (select: Sql): ReturnType<typeof send> =>
    send(session, sql`with rule as materialized (${treeOf(asked.view)}) ${select}`, asked.signal)
  const [found] = (await ask(foreign(asked.schemas))).rows
  if (found !== undefined) throw fail('SQL_NOT_ALLOWED', { why: `${found[0]} may not stand in it` })
  const { rows } = await ask(sql`
    select distinct n.nspname, c.relname from ${relations} where n.nspname <> 'information_schema' order by 1, 2`)
  return rows.map(([schema, name]) => ({ schema: schema as string, name: name as string }))
}

function treeOf(view: string): Sql {
  return sql`select ev_action::text as tree from pg_rewrite where ev_class = to_regclass(${`pg_temp.${view}`})`
}

const relations = sql`rule, regexp_matches(tree, ':relid (\\d+)', 'g') m
  join pg_class c on c.oid = cast(m[1] as oid) join pg_namespace n on n.oid = c.relnamespace`

const functions = sql`(
  select cast(m[1] as oid) as id from rule, regexp_matches(tree,
    ':(?:funcid|opfuncid|aggfnoid|winfnoid|aggtransfn|inputfunc|castfunc|tsmhandler) (\\d+)', 'g') m
  union select o.oprcode from rule, regexp_matches(tree, ':(?:opno|eqop|sortop) (\\d+)', 'g') m
    join pg_operator o on o.oid = cast(m[1] as oid)) called
  join pg_proc p on p.oid = called.id join pg_namespace n on n.oid = p.pronamespace`

function foreign(schemas: readonly string[]): Sql {
  const list = (names: readonly string[]): Sql => joinSql(names.map(name => sql`${name}`))
  return sql`
    select 'the table ' || n.nspname || '.' || c.relname as what from ${relations}
    where n.nspname not in (${list(schemas)}) and (n.nspname <> 'information_schema' or c.relname not in (${list(catalog)}))
    union all
    select 'the function ' || p.proname from ${functions}
    where n.nspname not in ('pg_catalog', ${LIBRARY})
      or (n.nspname = 'pg_catalog' and p.proname !~ ${harmless} and (p.provolatile = 'v' or p.proname ~ ${forbidden}))
    union all
    select 'FOR UPDATE or another lock of rows' from rule where tree ~ ':hasForUpdate true'
    limit 1`
}
