import type { Env } from '../../../core/env.ts'
import { ident, joinSql, rawSql, renderSql, sql, type Ident, type Sql } from '../../../core/sql.ts'
import { postgresDialect } from '../../../systems/postgres/dialect.ts'
import type { Advises, AskedTable, ColumnEvidence, SourceEvidence, TableEvidence } from '../contract-advice.ts'
import { readCatalog, type CatalogTable } from './catalog.ts'
import type { Connection, TextRow } from './connection.ts'
import { duringSession } from './during.ts'
import type { Target } from './target.ts'

/** Pages of a table that are looked at, 8 KiB each: a few milliseconds, whatever its size. */
const SAMPLED_PAGES = 400
const SAMPLED_ROWS = 20_000
/** Transactions that may go on at the same time. */
const SIDE_BY_SIDE = 1_000

/** What the catalogs and counters of a server say about the change techniques. */
export function advises(env: Env, target: Target): Advises {
  return {
    installsNothing: [],
    ownedOptions: ['slot', 'publication'],
    evidence: (tables, signal) =>
      duringSession(env, target)('read', signal, connection => evidence(connection, tables, signal)),
  }
}

async function evidence(
  connection: Connection,
  asked: readonly AskedTable[],
  signal: AbortSignal,
): Promise<SourceEvidence> {
  const [server] = await connection.query(
    sql`select current_setting('wal_level'), current_setting('max_slot_wal_keep_size'), current_setting('server_version'),
      (extract(epoch from d.stats_reset) * 1000000)::bigint, current_user
      from pg_stat_database d where datname = current_database()`,
    signal,
  )
  const [level, keep, version, since, user] = server as TextRow
  const tables: TableEvidence[] = []
  for (const table of asked) {
    const [found] = await readCatalog(connection, { name: table.remote }, signal)
    if (found !== undefined) tables.push(await tableEvidence(connection, table, found, signal))
  }
  return {
    settings: [
      { name: 'server_version', value: version ?? '' },
      { name: 'wal_level', value: level ?? '' },
      { name: 'max_slot_wal_keep_size', value: keep ?? '' },
    ],
    seeTransactions: statement(sql`grant pg_read_all_stats to ${ident(user as string)}`),
    countedSinceMicros: since == null ? null : BigInt(since),
    tables,
  }
}

/** Places of the values in a row of `factsQuery`. */
interface TableFacts {
  readonly kind: string
  readonly pages: number
  readonly isStored: boolean
}

async function tableEvidence(
  connection: Connection,
  asked: AskedTable,
  found: CatalogTable,
  signal: AbortSignal,
): Promise<TableEvidence> {
  const [row] = await connection.query(factsQuery(found.oid), signal)
  const [kind, persistence, identity, rows, bytes, pages, inserts, updates, deletes] = row as TextRow
  const triggers = await connection.query(triggersQuery(found.oid), signal)
  const indexed = new Set((await connection.query(indexedQuery(found.oid), signal)).map(it => it[0] as string))
  const facts = { kind: kind as string, pages: Number(pages), isStored: 'rpm'.includes(kind as string) }
  const name = ident(found.schema, found.relation)
  const setters = triggers.map(([trigger, source]) => ({ trigger: trigger as string, source: source ?? '' }))
  const sample = await sampled(connection, { asked, found, facts, name }, signal)
  return {
    remote: asked.remote,
    rows: rows == null ? null : BigInt(rows),
    bytes: bytes == null || !facts.isStored ? null : BigInt(bytes),
    counters:
      inserts == null || updates == null || deletes == null
        ? null
        : { inserts: BigInt(inserts), updates: BigInt(updates), deletes: BigInt(deletes) },
    uncounted: inserts == null ? 'the server counts changes of tables only, and this is none' : null,
    triggers: setters.map(it => it.trigger),
    notes: [
      ...(persistence === 'u'
        ? ['it is unlogged: the log has nothing of it, and a crash of the server empties it']
        : []),
      ...(facts.isStored ? [`its replica identity is ${identities[identity as string] ?? identity}`] : []),
      ...(kind === 'v' ? ['it is a view'] : kind === 'f' ? ['it is a foreign table'] : []),
    ],
    columns: sample.map(column => ({
      ...column,
      makeIndex:
        indexed.has(column.name) || !facts.isStored
          ? null
          : statement(
              sql`create index ${rawSql(kind === 'p' ? '' : 'concurrently ')}on ${name} (${ident(column.name)})`,
            ),
      setBy: setters.find(it => sets(it.source, column.name))?.trigger ?? null,
    })),
    addStamp: facts.isStored ? stampScript(found, name) : [],
    addKey: statement(sql`alter table ${name} add primary key (…)`),
  }
}

const identities: Readonly<Record<string, string>> = {
  d: 'default (the primary key)',
  f: 'full',
  n: 'nothing',
  i: 'an index',
}

/** Of a partitioned table everything is that of its partitions. */
function factsQuery(oid: number): Sql {
  return sql`
    with part as (select relid from pg_partition_tree(${oid}::oid::regclass) union select ${oid}::oid),
      sums as (
        select sum(pg_total_relation_size(p.relid)) as bytes, sum(pg_relation_size(p.relid)) / 8192 as pages,
          sum(greatest(r.reltuples, 0))::bigint as rows, min(r.reltuples) as least,
          sum(s.n_tup_ins) as ins, sum(s.n_tup_upd) as upd, sum(s.n_tup_del) as del
        from part p join pg_class r on r.oid = p.relid and r.relkind in ('r', 'm')
        left join pg_stat_all_tables s on s.relid = p.relid)
    select c.relkind, c.relpersistence, c.relreplident, case when sums.least >= 0 then sums.rows end,
      sums.bytes, sums.pages::bigint, sums.ins, sums.upd, sums.del
    from pg_class c cross join sums where c.oid = ${oid}::oid`
}

function triggersQuery(oid: number): Sql {
  return sql`
    select g.tgname, case when g.tgtype & 16 > 0 and g.tgtype & 2 > 0 then left(p.prosrc, 20000) end
    from pg_trigger g join pg_proc p on p.oid = g.tgfoid
    where g.tgrelid = ${oid}::oid and not g.tgisinternal and g.tgenabled <> 'D' and g.tgname not like 'naru\\_%'
    order by g.tgname`
}

function indexedQuery(oid: number): Sql {
  return sql`
    select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = ${oid}::oid and i.indisvalid and i.indpred is null`
}

/** True when the text of a trigger's function gives the column a value. */
function sets(source: string, column: string): boolean {
  const name = column.replaceAll(/[^\w]/g, String.raw`\$&`)
  return new RegExp(String.raw`\bnew\s*\.\s*"?${name}"?\s*:?=`, 'i').test(source)
}

interface Sampling {
  readonly asked: AskedTable
  readonly found: CatalogTable
  readonly facts: TableFacts
  readonly name: Ident
}

type Sampled = Pick<ColumnEvidence, 'name' | 'sampled' | 'nulls' | 'distinct' | 'behind' | 'isOneWrite' | 'values'>

async function sampled(connection: Connection, given: Sampling, signal: AbortSignal): Promise<readonly Sampled[]> {
  const { asked, found, facts } = given
  if (!facts.isStored) return []
  const isReadable = (name: string): boolean => found.columns.some(it => it.name === name && it.readable)
  const growing = asked.growing.filter(isReadable)
  const flags = asked.flags.filter(isReadable)
  const columns: Sampled[] = []
  if (growing.length > 0) {
    const [row] = await connection.query(growingQuery(given, growing), signal)
    const figures = (row as TextRow).map(Number)
    growing.forEach((name, i) => {
      const [count = 0, distinct = 0, behind = 0] = figures.slice(2 + i * 3)
      const [all = 0, writes = 0] = figures
      const isOneWrite = writes === 1
      const seen = { sampled: all, nulls: all - count, distinct, behind: isOneWrite ? null : behind }
      columns.push({ name, ...seen, isOneWrite, values: [] })
    })
  }
  for (const name of flags) {
    const rows = await connection.query(flagQuery(given, name), signal)
    const [all, distinct, nulls] = (rows[0] ?? ['0', '0', '0']).map(Number) as [number, number, number]
    const values = rows.flatMap(row => (row[3] == null ? [] : [[row[3], Number(row[4])] as const]))
    columns.push({ name, sampled: all, nulls, distinct, behind: null, values })
  }
  return columns
}

/** Pages at random, so that a large table costs no more than a small one. */
function sampleOf({ name, facts }: Sampling): Sql {
  const percent = facts.pages <= SAMPLED_PAGES ? 100 : (100 * SAMPLED_PAGES) / facts.pages
  return sql`${name} tablesample system (${rawSql(percent.toFixed(6))})`
}

/**
 * A row's `xmin` is the transaction that wrote it last. In the order of transactions a column that moves with every write
 * grows; a row that lies behind one which was written earlier was written without it. Numbers of transactions are compared by their age,
 * which goes round every 4 billion; what is older than the table's own limit is left out.
 */
function growingQuery(given: Sampling, growing: readonly string[]): Sql {
  const { found } = given
  const parts = growing.map((name, i) => {
    const column = ident(name)
    const isTime = found.columns.find(it => it.name === name)?.type.kind === 'timestamp'
    // Transactions side by side may take their numbers in another order than they began.
    const frame = rawSql(isTime ? '1 preceding' : `${SIDE_BY_SIDE} preceding`)
    const before = sql`max(${column}) over (order by written range between unbounded preceding and ${frame})`
    const limit = isTime ? sql`${before} - interval '1 minute'` : before
    return sql`, ${column}, ${column} < ${limit} as ${ident(`behind_${i}`)}`
  })
  const figures = growing.map(
    (name, i) =>
      sql`, count(${ident(name)}), count(distinct ${ident(name)}), count(*) filter (where ${ident(`behind_${i}`)})`,
  )
  const columns = joinSql(growing.map(name => ident(name)))
  return sql`
    select count(*), count(distinct written)${joinSql(figures, '')} from (
      select written${joinSql(parts, '')} from (
        select ${columns}, -age(xmin)::bigint as written from ${sampleOf(given)}
        limit ${rawSql(String(SAMPLED_ROWS))}) s
      where written > -2000000000) w`
}

function flagQuery(given: Sampling, name: string): Sql {
  return sql`
    select sum(count(*)) over (), count(value) over (), coalesce(sum(count(*)) filter (where value is null) over (), 0),
      value, count(*)
    from (select ${ident(name)}::text as value from ${sampleOf(given)} limit ${rawSql(String(SAMPLED_ROWS))}) s
    group by value order by count(*) desc limit 8`
}

/** A time that the server sets itself, whatever the writers do. */
function stampScript({ relation, schema }: CatalogTable, name: Ident): readonly string[] {
  const setter = ident(schema, `${relation.slice(0, 40)}_set_changed_at`)
  return [
    statement(sql`alter table ${name} add column changed_at timestamptz not null default now()`),
    statement(
      sql`create function ${setter}() returns trigger language plpgsql as 'begin new.changed_at = now(); return new; end'`,
    ),
    statement(
      sql`create trigger set_changed_at before insert or update on ${name} for each row execute function ${setter}()`,
    ),
    statement(sql`create index concurrently on ${name} (changed_at)`),
  ]
}

function statement(piece: Sql): string {
  return `${renderSql(piece, postgresDialect).text};`
}
