import { expect, test } from 'vitest'
import { changeOp, type ChangeSlice } from '../../core/change-slice.ts'
import type { ColumnDef } from '../../core/types.ts'
import { defineConfig, duckdb, env, pg, t } from '../../index.ts'
import { batchOf } from '../../testing/suite/batches.ts'
import { seenChanges, seenTables } from './rows.ts'

const columns: readonly ColumnDef[] = [
  { name: 'page', type: { kind: 'text' }, nullable: true, personal: false },
  { name: 'size', type: { kind: 'int', bits: 32 }, nullable: true, personal: false },
]

test('of a table without a key a delete shows the whole row, and the columns of the log are not there', () => {
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    schema: { visit: { key: 'append', columns: { page: t.text().null(), size: t.int().null() } } },
    changes: { visit: { technique: 'log' } },
  })
  const [source] = defineConfig({ engine: duckdb({ path: 'x.duckdb' }), models: [shop] }).sources
  const slice: ChangeSlice = {
    position: '1',
    committedMicros: 5n,
    messages: [],
    transactions: { ids: BigInt64Array.of(7n), ends: Uint32Array.of(2), committedMicros: BigInt64Array.of(5n) },
    tables: [
      {
        table: 'visit',
        columns,
        rows: batchOf(columns, [
          ['home', 'home'],
          [1n, 2n],
        ]),
        ops: Uint8Array.of(changeOp.delete, changeOp.move),
        order: Uint32Array.of(0, 1),
        unchanged: [null, null],
      },
    ],
  }
  const sight = { tables: source?.tables ?? [], showsPersonal: true }
  expect(seenTables(slice, sight)[0]?.columns.map(it => [it.name, it.isKey])).toEqual([
    ['page', true],
    ['size', true],
  ])
  expect([...seenChanges(slice, sight)].map(({ op, cells }) => [op, ...cells])).toEqual([
    ['delete', 'home', '1'],
    ['move', 'home', '2'],
  ])
})
