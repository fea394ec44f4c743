import { afterAll, beforeAll, expect, test } from 'vitest'
import { messageOf } from '../core/errors.ts'
import { ident, sql, type Ident } from '../core/sql.ts'
import type { Project } from '../config/model.ts'
import { controlTables } from '../etl/cleansing/index.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { never, openTestEngine, stageContext } from '../testing/engine.ts'
import { reconcileStages, stageControlTable } from './reconcile.ts'

const id = { name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false } as const
const contribution = { as: 'shop', source: 'shop', table: 'item', map: [], where: null, match: null }
const project: Project = {
  name: 'test',
  engine: { kind: 'duckdb', options: {} },
  sources: [],
  entities: [
    { name: 'item', columns: [id], key: ['id'], contributions: [contribution], rules: [], cleanse: [], conflicts: [] },
  ],
  exports: [{ name: 'item', entity: 'item', columns: [id], key: ['id'], masks: [], where: null }],
  dimensions: [
    {
      kind: 'history',
      name: 'item',
      export: 'item',
      key: ['id'],
      columns: [id],
      type2: [],
      validFrom: null,
      onDelete: 'close',
    },
  ],
  facts: [],
  summaries: [],
  transfers: [],
}
const tables = {
  staged: ident('staging', 'shop_item'),
  cleansed: ident('cleansed', 'item_shop'),
  ods: ident('ods', 'item'),
  exported: ident('export', 'item'),
}
const dimension = ident('dw', 'dim_item')

let engine: Engine
beforeAll(async () => {
  engine = await openTestEngine()
})
afterAll(() => engine.close())

/** Five staged items, one of them in quarantine, the rest all the way to the dimension; then `fault`, then the control. */
async function verdictAfter(fault: (tx: Transaction) => Promise<unknown>): Promise<string> {
  const undo = new Error('everything adds up')
  const done = engine.transaction(never, async tx => {
    for (const statement of [...controlTables, stageControlTable]) await tx.execute(statement)
    await tx.execute(sql`create table ${tables.staged} as select unnest(range(5)) as id`)
    await tx.execute(sql`
      insert into naru.quarantine (entity, contributor, key, held, state) values ('item', 'shop', '4', false, 'open')`)
    for (const table of [tables.cleansed, tables.ods, tables.exported]) {
      await tx.execute(sql`create table ${table} as select unnest(range(4)) as id`)
    }
    await tx.execute(sql`
      create table ${dimension} as
      select i as item_key, i as id, true as is_current, false as is_deleted from range(5) r(i)`)
    await fault(tx)
    await reconcileStages(stageContext(tx, { project }))
    throw undo
  })
  return done.then(() => 'committed', messageOf)
}

test('rows that are there or set aside add up', async () => {
  expect(await verdictAfter(async () => {})).toBe('everything adds up')
})

test.each<[string, Ident, string]>([
  ['cleansing', tables.cleansed, 'staging.shop_item has 5 rows, but cleansed.item_shop has 3 and 1 are set aside'],
  ['the export', tables.exported, 'ods.item has 4 rows, but export.item has 3'],
  ['the dimension', dimension, 'export.item has 4 rows, but dw.dim_item has 3'],
])('a row that %s lost is seen', async (_, table, message) => {
  expect(await verdictAfter(tx => tx.execute(sql`delete from ${table} where id = 3`))).toContain(message)
})
