import { ident, sql } from '../../../../core/sql.ts'
import { typeText } from '../../../../core/types.ts'
import type { CapturedTable, CaptureProblem } from '../../contract-capture.ts'
import { hiddenRowsProblems, readProblems } from '../privileges.ts'
import { readCatalog, type CatalogTable } from '../catalog.ts'
import type { TextRow } from '../connection.ts'
import { conditionProblems } from './inspect-condition.ts'
import { columnsHeld, identityColumns } from './replica-identity.ts'
import { partFault } from './parts.ts'
import { isOfRows, readPublication, type Inspected, type Publication } from './publication.ts'
import type { LogSettings } from './settings.ts'
import { atPrimary, standbyProblems } from './inspect-standby.ts'
import { sourceIdent } from '../source-name.ts'
import { addToPublication, createPublication, statement } from './setup.ts'

/** What the source lacks for these tables. */
export async function inspectLog(
  given: Inspected,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const problems = [...(await inspectServer(given, signal)), ...(await standbyProblems(given, tables, signal))]
  if (problems.some(it => it.isFatal && it.fix.startsWith(atPrimary))) return problems
  const unseen = await readProblems(given.connection, given, tables, signal)
  problems.push(...unseen)
  if (unseen.some(it => it.fix.includes(' schema '))) return problems
  problems.push(...(await hiddenRowsProblems(given.connection, given, tables, signal)))
  const publication = await readPublication(given, signal)
  if (publication !== null && publication.leavesOut.length > 0) problems.push(leftOut(given.settings, publication))
  const [unpublished, unfit]: [CapturedTable[], CapturedTable[]] = [[], []]
  for (const table of tables) {
    const [found] = await readCatalog(given.connection, { name: table.remote }, signal)
    if (found === undefined) {
      problems.push(
        fatal(
          table.name,
          `there is no table "${table.remote}", or the account may not see it`,
          `Correct its name, or: ${statement(sql`grant select on ${sourceIdent(table.remote)} to ${ident(given.user)}`)}`,
        ),
      )
      continue
    }
    const its = [
      ...(await inspectTable(given, table, { found, publication }, signal)),
      ...(await conditionProblems(given, { table, found, publication }, signal)),
    ]
    problems.push(...its)
    if (table.where !== undefined && its.some(it => it.isFatal)) unfit.push(table)
    if (!(await mayPublish(given, found, publication, signal))) unpublished.push(table)
  }
  return [...problems, ...publishing(given, { tables, unpublished, unfit, isThere: publication !== null })]
}

/** One statement for all tables: a publication is made once. */
function publishing(
  { settings }: Inspected,
  given: {
    readonly tables: readonly CapturedTable[]
    readonly unpublished: readonly CapturedTable[]
    /** Published with their conditions as they are, they might refuse the writes of their own application. */
    readonly unfit: readonly CapturedTable[]
    readonly isThere: boolean
  },
): readonly CaptureProblem[] {
  const { tables, unpublished, unfit, isThere } = given
  const [one, second] = unpublished
  if (one === undefined) return []
  const published = isThere ? unpublished : tables
  const make = isThere ? addToPublication(settings, published) : createPublication(settings, published, 0)
  const first = unfit.filter(it => published.includes(it)).map(it => it.name)
  const names = unpublished.map(it => it.name).join(', ')
  const [which, where] = second === undefined ? ['it is', 'it'] : [`${names} are`, 'them']
  const text = `${which} not in the publication "${settings.publication}", and the account may not put ${where} there (it owns neither)`
  const fix =
    first.length === 0
      ? `As the owner of the tables: ${statement(make)}`
      : `Mend first what is said of ${first.join(', ')}; \`naru check\` has the statement then.`
  return [fatal(second === undefined ? one.name : null, text, fix)]
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
  { connection, settings }: Inspected,
  table: CapturedTable,
  { found, publication }: { readonly found: CatalogTable; readonly publication: Publication | null },
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const [row] = await connection.query(
    sql`select c.relkind, c.relpersistence, c.relreplident, ${identityColumns},
      (select string_agg(a.attname, ${'\u001f'}) from pg_attribute a where a.attrelid = c.oid and a.attgenerated <> '' and not a.attisdropped)
      from pg_class c where c.oid = ${found.oid}::oid`,
    signal,
  )
  const [kind, persistence, identity, columns, generated] = row as TextRow
  const unlogged = unloggedProblem(table, { kind: kind ?? '', persistence: persistence ?? '' })
  if (unlogged !== null) return [unlogged]
  const problems = identityProblems(table, { identity: identity ?? 'd', columns: columnsHeld(columns) })
  const fault = await partFault(connection, table, found.oid, signal)
  if (fault !== null) problems.push(fatal(table.name, fault.text, fault.fix))
  if (connection.version < 180_000) problems.push(...generatedProblems(table, generated?.split('\u001f') ?? []))
  if (kind === 'p') problems.push(...partitionProblems(table.name, { settings, publication }))
  return [...problems, ...typeProblems(table, found)]
}

/** The log has no changes of it at all. */
function unloggedProblem(
  { name, remote }: CapturedTable,
  { kind, persistence }: { readonly kind: string; readonly persistence: string },
): CaptureProblem | null {
  if (kind !== 'r' && kind !== 'p') {
    const text = `"${remote}" is ${kinds[kind] ?? 'no table'}, whose changes are in no log`
    return fatal(name, text, 'Use the change technique full or timestamp for it.')
  }
  if (persistence === 'p') return null
  const text = `"${remote}" is ${persistence === 'u' ? 'unlogged' : 'temporary'}: its changes are in no log`
  return fatal(name, text, statement(sql`alter table ${sourceIdent(remote)} set logged`))
}

/** Before PostgreSQL 18. */
function generatedProblems({ name, columns }: CapturedTable, generated: readonly string[]): readonly CaptureProblem[] {
  const asked = generated.filter(it => columns.some(column => column.name === it))
  if (asked.length === 0) return []
  const text = `the values of generated columns are not in the log: ${asked.join(', ')}`
  const fix = 'Leave them out of the configuration and compute them in the entity; PostgreSQL 18 can publish them.'
  return [fatal(name, text, fix)]
}

function partitionProblems(
  table: string,
  { settings, publication }: { readonly settings: LogSettings; readonly publication: Publication | null },
): readonly CaptureProblem[] {
  const text = 'rows that come or go with a partition (attach, detach, drop or truncate of one) are not in the log'
  const fix = 'Insert and delete such rows in the table itself, or run `naru resync` after it.'
  return [
    ...(publication?.isAll === true && !publication.isByRoot ? [byPartitions(settings, table)] : []),
    { table, text, fix, isFatal: false },
  ]
}

function typeProblems({ name, columns }: CapturedTable, found: CatalogTable): readonly CaptureProblem[] {
  const others = columns.flatMap(column => {
    const now = found.columns.find(it => it.name === column.name)
    const isSame = now === undefined || typeText(now.type) === typeText(column.type)
    return isSame ? [] : [`${column.name} is ${typeText(now.type)}`]
  })
  if (others.length === 0) return []
  const text = `types differ from the configuration: ${others.join(', ')}`
  return [{ table: name, text, fix: 'Run `naru pull`.', isFatal: false }]
}

/** What a publication leaves out nobody else tells. */
function leftOut({ publication: name }: LogSettings, { leavesOut }: Publication): CaptureProblem {
  const text = `the publication "${name}" leaves out changes: ${leavesOut.join(', ')}`
  const fix = statement(sql`alter publication ${ident(name)} set (publish = 'insert, update, delete, truncate')`)
  return { table: null, text, fix, isFatal: leavesOut.some(isOfRows) }
}

function byPartitions({ publication: name }: LogSettings, table: string): CaptureProblem {
  return fatal(
    table,
    `the publication "${name}" gives its changes as those of its partitions`,
    statement(sql`alter publication ${ident(name)} set (publish_via_partition_root = true)`),
  )
}

const kinds: Readonly<Record<string, string>> = { v: 'a view', m: 'a materialized view', f: 'a foreign table' }

/** Once it is published, a table without an identity refuses every update and delete of its own application. */
function identityProblems(
  { name, remote, key }: CapturedTable,
  { identity, columns }: { readonly identity: string; readonly columns: readonly string[] },
): CaptureProblem[] {
  const full = statement(sql`alter table ${sourceIdent(remote)} replica identity full`)
  if (identity === 'f') return []
  if (columns.length === 0) {
    const why = identity === 'n' ? 'its replica identity is nothing' : 'it has no primary key, or a deferrable one'
    return [
      fatal(
        name,
        `${why}: once it is published the server would refuse every update and delete of it`,
        identity === 'n'
          ? statement(sql`alter table ${sourceIdent(remote)} replica identity default`)
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
