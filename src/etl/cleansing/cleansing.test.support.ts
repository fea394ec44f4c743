import type { Expr } from '../../core/expr.ts'
import { ident, joinSql, rawSql, sql, type Sql } from '../../core/sql.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import type { ContributionDef, EntityDef, Project, RuleDef, SourceTableDef } from '../../config/model.ts'
import type { ChangeSet } from '../../run/context.ts'
import { cleansedTable } from '../../run/mapping.ts'
import { columnDefinitions, columnList, equalKeys, keyColumns, stagingLayout, stagingNames } from '../../run/tables.ts'
import type { Row, Transaction } from '../../services/engine/contract.ts'
import { openTestEngine, never, stageContext } from '../../testing/engine.ts'
import { cleanse, controlTables } from './index.ts'

/** Test data of this stage: an entity `item` from a small staged table, and the words to change and cleanse it. */
export const int: ColumnType = { kind: 'int', bits: 64 }
export const text: ColumnType = { kind: 'text' }

export function columnDef(name: string, type: ColumnType, more: Partial<ColumnDef> = {}): ColumnDef {
  return { name, type, nullable: true, personal: false, ...more }
}

export function col(name: string, type: ColumnType): Expr {
  return { kind: 'column', name, type }
}

export function rule(id: string, column: string, check: RuleDef['check'], more: Partial<RuleDef> = {}): RuleDef {
  return { id, columns: [column], check, severity: 'quarantine', limit: null, ...more }
}

/** What a test may set; the rest is an item with an integer key, a text and a number, copied as they are. */
export interface Given {
  readonly staged?: readonly ColumnDef[]
  readonly stagedKey?: readonly string[]
  readonly files?: boolean
  readonly columns?: readonly ColumnDef[]
  readonly key?: readonly string[]
  readonly map?: ContributionDef['map']
  readonly where?: Expr
  readonly match?: boolean
  readonly rules?: readonly RuleDef[]
  readonly cleanse?: EntityDef['cleanse']
}

const itemColumns = [columnDef('id', int, { nullable: false }), columnDef('name', text), columnDef('size', int)]

/** A project of one source, one table and one entity. */
function itemProject(given: Given = {}): {
  readonly project: Project
  readonly entity: EntityDef
  readonly contribution: ContributionDef
  readonly table: SourceTableDef
} {
  const staged = given.staged ?? itemColumns
  const columns = given.columns ?? itemColumns
  const table: SourceTableDef = {
    source: 'shop',
    name: 'item',
    remote: 'item',
    columns: staged,
    key: given.stagedKey ?? ['id'],
    change: given.files
      ? {
          technique: 'files',
          scope: 'full',
          format: { kind: 'csv', delimiter: null, quote: null, header: true, nulls: [] },
          encoding: 'utf8',
          checksum: 'none',
        }
      : { technique: 'full' },
  }
  const contribution: ContributionDef = {
    as: 'shop',
    source: 'shop',
    table: 'item',
    map: given.map ?? columns.map(c => ({ column: c.name, expr: col(c.name, c.type) })),
    where: given.where ?? null,
    match: given.match === true ? { compare: [], support: [], threshold: 0.5 } : null,
  }
  const entity: EntityDef = {
    name: 'item',
    columns,
    key: given.key ?? ['id'],
    contributions: [contribution],
    rules: given.rules ?? [],
    cleanse: given.cleanse ?? [],
    conflicts: [],
  }
  const project: Project = {
    name: 'test',
    engine: { kind: 'duckdb', options: {} },
    sources: [{ name: 'shop', adapter: 'postgres', options: {}, tables: [table] }],
    entities: [entity],
    exports: [],
    dimensions: [],
    facts: [],
    summaries: [],
    transfers: [],
  }
  return { project, entity, contribution, table }
}

export type Cellish = string | number | bigint | boolean | null

/** A database with one staged table, cleansed run by run. */
export interface Bench {
  readonly given: ReturnType<typeof itemProject>
  /** Stages rows as the load of this run: inserted, or replacing those with their key; `null` deletes keys. */
  stage(rows: readonly (readonly Cellish[])[], deleted?: readonly (readonly Cellish[])[]): Promise<void>
  /** Cleanses what was staged since the last time, as the next run. */
  run(more?: { rebuild?: boolean; scope?: 'all' }): Promise<ChangeSet>
  in<T>(body: (tx: Transaction) => Promise<T>): Promise<T>
  rows(query: Sql): Promise<readonly Row[]>
  /** Rows of the cleansed table by its first column. */
  cleansed(): Promise<readonly Row[]>
  keys(changes: ChangeSet): Promise<readonly Row[]>
  close(): Promise<void>
}

/** Opens an empty engine for the given project. */
export async function openBench(given: Given = {}): Promise<Bench> {
  const engine = await openTestEngine()
  const it = itemProject(given)
  const unchanged: ChangeSet = {
    table: stagingNames(it.table).image,
    scope: 'delta',
    keys: null,
    inserted: 0,
    updated: 0,
    deleted: 0,
  }
  let run = 0n
  let staged: ChangeSet = { ...unchanged, scope: 'all' }
  let lastKeys: readonly Row[] = []
  await engine.transaction(never, tx => createTables(tx, it.table))
  return {
    given: it,
    in: body => engine.transaction(never, body),
    rows: query => engine.transaction(never, tx => tx.rows(query)),
    cleansed: () => engine.transaction(never, tx => cleansedRows(tx, it)),
    keys: changes => Promise.resolve(changes.keys === null ? [] : lastKeys),
    close: () => engine.close(),
    stage: (rows, deleted = []) =>
      engine.transaction(never, async tx => {
        const changed = await stageRows(tx, it.table, { rows, deleted, load: run + 1n })
        staged = run === 0n ? { ...unchanged, scope: 'all' } : { ...unchanged, keys: changed ? testKeys : null }
      }),
    run: (more = {}) =>
      engine.transaction(never, async tx => {
        run += 1n
        const ctx = stageContext(tx, { project: it.project, run: { id: run, asOfMicros: 0n } })
        const changes: ChangeSet = more.scope === 'all' ? { ...unchanged, scope: 'all' } : staged
        staged = unchanged
        const done = await cleanse(ctx, { ...it, changes, rebuild: more.rebuild ?? false })
        lastKeys = done.keys === null ? [] : await tx.rows(sql`select * from ${done.keys} order by all`)
        return done
      }),
  }
}

/** Keys of the change set that was staged last. */
const testKeys = ident('staging', 'test_keys')

async function createTables(tx: Transaction, table: SourceTableDef): Promise<void> {
  const { image, past } = stagingNames(table)
  for (const statement of controlTables) await tx.execute(statement)
  const columns = columnDefinitions(tx.dialect, stagingLayout(table))
  await tx.execute(sql`create table ${image} (${columns})`)
  await tx.execute(sql`create table ${past} (${columns}, "_until" bigint, "_op" varchar)`)
  const key = columnDefinitions(tx.dialect, keyColumns(table))
  await tx.execute(sql`create table ${testKeys} (${key}, "_op" varchar)`)
}

/** What staging does with a load, row by row. Gives whether any key changed. */
async function stageRows(
  tx: Transaction,
  table: SourceTableDef,
  load: {
    readonly rows: readonly (readonly Cellish[])[]
    readonly deleted: readonly (readonly Cellish[])[]
    readonly load: bigint
  },
): Promise<boolean> {
  const { image, past } = stagingNames(table)
  const incoming = ident('temp', 'incoming')
  await tx.execute(sql`delete from ${testKeys}`)
  await tx.execute(sql`create or replace temp table ${incoming} as select * from ${image} where false`)
  for (const row of load.rows) {
    await tx.execute(sql`insert into ${incoming} values (${values(row)}, ${load.load}, 0, ${null})`)
  }
  await tx.execute(sql`
    insert into ${testKeys} select ${columnList(table.key, 'i')}, case when exists (
      select 1 from ${image} s where ${equalKeys('s', 'i', table.key)}) then 'u' else 'i' end from ${incoming} i`)
  for (const row of load.deleted) await tx.execute(sql`insert into ${testKeys} values (${values(row)}, 'd')`)
  const same = equalKeys('s', 'k', table.key)
  await tx.execute(sql`
    insert into ${past} select s.*, ${load.load}, k."_op" from ${image} s join ${testKeys} k on ${same}`)
  await tx.execute(sql`delete from ${image} s using ${testKeys} k where ${same}`)
  await tx.execute(sql`insert into ${image} select * from ${incoming}`)
  return load.rows.length + load.deleted.length > 0
}

async function cleansedRows(tx: Transaction, it: ReturnType<typeof itemProject>): Promise<readonly Row[]> {
  const table = cleansedTable(it.entity, it.contribution)
  return (await tx.exists(table)) ? tx.rows(sql`select * from ${table} order by all`) : []
}

function values(row: readonly Cellish[]): Sql {
  return joinSql(row.map(cell => sql`${cell}`))
}

/** Every value of every column of every control table as one text, for canaries. */
export async function controlText(bench: Bench): Promise<string> {
  const tables = await bench.rows(
    sql`select table_name as name from information_schema.tables where table_schema = 'naru'`,
  )
  const texts: string[] = []
  for (const { name } of tables) {
    const rows = await bench.rows(sql`select cast(t as varchar) as v from ${rawSql(`naru."${String(name)}"`)} t`)
    texts.push(...rows.map(row => String(row['v'])))
  }
  return texts.join('\n')
}
