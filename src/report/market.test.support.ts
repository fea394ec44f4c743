import type { Expr } from '../core/expr.ts'
import { ident, rawSql, sql } from '../core/sql.ts'
import type { ColumnDef, ColumnType } from '../core/types.ts'
import type { ContributionDef, EntityDef, Project, RuleDef, SourceTableDef } from '../config/model.ts'
import { controlTables as cleansing } from '../etl/cleansing/index.ts'
import { controlTables as integration } from '../etl/integration/control-tables.ts'
import { controlTables as profiling } from '../etl/profiling/index.ts'
import { controlTables as loads } from '../run/control-tables.ts'
import { runTables } from '../run/journal.ts'
import { controlTables as warehouse } from '../warehouse/control-tables.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { never, openTestEngine } from '../testing/engine.ts'

// A small market: orders from a shop, stalls from a file; buyers are found by their name, which is personal.

const text: ColumnType = { kind: 'text' }
const int: ColumnType = { kind: 'int', bits: 32 }

export function column(name: string, type: ColumnType = text, more: Partial<ColumnDef> = {}): ColumnDef {
  return { name, type, nullable: true, personal: false, ...more }
}

const orders: SourceTableDef = {
  source: 'shop',
  name: 'orders',
  remote: 'public.orders',
  columns: [
    column('id', int),
    column('buyer', text, { personal: true }),
    column('amount', { kind: 'decimal', precision: 12, scale: 2 }),
    column('city'),
    column('placed', { kind: 'date' }),
  ],
  key: ['id'],
  change: { technique: 'timestamp', column: 'placed', lagMs: null, deletes: { kind: 'keep' } },
}

const stalls: SourceTableDef = {
  source: 'guild',
  name: 'stalls',
  remote: 'stalls*.csv',
  columns: [column('code'), column('city'), column('opened', { kind: 'date' })],
  key: ['code'],
  change: {
    technique: 'files',
    scope: 'full',
    format: { kind: 'csv', delimiter: null, quote: null, header: true, nulls: [] },
    encoding: 'utf-8',
    checksum: 'md5-sidecar',
  },
}

const read = (name: string): Expr => ({ kind: 'column', name, type: text })

function contribution(as: string, table: SourceTableDef, columns: readonly string[], match: boolean): ContributionDef {
  return {
    as,
    source: table.source,
    table: table.name,
    map: columns.map(name => ({ column: name, expr: read(name) })),
    where: null,
    match: match ? { compare: [{ column: 'buyer', against: ['buyer'] }], support: [], threshold: 0.6 } : null,
  }
}

function entity(name: string, it: Partial<EntityDef>): EntityDef {
  return { name, columns: [], key: [], contributions: [], rules: [], cleanse: [], conflicts: [], ...it }
}

const amountRange: RuleDef = {
  id: 'amount.range',
  columns: ['amount'],
  check: { kind: 'range', min: 0, max: 5000 },
  severity: 'quarantine',
  limit: { rows: 20 },
}

const cityKnown: RuleDef = {
  id: 'city.oneOf',
  columns: ['city'],
  check: { kind: 'oneOf', values: ['Seoul', 'Busan'] },
  severity: 'warn',
  limit: null,
}

export const market: Project = {
  name: 'market',
  engine: { kind: 'duckdb', options: { path: ':memory:' } },
  sources: [
    { name: 'shop', adapter: 'postgres', options: {}, tables: [orders] },
    { name: 'guild', adapter: 'files', options: {}, tables: [stalls] },
  ],
  entities: [
    entity('order', {
      columns: orders.columns,
      key: ['id'],
      contributions: [contribution('shop', orders, ['id', 'buyer', 'amount', 'city', 'placed'], false)],
      rules: [amountRange, cityKnown],
    }),
    entity('stall', {
      columns: stalls.columns,
      key: ['code'],
      contributions: [contribution('guild', stalls, ['code', 'city', 'opened'], false)],
    }),
    entity('buyer', {
      columns: [column('buyer')],
      key: ['buyer'],
      contributions: [contribution('shop', orders, ['buyer'], true)],
    }),
  ],
  exports: [
    {
      name: 'order',
      entity: 'order',
      columns: orders.columns,
      key: ['id'],
      masks: [
        { column: 'buyer', mask: { kind: 'redact', text: '-' } },
        { column: 'amount', mask: { kind: 'bucket', width: 10 } },
      ],
      where: null,
    },
  ],
  dimensions: [],
  facts: [{ name: 'order', export: 'order', grain: ['id'], at: 'placed', dims: [], columns: [] }],
  summaries: [],
  transfers: [],
}

/** An engine with every control table and nothing in them. */
export async function emptyMarket(): Promise<Engine> {
  const engine = await openTestEngine()
  await engine.transaction(never, async tx => {
    for (const statement of [...runTables, ...loads, ...profiling, ...cleansing, ...integration, ...warehouse]) {
      await tx.execute(statement)
    }
  })
  return engine
}

/** Adds rows given as SQL values: `insert(tx, 'run', "1, 'done'", …)`. */
export async function insert(tx: Transaction, table: string, ...rows: readonly string[]): Promise<void> {
  for (const row of rows) await tx.execute(sql`insert into ${ident('naru', table)} values (${rawSql(row)})`)
}

const day = 86_400_000_000
/** 2024-03-01 00:00 UTC in microseconds. */
const start = 19_783 * day

/** Two runs: the first took everything, the second the changes of the orders. */
export async function fillMarket(tx: Transaction): Promise<void> {
  await insert(
    tx,
    'run',
    `1, 'done', ${start}, ${start}, ${start + 95_500_000}, 'host', 7, null, null`,
    `2, 'done', ${start + day}, ${start + day}, ${start + day + 4_200_000}, 'host', 8, null, null`,
  )
  await fillLoads(tx)
  await fillProfile(tx)
  await fillCleansing(tx)
  await fillIntegration(tx)
  await tx.execute(sql`create table staging.shop_orders as select range as id, 'CANARY' as buyer from range(1204)`)
  await tx.execute(sql`create table ods."order" as select range as id, 'CANARY' as buyer from range(1192)`)
  await tx.execute(sql`create table export."order" as select range as id from range(1192)`)
  await tx.execute(sql`create table dw.fact_order as select range as id from range(1192)`)
}

async function fillLoads(tx: Transaction): Promise<void> {
  await insert(
    tx,
    'load',
    `1, 'shop', 'orders', 'all', 'timestamp', 'published', null, 0, 0, false, 0, 1200, 0, 1, 1, null, null, null, null, null, null, null, null`,
    `2, 'guild', 'stalls', 'all', 'files', 'published', null, null, null, false, 0, 38, 2, 1, 1, null, null, null, null, null, null, null, null`,
    `3, 'shop', 'orders', 'delta', 'timestamp', 'published', 0, 0, 0, false, 0, 12, 0, 2, 2, null, null, null, null, null, null, null, null`,
  )
  await insert(
    tx,
    'control_total',
    `3, 'shop', 'orders', '', 'rows', '12', '12', true, null`,
    `3, 'shop', 'orders', 'amount', 'sum', '1520.50', '1520.5', true, null`,
    `3, 'shop', 'orders', 'buyer', 'count', '12', '12', true, null`,
    `3, 'shop', 'orders', 'buyer', 'max', 'CANARY', 'CANARY', true, null`,
    `3, 'shop', 'orders', 'placed', 'max', '19783', '19783', true, null`,
    `2, 'guild', 'stalls', '', 'rows', '40', '38', true, null`,
  )
  await insert(
    tx,
    'reject',
    `2, 1, 'guild', 'stalls', 'CSV_RAGGED', '2 fields instead of 3', null, 'stalls-03.csv', 17, 20, 'A7;Busan'`,
    `2, 1, 'guild', 'stalls', 'CSV_RAGGED', '4 fields instead of 3', null, 'stalls-03.csv', 21, 20, 'A9;;;'`,
  )
  await insert(
    tx,
    'file',
    `'guild', 'stalls', 'aa', 'stalls-03.csv', 1450, ${start}, ${start}, 'loaded', null, 2, null`,
    `'guild', 'stalls', 'aa', 'stalls-03 (copy).csv', 1450, ${start}, ${start}, 'duplicate', 'same content as stalls-03.csv', null, null`,
    `'guild', 'stalls', null, 'stalls-04.csv', 700, ${start}, ${start}, 'refused', 'the md5 side-car does not match', null, null`,
  )
}

async function fillProfile(tx: Transaction): Promise<void> {
  const histogram = '{"unit":"value","from":0,"width":250,"counts":[4,9,3,0,1]}'
  const days = `{"unit":"micros","from":${start},"width":${day},"counts":[2,10]}`
  await insert(
    tx,
    'profile',
    `1, 'shop', 'orders', 'amount', 'delta', 900, 0, 400, '0', '990.00', 80.5, 10.0, null, null, null, null, null, null`,
    `2, 'shop', 'orders', 'id', 'delta', 12, 0, 12, '1', '1204', 600.5, 3.5, null, null, null, null, null, null`,
    `2, 'shop', 'orders', 'buyer', 'delta', 12, 1, 9, 'CANARY', 'CANARY', null, null, 4, 11, null, '[{"value":"CANARY","count":3}]', null, null`,
    `2, 'shop', 'orders', 'amount', 'delta', 12, 3, 8, '12.50', '1200.00', 152.05, 80.25, null, null, null, null, '${histogram}', null`,
    `2, 'shop', 'orders', 'city', 'delta', 12, 0, 3, 'Busan', '서울', null, null, 2, 5, null, '[{"value":"Seoul","count":9},{"value":"","count":2}]', null, null`,
    `2, 'shop', 'orders', 'placed', 'delta', 12, 0, 2, '2024-03-01', '2024-03-02', null, null, null, null, null, null, '${days}', null`,
    `1, 'guild', 'stalls', 'code', 'all', 38, 0, 38, 'A1', 'Z9', null, null, 2, 2, null, null, null, null`,
    `1, 'guild', 'stalls', 'opened', 'all', 38, 4, 20, '2001-01-01', '2020-05-05', null, null, 10, 10, 31, null, null, null`,
  )
}

async function fillCleansing(tx: Transaction): Promise<void> {
  await insert(
    tx,
    'rule_result',
    `2, 'order', 'shop', 'amount.range', 'before', 'quarantine', 12, 9, 20, '["1","2","3","4","5"]', null`,
    `2, 'order', 'shop', 'amount.range', 'after', 'quarantine', 12, 7, 20, '["1","2","3","4","5"]', null`,
    `2, 'order', 'shop', 'city.oneOf', 'before', 'warn', 12, 2, null, '["8","9"]', null`,
    `2, 'order', 'shop', 'city.oneOf', 'after', 'warn', 12, 1, null, '["9"]', null`,
    `1, 'stall', 'guild', 'opened.cast', 'after', 'quarantine', 38, 0, null, '[]', null`,
  )
  for (const id of [1, 2, 3, 4, 5, 6, 7]) {
    const row = `{"id":"${id}","buyer":"CANARY","amount":"-${id}.00","city":null}`
    const rules = id === 1 ? `['amount.range','city.oneOf']` : `['amount.range']`
    await insert(
      tx,
      'quarantine',
      `2, 3, 'order', 'shop', 'shop', 'orders', '${id}', ${rules}, null, '${row}', ${id === 2}, 'open', null, null`,
    )
  }
  await insert(
    tx,
    'correction',
    `1, 1, 'order', 'shop', '11', 'city', 'cleanse', 'seoul', 'Seoul'`,
    `2, 3, 'order', 'shop', '12', 'city', 'cleanse', 'seoul', 'Seoul'`,
    `2, 3, 'order', 'shop', '13', 'city', 'cleanse', null, 'Busan'`,
    `2, 3, 'order', 'shop', '14', 'buyer', 'cleanse', 'CANARY ', 'CANARY'`,
  )
}

async function fillIntegration(tx: Transaction): Promise<void> {
  await insert(
    tx,
    'crosswalk',
    `'buyer', 'shop', 'CANARY', 'CANARY', 0.91, 'like', 1`,
    `'buyer', 'shop', 'CANARY 2', 'CANARY', 0.64, 'like', 1`,
    `'buyer', 'shop', 'CANARY 3', null, 0.41, 'unlike', 1`,
    `'stall', 'guild', 'A1', 'A1', 1, 'key', 1`,
  )
  await insert(
    tx,
    'conflict',
    `1, 'stall', 'A1', 'city', 'guild', 'first', '[{"contributor":"guild","value":"Seoul"},{"contributor":"shop","value":"서울"}]'`,
    `1, 'stall', 'B2', 'city', null, 'agree', '[{"contributor":"guild","value":"Busan"},{"contributor":"shop","value":"부산"}]'`,
    `1, 'buyer', 'CANARY', 'buyer', 'shop', 'first', '[{"contributor":"shop","value":"CANARY"}]'`,
  )
  await insert(
    tx,
    'reconciliation',
    `2, 'order', 'rows', '1192', '1192', true`,
    `2, 'order', 'sum(amount)', '90210.50', '90210.50', true`,
  )
  await insert(
    tx,
    'restatement',
    `2, 'dw.dim_stall', 4, 'A1', 'overwritten', '{"city":"Seul","area":"1"}', '{"city":"Seoul","area":"1"}'`,
  )
}
