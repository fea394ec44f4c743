import type { Env } from '../../../core/env.ts'
import { ident, joinSql, rawSql, renderSql, sql, type Ident, type Sql } from '../../../core/sql.ts'
import { mysqlDialect } from '../../../systems/mysql/dialect.ts'
import type { Advises, AskedTable, ColumnEvidence, SourceEvidence, TableEvidence } from '../contract-advice.ts'
import { accountText } from './capture/inspect.ts'
import { cascadesOf } from './cascades.ts'
import { findTable, type CatalogTable } from './catalog.ts'
import type { Connection } from './connection.ts'
import { duringSession } from './during.ts'
import type { Target } from './target.ts'

/** Rows of a table that are looked at: the first in the order of its key. */
const SAMPLED_ROWS = 20_000

const settingNames = [
  'version',
  'log_bin',
  'binlog_format',
  'binlog_row_image',
  'sync_binlog',
  'innodb_flush_log_at_trx_commit',
  'performance_schema',
  'userstat',
]

/** What the catalogs and counters of a server say about the change techniques. */
export function advises(env: Env, target: Target): Advises {
  return {
    installsNothing: ['log'],
    ownedOptions: ['serverId'],
    evidence: (tables, signal) =>
      duringSession(env, target)('read', signal, connection => evidence({ connection, target }, tables, signal)),
  }
}

interface Asking {
  readonly connection: Connection
  readonly target: Target
}

async function evidence(
  { connection, target }: Asking,
  asked: readonly AskedTable[],
  signal: AbortSignal,
): Promise<SourceEvidence> {
  const names = joinSql(settingNames.map(name => sql`${name}`))
  const rows = await connection.query(sql`show global variables where variable_name in (${names})`, signal)
  const settings = rows.map(([name, value]) => ({ name: name ?? '', value: value ?? '' }))
  const [uptime] = await connection
    .query(
      sql`select timestampdiff(microsecond, timestamp'1970-01-01 00:00:00', sysdate(6)) - variable_value * 1000000
      from information_schema.global_status where variable_name = 'UPTIME'`,
      signal,
    )
    .catch(() => []) // MySQL keeps it elsewhere: then the age of the counters is not known
  const tables: TableEvidence[] = []
  for (const table of asked) {
    const found = await findTable(connection, table.remote, target.database, signal)
    if (found === null) continue
    const has = (setting: string, wanted: string): boolean =>
      settings.find(it => it.name.toLowerCase() === setting)?.value === wanted
    const counting = has('performance_schema', 'ON')
    const isFlushed = has('sync_binlog', '1') && has('innodb_flush_log_at_trx_commit', '1')
    tables.push(await tableEvidence({ connection, counting, isFlushed }, table, found, signal))
  }
  return {
    settings,
    seeTransactions: `grant process on *.* to ${accountText(target)};`,
    countedSinceMicros: uptime?.[0] == null ? null : BigInt(uptime[0].split('.')[0] as string),
    tables,
  }
}

async function tableEvidence(
  {
    connection,
    counting,
    isFlushed,
  }: { readonly connection: Connection; readonly counting: boolean; readonly isFlushed: boolean },
  asked: AskedTable,
  found: CatalogTable,
  signal: AbortSignal,
): Promise<TableEvidence> {
  const { schema, relation } = found
  const at = sql`table_schema = ${schema} and table_name = ${relation}`
  const [row] = await connection.query(
    sql`select table_rows, data_length + index_length, auto_increment from information_schema.tables where ${at}`,
    signal,
  )
  const [rows, bytes, next] = row ?? []
  const triggers = await connection.query(
    sql`select trigger_name, action_statement, action_timing, event_manipulation from information_schema.triggers
      where event_object_schema = ${schema} and event_object_table = ${relation} and trigger_name not like 'naru\\_%'`,
    signal,
  )
  const setters = triggers.filter(([, , timing, event]) => timing === 'BEFORE' && event === 'UPDATE')
  const extras = await connection.query(
    sql`select column_name, extra from information_schema.columns where ${at} and extra like '%on update%'`,
    signal,
  )
  const indexed = await connection.query(
    sql`select column_name from information_schema.statistics where ${at} and seq_in_index = 1`,
    signal,
  )
  const cascades = await cascadesOf(connection, found, signal)
  const name = ident(schema, relation)
  const { counters, why } = counting ? await readCounters(connection, found, signal) : { counters: null, why: notOn }
  const sample = found.engine === null ? [] : await sampled(connection, { asked, found, name }, signal)
  return {
    remote: asked.remote,
    rows: rows == null ? null : BigInt(rows),
    bytes: bytes == null ? null : BigInt(bytes),
    counters,
    uncounted: why,
    triggers: triggers.map(([trigger]) => trigger as string),
    notes: [
      ...(found.engine === null
        ? ['it is a view']
        : found.engine === 'InnoDB'
          ? []
          : [`its engine ${found.engine} has no transactions`]),
      ...missingNumbers(rows ?? null, next ?? null),
      ...(cascades.length > 0
        ? [`neither its log nor triggers tell what its foreign keys delete or change (${cascades.join(', ')})`]
        : []),
      ...(isFlushed
        ? []
        : [
            'a crash of its machine may leave rows that its log does not have (set sync_binlog and innodb_flush_log_at_trx_commit to 1)',
          ]),
      'sessions that turn the log off (sql_log_bin = 0) are not seen by it: comparisons find what they did',
    ],
    columns: sample.map(column => ({
      ...column,
      makeIndex: indexed.some(([it]) => it === column.name)
        ? null
        : statement(sql`create index ${ident(`${column.name.slice(0, 50)}_index`)} on ${name} (${ident(column.name)})`),
      setBy:
        extras.find(([it]) => it === column.name)?.[1] ??
        setters.find(([, source]) => sets(source ?? '', column.name))?.[0] ??
        null,
    })),
    addStamp:
      found.engine === null
        ? []
        : [
            statement(
              sql`alter table ${name} add column changed_at timestamp(6) not null default current_timestamp(6) on update current_timestamp(6), add index (changed_at)`,
            ),
          ],
    addKey: statement(sql`alter table ${name} add primary key (…)`),
  }
}

const notOn =
  'the server counts no changes of tables: performance_schema is off (performance_schema = on, then a restart)'

interface Counted {
  readonly counters: TableEvidence['counters']
  readonly why: string | null
}

async function readCounters(
  connection: Connection,
  { schema, relation }: CatalogTable,
  signal: AbortSignal,
): Promise<Counted> {
  try {
    const [row] = await connection.query(
      sql`select count_insert, count_update, count_delete from performance_schema.table_io_waits_summary_by_table
        where object_schema = ${schema} and object_name = ${relation}`,
      signal,
    )
    const [inserts, updates, deletes] = (row ?? ['0', '0', '0']).map(it => BigInt(it ?? '0')) as [
      bigint,
      bigint,
      bigint,
    ]
    return { counters: { inserts, updates, deletes }, why: null }
  } catch {
    // A table of counters that the account may not read is no failure of the source.
    signal.throwIfAborted()
    return { counters: null, why: 'the account may not read the counters (grant select on performance_schema.*)' }
  }
}

/** Numbers that were given and that no row has. */
function missingNumbers(rows: string | null, next: string | null): readonly string[] {
  if (rows === null || next === null) return []
  const missing = BigInt(next) - 1n - BigInt(rows)
  return missing > BigInt(rows) / 20n + 100n
    ? [`about ${missing} numbers of its auto_increment have no row: they were deleted, or rolled back`]
    : []
}

/** True when the text of a trigger gives the column a value. */
function sets(source: string, column: string): boolean {
  const name = column.replaceAll(/[^\w]/g, String.raw`\$&`)
  return new RegExp(`\\bnew\\s*\\.\\s*\`?${name}\`?\\s*:?=`, 'i').test(source)
}

interface Sampling {
  readonly asked: AskedTable
  readonly found: CatalogTable
  readonly name: Ident
}

type Sampled = Pick<ColumnEvidence, 'name' | 'sampled' | 'nulls' | 'distinct' | 'behind' | 'values'>

/** The server does not tell which transaction wrote a row, so nothing is known of the order of writes. */
async function sampled(connection: Connection, given: Sampling, signal: AbortSignal): Promise<readonly Sampled[]> {
  const { asked, found, name } = given
  const isReadable = (column: string): boolean => found.columns.some(it => it.name === column && it.readable)
  const columns: Sampled[] = []
  const limit = rawSql(String(SAMPLED_ROWS))
  for (const column of asked.growing.filter(isReadable)) {
    const value = ident(column)
    const [row] = await connection.query(
      sql`select count(*), count(${value}), count(distinct ${value}) from (select ${value} from ${name} limit ${limit}) s`,
      signal,
    )
    const [all = 0, count = 0, distinct = 0] = (row ?? []).map(Number)
    columns.push({ name: column, sampled: all, nulls: all - count, distinct, behind: null, values: [] })
  }
  for (const column of asked.flags.filter(isReadable)) {
    const rows = await connection.query(flagQuery(sql`${name}`, ident(column), limit), signal)
    const all = rows.reduce((sum, row) => sum + Number(row[1]), 0)
    const nulls = Number(rows.find(row => row[0] === null)?.[1] ?? 0)
    const values = rows.flatMap(row => (row[0] == null ? [] : [[row[0], Number(row[1])] as const]))
    columns.push({
      name: column,
      sampled: all,
      nulls,
      distinct: values.length,
      behind: null,
      values: values.slice(0, 8),
    })
  }
  return columns
}

/** One value more than may be shown: so many values are no flag. */
function flagQuery(name: Sql, value: Ident, limit: Sql): Sql {
  return sql`
    select cast(${value} as char), count(*) from (select ${value} from ${name} limit ${limit}) s
    group by 1 order by 2 desc limit 9`
}

function statement(piece: Sql): string {
  return `${renderSql(piece, mysqlDialect).text};`
}
