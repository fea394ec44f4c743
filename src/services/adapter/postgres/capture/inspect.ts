import { ident, sql } from '../../../../core/sql.ts'
import { typeText } from '../../../../core/types.ts'
import type { CapturedTable, CaptureProblem } from '../../contract-capture.ts'
import { readProblems } from '../privileges.ts'
import { readCatalog, type CatalogTable } from '../catalog.ts'
import type { Connection, TextRow } from '../connection.ts'
import type { LogSettings } from './settings.ts'
import { addToPublication, createPublication, publicationMark, statement, tableIdent } from './setup.ts'

/** What is looked at: catalogs and settings, never a row. */
export interface Inspected {
  readonly connection: Connection
  readonly settings: LogSettings
  readonly user: string
}

/** What the source lacks for these tables. */
export async function inspectLog(
  given: Inspected,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const problems = [...(await inspectServer(given, signal))]
  const unseen = await readProblems(given.connection, given, tables, signal)
  problems.push(...unseen)
  if (unseen.some(it => it.fix.includes(' schema '))) return problems
  const publication = await readPublication(given, signal)
  const missing: string[] = []
  for (const table of tables) {
    const [found] = await readCatalog(given.connection, { name: table.remote }, signal)
    if (found === undefined) {
      problems.push(
        fatal(
          table.name,
          `there is no table "${table.remote}", or the account may not see it`,
          `Correct its name, or: ${statement(sql`grant select on ${tableIdent(table.remote)} to ${ident(given.user)}`)}`,
        ),
      )
      continue
    }
    problems.push(...(await inspectTable(given, table, found, signal)))
    if (publication !== null && !publication.isAll && !publication.tables.has(String(found.oid)))
      missing.push(table.remote)
    if (!(await mayPublish(given, found, publication, signal))) {
      const make =
        publication === null
          ? createPublication(
              given.settings,
              tables.map(it => it.remote),
              0,
            )
          : addToPublication(given.settings, [table.remote])
      problems.push(
        fatal(
          table.name,
          `it is not in the publication "${given.settings.publication}", and the account may not put it there (it owns neither)`,
          `As its owner: ${statement(make)}`,
        ),
      )
    }
  }
  return problems
}

/** A publication as it is. */
export interface Publication {
  readonly oid: string
  readonly isOurs: boolean
  readonly isAll: boolean
  readonly owns: boolean
  /** Object ids of the tables in it; of partitions their table counts. */
  readonly tables: ReadonlySet<string>
}

export async function readPublication(
  { connection, settings }: Pick<Inspected, 'connection' | 'settings'>,
  signal: AbortSignal | undefined,
): Promise<Publication | null> {
  const [row] = await connection.query(
    sql`select oid, puballtables, coalesce(obj_description(oid, 'pg_publication'), '') = ${publicationMark},
      pg_has_role(pubowner, 'usage') from pg_publication where pubname = ${settings.publication}`,
    signal,
  )
  if (row === undefined) return null
  const tables = await connection.query(
    sql`select format('%I.%I', schemaname, tablename)::regclass::oid from pg_publication_tables where pubname = ${settings.publication}`,
    signal,
  )
  return {
    oid: row[0] as string,
    isAll: row[1] === 't',
    isOurs: row[2] === 't',
    owns: row[3] === 't',
    tables: new Set(tables.map(it => it[0] as string)),
  }
}

async function mayPublish(
  { connection }: Inspected,
  table: CatalogTable,
  publication: Publication | null,
  signal: AbortSignal,
): Promise<boolean> {
  if (publication !== null && (publication.isAll || publication.tables.has(String(table.oid)))) return true
  if (publication !== null && !publication.owns) return false
  const [row] = await connection.query(
    sql`select pg_has_role(relowner, 'usage') and (${publication !== null} or has_database_privilege(current_database(), 'create'))
      from pg_class where oid = ${table.oid}::oid`,
    signal,
  )
  return row?.[0] === 't'
}

async function inspectServer(
  { connection, settings, user }: Inspected,
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const [row] = await connection.query(
    sql`select current_setting('wal_level'), rolsuper or rolreplication,
      current_setting('max_replication_slots')::int - (select count(*) from pg_replication_slots),
      (select count(*) from pg_replication_slots where slot_name = ${settings.slot}),
      current_setting('max_wal_senders')::int,
      current_setting('max_slot_wal_keep_size'),
      (select plugin || ' in ' || coalesce(database, 'no database') from pg_replication_slots where slot_name = ${settings.slot}
        and (plugin is distinct from 'pgoutput' or database is distinct from current_database()))
      from pg_roles where rolname = current_user`,
    signal,
  )
  const [level, mayReplicate, free, isThere, senders, keep, foreign] = row as TextRow
  const problems: CaptureProblem[] = []
  if (level !== 'logical') {
    problems.push(
      fatal(
        null,
        `wal_level is ${level}: the log does not hold what a reader of rows needs`,
        `alter system set wal_level = 'logical'; then restart the server.`,
      ),
    )
  }
  if (mayReplicate !== 't') {
    problems.push(
      fatal(
        null,
        `the account "${user}" may not open a replication connection`,
        statement(sql`alter role ${ident(user)} with replication`),
      ),
    )
  }
  if (isThere === '0' && Number(free) <= 0) {
    problems.push(
      fatal(
        null,
        'all replication slots are taken (max_replication_slots)',
        'Drop a slot that nobody reads, or raise max_replication_slots; then restart the server.',
      ),
    )
  }
  if (Number(senders) === 0)
    problems.push(
      fatal(null, 'max_wal_senders is 0', 'alter system set max_wal_senders = 10; then restart the server.'),
    )
  if (foreign != null) {
    problems.push(
      fatal(
        null,
        `the replication slot "${settings.slot}" is another one: ${foreign}`,
        'Name another one in the option `slot`, or drop it.',
      ),
    )
  }
  if (keep === '-1') {
    problems.push({
      table: null,
      text: 'max_slot_wal_keep_size is -1: while nobody reads, the server keeps its log until its disk is full',
      fix: `alter system set max_slot_wal_keep_size = '50GB'; select pg_reload_conf();`,
      isFatal: false,
    })
  }
  return problems
}

async function inspectTable(
  { connection }: Inspected,
  table: CapturedTable,
  found: CatalogTable,
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const [row] = await connection.query(
    sql`select c.relkind, c.relpersistence, c.relreplident, c.relispartition,
      (select string_agg(a.attname, ${'\u001f'}) from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey::int2[])
        where i.indrelid = c.oid and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end),
      (select string_agg(a.attname, ${'\u001f'}) from pg_attribute a where a.attrelid = c.oid and a.attgenerated <> '' and not a.attisdropped)
      from pg_class c where c.oid = ${found.oid}::oid`,
    signal,
  )
  const [kind, persistence, identity, , identityText, generated] = row as TextRow
  const { name } = table
  const target = tableIdent(table.remote)
  if (kind !== 'r' && kind !== 'p')
    return [
      fatal(
        name,
        `"${table.remote}" is ${kinds[kind ?? ''] ?? 'no table'}, whose changes are in no log`,
        'Use the change technique full or timestamp for it.',
      ),
    ]
  if (persistence !== 'p')
    return [
      fatal(
        name,
        `"${table.remote}" is ${persistence === 'u' ? 'unlogged' : 'temporary'}: its changes are in no log`,
        statement(sql`alter table ${target} set logged`),
      ),
    ]
  const problems = identityProblems(table, { identity: identity ?? 'd', columns: identityText?.split('\u001f') ?? [] })
  const asked = (generated?.split('\u001f') ?? []).filter(it => table.columns.some(column => column.name === it))
  if (asked.length > 0 && connection.version < 180_000) {
    problems.push(
      fatal(
        name,
        `the values of generated columns are not in the log: ${asked.join(', ')}`,
        'Leave them out of the configuration and compute them in the entity; PostgreSQL 18 can publish them.',
      ),
    )
  }
  if (kind === 'p') {
    problems.push({
      table: name,
      text: 'rows that go with a partition (drop, detach or truncate of one) are not in the log',
      fix: 'Delete such rows from the table itself, or run `naru resync` after it.',
      isFatal: false,
    })
  }
  const retyped = table.columns.flatMap(column => {
    const now = found.columns.find(it => it.name === column.name)
    return now === undefined || typeText(now.type) === typeText(column.type)
      ? []
      : [`${column.name} is ${typeText(now.type)}`]
  })
  if (retyped.length > 0)
    problems.push({
      table: name,
      text: `types differ from the configuration: ${retyped.join(', ')}`,
      fix: 'Run `naru pull`.',
      isFatal: false,
    })
  return problems
}

const kinds: Readonly<Record<string, string>> = { v: 'a view', m: 'a materialized view', f: 'a foreign table' }

/** Once it is published, a table without an identity refuses every update and delete of its own application. */
function identityProblems(
  { name, remote, key }: CapturedTable,
  { identity, columns }: { readonly identity: string; readonly columns: readonly string[] },
): CaptureProblem[] {
  const full = statement(sql`alter table ${tableIdent(remote)} replica identity full`)
  if (identity === 'f') return []
  if (columns.length === 0) {
    const why = identity === 'n' ? 'its replica identity is nothing' : 'it has no primary key'
    return [
      fatal(
        name,
        `${why}: once it is published the server would refuse every update and delete of it`,
        identity === 'n'
          ? statement(sql`alter table ${tableIdent(remote)} replica identity default`)
          : `Give it a primary key, or: ${full}`,
      ),
    ]
  }
  if (key.length > 0 && key.every(it => columns.includes(it))) return []
  const held = columns.join(', ')
  const problem =
    key.length === 0
      ? `it is an append log, and its replica identity (${held}) leaves the other columns of old rows out of the log`
      : `its replica identity (${held}) does not hold the key of the configuration (${key.join(', ')}): deletes could not be told`
  return [fatal(name, problem, full)]
}

function fatal(table: string | null, text: string, fix: string): CaptureProblem {
  return { table, text, fix, isFatal: true }
}
