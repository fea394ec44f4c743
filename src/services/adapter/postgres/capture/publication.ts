import { sql, type Sql } from '../../../../core/sql.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import { readCatalog } from '../catalog.ts'
import type { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import type { LogSettings } from './settings.ts'
import {
  addToPublication,
  createPublication,
  markPublication,
  notedConditions,
  removeFromPublication,
  type NotedCondition,
} from './setup.ts'
import { lost } from './slot.ts'

/** What is looked at: catalogs and settings, never a row. */
export interface Inspected {
  readonly connection: Connection
  readonly settings: LogSettings
  readonly user: string
}

/** Publications have conditions from here on. */
export const CONDITION_VERSION_MIN = 150_000

/** A publication as it is, without the conditions of its tables. */
export interface Membership {
  readonly oid: string
  readonly isAll: boolean
  readonly owns: boolean
  /** The conditions that we made it with, by table; `null` when somebody else made it. */
  readonly ours: ReadonlyMap<string, NotedCondition> | null
  /** Kinds of changes that it leaves out. */
  readonly leavesOut: readonly string[]
  /** Changes of partitions come as those of their table. */
  readonly isByRoot: boolean
  /**
   * How the table with this object id is in it; `null` when it is not. Another mark than before says that it was out of it, or
   * has another condition.
   */
  markOf(oid: string): string | null
}

/** A publication as it is. */
export interface Publication extends Membership {
  /**
   * Object ids of the tables in it, each with the condition of its rows as the server shows it, `null` for all of them; of
   * partitions their table counts. Empty where all tables are in it.
   */
  readonly tables: ReadonlyMap<string, { readonly filter: string | null }>
}

/** A table that is emptied at once keeps its rows here where that is left out, which is said; without changes of rows nothing is right. */
export function isOfRows(kind: string): boolean {
  return kind !== 'truncate'
}

type Reading = Pick<Inspected, 'connection' | 'settings'>

export async function readPublication(given: Reading, signal: AbortSignal | undefined): Promise<Publication | null> {
  const found = await readMembers(given, { hasConditions: true }, signal)
  if (found === null) return null
  return { ...found.membership, tables: new Map(found.members.map(it => [it[0] as string, { filter: it[2] ?? null }])) }
}

/** The same without the conditions, for looks at any moment: nobody is waited for who holds a table locked. */
export async function readMembership(given: Reading, signal: AbortSignal | undefined): Promise<Membership | null> {
  return (await readMembers(given, { hasConditions: false }, signal))?.membership ?? null
}

type Head = Omit<Membership, 'markOf'>

/** Of each member its object id, its mark and its condition. */
async function readMembers(
  given: Reading,
  asked: { readonly hasConditions: boolean },
  signal: AbortSignal | undefined,
): Promise<{ readonly membership: Membership; readonly members: readonly (readonly (string | null)[])[] } | null> {
  const { connection } = given
  const head = await readHead(given, signal)
  if (head === null) return null
  const { oid, isAll } = head
  const members = isAll ? [] : await connection.query(published(head, connection.version, asked), signal)
  const marks = new Map(members.map(it => [it[0] as string, `${oid} ${it[1]}`]))
  return { membership: { ...head, markOf: table => (isAll ? oid : (marks.get(table) ?? null)) }, members }
}

async function readHead({ connection, settings }: Reading, signal: AbortSignal | undefined): Promise<Head | null> {
  const [row] = await connection.query(
    sql`select oid, puballtables, coalesce(obj_description(oid, 'pg_publication'), ''),
      pg_has_role(pubowner, 'usage'), pubviaroot,
      concat_ws(', ', case when not pubinsert then 'insert' end, case when not pubupdate then 'update' end,
        case when not pubdelete then 'delete' end, case when not pubtruncate then 'truncate' end)
      from pg_publication where pubname = ${settings.publication}`,
    signal,
  )
  if (row === undefined) return null
  return {
    oid: row[0] as string,
    isAll: row[1] === 't',
    ours: notedConditions(row[2] as string),
    owns: row[3] === 't',
    isByRoot: row[4] === 't',
    leavesOut: (row[5] ?? '').split(', ').filter(it => it !== ''),
  }
}

/**
 * Its tables, each with the number of the entry by which it is in it, and its condition where that is asked for. By the catalogs
 * alone: the server's own view, pg_publication_tables, opens each table, so it waits for whoever changes one, and fails when one
 * is dropped meanwhile.
 */
function published(
  { oid, isByRoot }: Pick<Head, 'oid' | 'isByRoot'>,
  version: number,
  { hasConditions }: { readonly hasConditions: boolean },
): Sql {
  const hasMore = version >= CONDITION_VERSION_MIN
  const condition = hasMore && hasConditions ? sql`pg_get_expr(prqual, prrelid)` : sql`null::text`
  const ofSchemas = hasMore
    ? sql`select c.oid, s.oid::text as mark, null::text as condition from pg_publication_namespace s
        join pg_class c on c.relnamespace = s.pnnspid
        where s.pnpubid = ${oid}::oid and c.relkind in ('r', 'p') and c.relpersistence = 'p'`
    : sql`select null::oid as oid, null::text as mark, null::text as condition where false`
  const member = isByRoot
    ? sql`select oid, mark, condition from named
        where not exists (select from part where part.oid = named.oid and top <> named.oid)`
    : sql`select part.oid, max(mark), max(condition) filter (where top = part.oid) from part
        join pg_class c on c.oid = part.oid join named on named.oid = top where c.relkind <> 'p' group by part.oid`
  return sql`
    with recursive in_schemas as (${ofSchemas}),
    named as (select * from in_schemas union all select prrelid, oid::text, ${condition} from pg_publication_rel
      where prpubid = ${oid}::oid and prrelid not in (select oid from in_schemas)),
    part as (select oid, oid as top from named union select i.inhrelid, part.top from part
      join pg_inherits i on i.inhparent = part.oid join pg_class c on c.oid = i.inhrelid and c.relispartition)
    ${member}`
}

/**
 * Makes the publication, or gives ours the tables and conditions that are asked for; true when changes may have passed one of
 * its tables by until now. What happened to a table that was followed while it was not published is nowhere: putting it
 * back would hide that, so it throws `POSITION_LOST`.
 */
export async function publish(
  { connection, settings, target }: Reading & { readonly target: Target },
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<boolean> {
  const found = await readPublication({ connection, settings }, signal)
  if (found === null) {
    // One without its mark would be taken for one that somebody else made.
    await connection.query(sql`begin`, signal)
    await connection.query(createPublication(settings, tables, connection.version), signal)
    await noteConditions({ connection, settings }, { tables, before: new Map() }, signal)
    await connection.query(sql`commit`, signal)
    return true
  }
  if (found.isAll) return false
  const [missing, changed]: CapturedTable[][] = [[], []]
  for (const table of tables) {
    const [{ oid } = {}] = await readCatalog(connection, { name: table.remote }, signal)
    if (oid === undefined) continue
    const problem = publishedFault(settings, found, { table, oid: String(oid) })
    if (problem === null) continue
    if (table.isFollowed === true)
      throw lost(target, `table "${table.name}": ${problem}; its changes are missed since then`)
    missing?.push(table)
    if (found.tables.has(String(oid))) changed?.push(table)
  }
  if (missing === undefined || changed === undefined || missing.length === 0) return false
  await connection.query(sql`begin`, signal)
  for (const { remote } of changed) await connection.query(removeFromPublication(settings, remote), signal)
  await connection.query(addToPublication(settings, missing), signal)
  if (found.ours !== null) await noteConditions({ connection, settings }, { tables, before: found.ours }, signal)
  await connection.query(sql`commit`, signal)
  return true
}

/**
 * Why the publication does not give the table as it is asked for, in words for people; `null` when it does. A condition counts
 * in the server's own words: whoever changed it in between made rows pass by, or come that nobody asked for.
 */
export function publishedFault(
  { publication }: LogSettings,
  { isAll, tables, ours }: Pick<Publication, 'isAll' | 'tables' | 'ours'>,
  { table: { remote, where }, oid }: { readonly table: Pick<CapturedTable, 'remote' | 'where'>; readonly oid: string },
): string | null {
  if (isAll) return null
  const found = tables.get(oid)
  if (found === undefined) return leftIt(publication)
  if (ours === null) return null
  const noted = ours.get(remote)
  const isSame =
    where === undefined
      ? noted === undefined && found.filter === null
      : noted?.where === where && found.filter !== null && (noted.shown ?? found.filter) === found.filter
  if (isSame) return null
  const [asked, given] = [where ?? null, found.filter].map(it =>
    it === null ? 'all of its rows' : `those where ${it}`,
  )
  return `the publication "${publication}" gives ${given} now, and it was asked for ${asked}`
}

/**
 * Why changes of a table have passed by since it had `mark`, in words for people, also when it is in the publication again;
 * `null` when they have not.
 */
export function passedBy(
  { publication }: LogSettings,
  membership: Membership | null,
  { oid, mark, isPartitioned }: { readonly oid: string; readonly mark: string | null; readonly isPartitioned: boolean },
): string | null {
  if (membership === null) return `the publication "${publication}" is gone`
  const now = membership.markOf(oid)
  if (now === null && mark !== null) return leftIt(publication)
  if (now !== mark)
    return `it was taken out of the publication "${publication}" for a while, or was given another condition there`
  if (!isPartitioned || membership.isByRoot) return null
  return `the publication "${publication}" gives its changes as those of its partitions now`
}

function leftIt(publication: string): string {
  return `it left the publication "${publication}", or was made anew`
}

/** Notes which conditions its tables were given, in the config's words and the server's. */
async function noteConditions(
  given: Reading,
  of: { readonly tables: readonly CapturedTable[]; readonly before: ReadonlyMap<string, NotedCondition> },
  signal: AbortSignal,
): Promise<void> {
  const { connection, settings } = given
  const conditions = new Map(of.before)
  const made = await readPublication(given, signal)
  for (const { remote, where } of of.tables) {
    conditions.delete(remote)
    if (where === undefined) continue
    const [table] = await readCatalog(connection, { name: remote }, signal)
    conditions.set(remote, { where, shown: made?.tables.get(String(table?.oid))?.filter ?? null })
  }
  await connection.query(markPublication(settings, conditions), signal)
}
