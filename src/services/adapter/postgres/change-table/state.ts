import { joinSql, rawSql, renderSql, sql, type Sql } from '../../../../core/sql.ts'
import { postgresDialect } from '../../../../systems/postgres/dialect.ts'
import { keptColumns, type CapturedTable, type CaptureProblem } from '../../contract-capture.ts'
import type { Connection, TextRow } from '../connection.ts'
import { sourceName } from '../source-name.ts'
import { capturedTable, changeName, CAPTURE_SCHEMA, outboxTable, streamTable } from './names.ts'
import { keptOf, type KeptColumn, type SourceForm } from './kept.ts'
import { ownedByOther } from '../../change-owner.ts'
import { regclass, stateOf, type TableTechnique } from './script.ts'

/** What is at the source of a capture. */
export interface StreamState {
  /** Text that names the change table; `null` before the first install. */
  readonly identity: string
  /** What is pruned: a view's text. */
  readonly pruned: string | null
  readonly server: string
}

/**
 * Number of the server's history: a promoted standby, or a server restored to an earlier time, begins another, and its
 * transactions may have numbers that others had.
 */
const serverNumber = rawSql(
  "(select system_identifier from pg_control_system()) || '.' || (select timeline_id from pg_control_checkpoint())",
)

/** `null` when nothing is installed. */
export async function readStream(
  connection: Connection,
  technique: TableTechnique,
  signal: AbortSignal,
): Promise<StreamState | null> {
  if (!(await hasTable(connection, 'naru_stream', signal))) return null
  const [row] = await connection.query(
    sql`select identity, pruned::text, ${serverNumber} from ${streamTable} where technique = ${technique}`,
    signal,
  )
  if (row === undefined) return null
  return { identity: row[0] as string, pruned: row[1] ?? null, server: row[2] as string }
}

/** That the changes of this database are another's, who deletes what it has read; `null` when they are nobody's, or ours. */
export async function ownerProblem(
  connection: Connection,
  technique: TableTechnique,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<CaptureProblem | null> {
  const owner = tables.find(it => it.owner !== undefined)?.owner
  if (owner === undefined || !(await hasTable(connection, 'naru_stream', signal))) return null
  const [row] = await connection.query(sql`select owner from ${streamTable} where technique = ${technique}`, signal)
  const found = row?.[0] ?? null
  if (found === null || found === owner) return null
  const release = sql`update ${streamTable} set owner = null where technique = ${technique}`
  return ownedByOther({ technique, owner: found, take: renderSql(release, postgresDialect).text })
}

/** Makes the changes of this database the owner's, where they are nobody's. */
export async function takeOver(
  connection: Connection,
  technique: TableTechnique,
  [table]: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<void> {
  if (table?.owner === undefined) return
  await connection.query(
    sql`update ${streamTable} set owner = ${table.owner} where technique = ${technique} and owner is null`,
    signal,
  )
}

async function hasTable(connection: Connection, name: string, signal: AbortSignal): Promise<boolean> {
  const [row] = await connection.query(sql`select ${regclass(CAPTURE_SCHEMA, name)} is not null`, signal)
  return row?.[0] === 't'
}

/** A table as it is now, beside what was installed for it. */
export interface TableState {
  readonly table: CapturedTable
  /** There is a table of this name. */
  readonly isThere: boolean
  /** What is wrong with what was installed; `null` when it works as it did. */
  readonly fault: string | null
  /** What its triggers keep. */
  readonly kept: readonly KeptColumn[]
  readonly source: SourceForm
}

/** Looks at every table in one statement. */
export async function readTables(
  connection: Connection,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly TableState[]> {
  const isInstalled = await hasTable(connection, 'naru_captured', signal)
  const asked = tables.map(({ remote }, i) => {
    const { schema, relation } = sourceName(remote)
    return sql`(${i}, ${remote}, ${regclass(schema, relation)}, ${regclass(CAPTURE_SCHEMA, changeName(remote))})`
  })
  const installed = isInstalled
    ? sql`${capturedTable}`
    : sql`(select null::text as remote, null::oid as relation, null::oid as changes, null::text as columns, null::text as state where false)`
  const rows = await connection.query(
    sql`
    select a.oid is not null, c.remote is not null, c.relation = a.oid, c.changes = a.changes, c.columns, c.state = ${stateOf(sql`c.relation`)},
      (select format('%s.%s', n.nspname, r.relname) from pg_class r join pg_namespace n on n.oid = r.relnamespace where r.oid = c.relation),
      (select string_agg(g.tgname, ', ') from pg_trigger g where g.tgrelid = c.relation and g.tgenabled <> 'A' and g.tgname like '0\\_naru\\_%'),
      (select json_agg(json_build_array(t.attname, t.attnum, format_type(t.atttypid, t.atttypmod), t.xmin::text) order by t.attnum)
       from pg_attribute t where t.attrelid = a.oid and t.attnum > 0 and not t.attisdropped),
      (select case when r.relkind = 'p' then ${filesOfParts(sql`r.oid`)} else r.relfilenode::text end from pg_class r where r.oid = a.oid)
    from (values ${joinSql(asked)}) as a(place, remote, oid, changes) left join ${installed} c on c.remote = a.remote
    order by a.place`,
    signal,
  )
  return tables.map((table, i) => stateOfTable(table, rows[i] as TextRow))
}

/** The files of a table whose rows are in parts, in one text that is short however many they are. */
function filesOfParts(relation: Sql): Sql {
  return sql`(
    with recursive parts(oid) as (
      select i.inhrelid from pg_inherits i where i.inhparent = ${relation}
      union select i.inhrelid from parts p join pg_inherits i on i.inhparent = p.oid)
    select md5(string_agg(f.relfilenode::text, ',' order by f.oid)) from parts p join pg_class f on f.oid = p.oid)`
}

function stateOfTable(table: CapturedTable, row: TextRow): TableState {
  const [isThere, isInstalled, isSame, hasChanges, columns, isWhole, nameNow, disabled, found, file] = row
  const fault = (): string | null => {
    if (isThere !== 't' && nameNow == null) return `table "${table.remote}" is gone`
    if (isInstalled !== 't') return `table "${table.remote}" has no triggers of ours`
    if (isThere !== 't') return `table "${table.remote}" is called "${nameNow}" now`
    if (isSame !== 't') return `table "${table.remote}" was made anew, without our triggers`
    if (hasChanges !== 't') return `the change table of "${table.remote}" is gone or was made anew`
    if (disabled != null) return `triggers of table "${table.remote}" are disabled: ${disabled}`
    return isWhole === 't' ? null : `triggers of table "${table.remote}" were dropped, changed, or disabled for a while`
  }
  const names = JSON.parse(found ?? '[]') as readonly (readonly [string, number, string, string])[]
  const source = {
    file: file ?? '',
    columns: names.map(([name, number, type, altered]) => ({ name, number, type, altered })),
  }
  return { table, isThere: isThere === 't', fault: fault(), kept: keptOf(columns ?? ''), source }
}

/** Those of the tables that were never captured, or are not any more. */
export async function withoutTriggers(
  connection: Connection,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CapturedTable[]> {
  if (tables.length === 0) return []
  const rows = await connection.query(sql`select remote from ${capturedTable}`, signal)
  const captured = new Set(rows.map(([remote]) => remote))
  return tables.filter(it => !captured.has(it.remote))
}

/** Facts of a table that decide whether triggers can see its changes. */
export async function readObstacles(
  connection: Connection,
  table: CapturedTable,
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const { schema, relation } = sourceName(table.remote)
  const [row] = await connection.query(factsOf(regclass(schema, relation), table), signal)
  const problem = (text: string, fix: string, isFatal: boolean): CaptureProblem => ({
    table: table.name,
    text,
    fix,
    isFatal,
  })
  if (row === undefined)
    return [problem(`there is no table "${table.remote}"`, 'Correct its name in the schema module.', true)]
  const [kind, owned, subscribed, domains, others, parts, clash] = row
  const problems: CaptureProblem[] = []
  const add = (when: boolean, text: string, fix: string, isFatal: boolean): void => {
    if (when) problems.push(problem(text, fix, isFatal))
  }
  add(
    kind !== 'r' && kind !== 'p',
    'it is no table: views have no triggers that see changes',
    "Use the technique 'full'.",
    true,
  )
  add(
    table.key.length === 0,
    'it has no key, so its changes cannot be told apart',
    'Give it a primary key, or name a key in the config.',
    true,
  )
  add(
    owned !== 't',
    'only its owner can make triggers that fire in every session',
    `alter table ${table.remote} owner to …; or make the account a member of the role that owns it. \`naru check --privileges\` prints what the source needs.`,
    true,
  )
  add(
    subscribed === 't',
    'a subscription writes to it, and what it applies fires no statement triggers',
    "Use the technique 'log', or capture it at its publisher.",
    true,
  )
  add(
    domains != null,
    `a domain of its columns takes no NULL, which a truncate is recorded with: ${domains}`,
    "Use the technique 'log', or leave these columns out.",
    true,
  )
  add(clash === 't', 'it has columns whose names begin with naru_', "Rename them, or use the technique 'log'.", true)
  add(
    others != null,
    `other triggers run after each of its rows: ${others}. Where one changes the same row again, the older values come last`,
    "Make such a trigger one that runs BEFORE, or use the technique 'log'.",
    false,
  )
  add(
    parts === 't',
    'it has partitions or children: writes that name one of them directly, and one that is detached, are not seen',
    "Write to the table itself, or use the technique 'log'.",
    false,
  )
  return problems
}

function factsOf(oid: Sql, table: CapturedTable): Sql {
  const names = keptColumns(table)
  return sql`
    select r.relkind, pg_has_role(r.relowner, 'usage'),
      exists (select from pg_subscription_rel s where s.srrelid = r.oid),
      (select string_agg(t.attname, ', ') from pg_attribute t join pg_type y on y.oid = t.atttypid
       where t.attrelid = r.oid and t.attnum > 0 and y.typtype = 'd' and y.typnotnull),
      (select string_agg(g.tgname, ', ') from pg_trigger g where g.tgrelid = r.oid and not g.tgisinternal
       and g.tgenabled <> 'D' and g.tgtype & 3 = 1),
      exists (select from pg_inherits i where i.inhparent = r.oid),
      ${names.some(name => name.startsWith('naru_'))}
    from pg_class r where r.oid = ${oid}`
}

/** True when the outbox is there, and the same as when its log began. */
export async function hasOutbox(connection: Connection, signal: AbortSignal): Promise<boolean> {
  return hasTable(connection, outboxTable.path[1] as string, signal)
}

/** A lock of the session that one stream holds; it is let go when the session ends. */
export function streamLock(technique: TableTechnique): Sql {
  return sql`hashtextextended(${`${CAPTURE_SCHEMA} ${technique}`}, 0)`
}

/** The number of the outbox, which a table made anew does not have; `null` when there is none. */
export async function outboxNumber(connection: Connection, signal: AbortSignal): Promise<string | null> {
  const [row] = await connection.query(sql`select ${regclass(CAPTURE_SCHEMA, outboxTable.path[1] as string)}`, signal)
  return row?.[0] ?? null
}
