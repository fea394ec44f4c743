import { messageOf, systemCodeOf } from '../../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Sql } from '../../../../core/sql.ts'
import type { CapturedTable, CaptureProblem } from '../../contract-capture.ts'
import type { CatalogTable } from '../catalog.ts'
import { CONDITION_VERSION_MIN, type Inspected, type Publication } from './publication.ts'
import { columnsHeld, identityColumns } from './replica-identity.ts'
import { sourceIdent } from '../source-name.ts'
import { statement } from './setup.ts'

const DENIED = '42501'

/** What stands in the way of publishing only rows for which the condition of a table holds. */
export async function conditionProblems(
  given: Inspected,
  of: { readonly table: CapturedTable; readonly found: CatalogTable; readonly publication: Publication | null },
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const { table, found, publication } = of
  const { name, where } = table
  const isTheirs = publication !== null && publication.ours === null
  const filter = publication?.tables.get(String(found.oid))?.filter
  const say = (text: string, fix: string, isFatal = true): CaptureProblem[] => [{ table: name, text, fix, isFatal }]
  if (where === undefined) {
    if (!isTheirs || filter == null) return []
    const text = `the publication "${given.settings.publication}" gives a part of its rows: a first load, a resync and comparisons take all of them`
    return say(text, `Write the same condition into the config of the source: where: { ${name}: '…' }`, false)
  }
  if (given.connection.version < CONDITION_VERSION_MIN) {
    return say(
      'publications have no conditions before PostgreSQL 15',
      'Leave its condition (where) out, or use another technique.',
    )
  }
  const wrong = await refusal(given, { table, over: sql`${sourceIdent(table.remote)}` }, signal)
  if (wrong?.code === DENIED) return say(`its condition cannot be tried: ${wrong.text}`, grantOf(given, table))
  if (wrong !== null)
    return say(`the condition ${where} is wrong: ${wrong.text}`, 'Correct it in the config (`where`).')
  const unheld = await identityProblem(given, table, signal)
  if (!isTheirs || filter !== null) return unheld
  const text = `the publication "${given.settings.publication}" gives all of its rows, and the config only those where ${where}`
  const give = unheld.length > 0 ? null : await giveCondition(given, { found, publication, where }, signal)
  const other = 'leave `where` out'
  if (unheld.length > 0)
    return [...unheld, ...say(text, `Mend its replica identity, then give it that condition there; or ${other}.`)]
  return say(
    text,
    `As its owner, ${give ?? 'give the table that condition there'}${give === null ? ',' : ''} or ${other}.`,
  )
}

function grantOf({ user }: Inspected, { remote }: CapturedTable): string {
  return statement(sql`grant select on ${sourceIdent(remote)} to ${ident(user)}`)
}

/**
 * Once it is published with a condition on other columns than those of its identity, a table refuses every update and delete of its own
 * application. The condition is planned over those columns alone, and nothing is read.
 */
async function identityProblem(
  given: Inspected,
  table: CapturedTable,
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const target = sourceIdent(table.remote)
  const [schema, relation] = target.path as readonly [string, string]
  const [row] = await given.connection.query(
    sql`select ${identityColumns} from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = ${schema} and c.relname = ${relation}`,
    signal,
  )
  const names = columnsHeld(row?.[0])
  // It has all columns, or none: that is told of the table, whatever its condition.
  if (names.length === 0) return []
  // By the name of the table, which the condition may put before its columns.
  const over = sql`(select ${joinSql(names.map(it => ident(it)))} from ${target} limit 0) as ${ident(relation)}`
  if ((await refusal(given, { table, over }, signal)) === null) return []
  const text = `the condition ${table.where ?? 'true'} needs columns that its replica identity (${names.join(', ')}) does not hold: published with it, the server would refuse every update and delete of the table`
  return [{ table: table.name, text, fix: statement(sql`alter table ${target} replica identity full`), isFatal: true }]
}

/** Why the server does not take the condition over these columns; `null` when it does. It is planned, and nothing is read. */
async function refusal(
  { connection }: Inspected,
  { table, over }: { readonly table: CapturedTable; readonly over: Sql },
  signal: AbortSignal,
): Promise<{ readonly code: string; readonly text: string } | null> {
  try {
    await connection.query(sql`explain select 1 from ${over} where (${rawSql(table.where ?? 'true')})`, signal)
    return null
  } catch (error) {
    const code = systemCodeOf(error) ?? ''
    if (!/^(42|22)/.test(code)) throw error
    return { code, text: messageOf(error) }
  }
}

/**
 * Gives one table of a publication its condition and leaves everything else there as it is. `null` where that cannot be said: it
 * has the table by its schema, or has all tables.
 */
async function giveCondition(
  { connection, settings }: Inspected,
  given: { readonly found: CatalogTable; readonly publication: Publication; readonly where: string },
  signal: AbortSignal,
): Promise<string | null> {
  const oid = String(given.found.oid)
  const publication = String(given.publication.oid)
  const rows = await connection.query(
    sql`select r.prrelid, n.nspname, c.relname, pg_get_expr(r.prqual, r.prrelid),
        (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
          where a.attrelid = c.oid and a.attnum = any(r.prattrs::int2[]))
      from pg_publication_rel r join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
      where r.prpubid = ${publication}::oid
        and not exists (select from pg_publication_namespace s where s.pnpubid = r.prpubid)
      order by n.nspname, c.relname`,
    signal,
  )
  if (!rows.some(it => it[0] === oid)) return null
  const tables = rows.map(([id, schema, relation, condition, columns]) => {
    const where = id === oid ? given.where : condition
    const list = columns == null ? sql`` : rawSql(` (${columns})`)
    const only = where == null ? sql`` : rawSql(` where (${where})`)
    return sql`${ident(schema as string, relation as string)}${list}${only}`
  })
  return statement(sql`alter publication ${ident(settings.publication)} set table ${joinSql(tables)}`)
}
