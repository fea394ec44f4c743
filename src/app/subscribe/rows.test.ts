import { expect, test } from 'vitest'
import { changeOp, type ChangeSlice } from '../../core/change-slice.ts'
import type { ColumnDef } from '../../core/types.ts'
import { defineConfig, duckdb, env, pg, t } from '../../index.ts'
import { realEnv } from '../../core/env.ts'
import { encodeMessage } from '../stream/message.ts'
import { batchOf } from '../../testing/suite/batches.ts'
import { LocalFeed } from './feed.ts'
import { seenChanges, seenTables, type Sight } from './rows.ts'

const columns: readonly ColumnDef[] = [
  { name: 'page', type: { kind: 'text' }, nullable: true, personal: false },
  { name: 'size', type: { kind: 'int', bits: 32 }, nullable: true, personal: false },
]

const shop = pg('shop', {
  url: env('SHOP_URL'),
  schema: { visit: { key: 'append', columns: { page: t.text().null(), size: t.int().null() } } },
  changes: { visit: { technique: 'log' } },
})

function sightOf(): Sight {
  const [source] = defineConfig({ engine: duckdb({ path: 'x.duckdb' }), models: [shop] }).sources
  return { tables: source?.tables ?? [], showsPersonal: true, messages: ['audit'] }
}

/** Two rows and a message behind them; of the transactions with these numbers each ends behind so many of the three. */
function sliceOf(position: string | null, ends: readonly (readonly [bigint, number])[]): ChangeSlice {
  const rows = batchOf(columns, [
    ['home', 'home'],
    [1n, 2n],
  ])
  const ops = Uint8Array.of(changeOp.insert, changeOp.insert)
  return {
    position,
    committedMicros: 5n,
    messages: [{ order: 2, prefix: 'audit', content: Uint8Array.of(65) }],
    transactions: {
      ids: BigInt64Array.from(ends, ([id]) => id),
      ends: Uint32Array.from(ends, ([, end]) => end),
      committedMicros: BigInt64Array.from(ends, () => 5n),
    },
    tables: [{ table: 'visit', columns, rows, ops, order: Uint32Array.of(0, 1), unchanged: [null, null] }],
  }
}

test('a set ends at the end of a transaction, though the log was cut within it, and each change names its own', async () => {
  const head = { log: 'log', goesOn: 'x' }
  const slices = [
    sliceOf(null, [[7n, 1]]),
    sliceOf('2', [
      [8n, 1],
      [9n, 3],
    ]),
  ]
  const waiting = slices.map((slice, i) => ({
    key: null,
    value: encodeMessage({ ...head, kind: 'slice', slice }),
    position: String(i).padStart(20, '0'),
    appendedMicros: 1n,
  }))
  const feed = new LocalFeed({
    env: realEnv(),
    subscription: {
      next: async ({ messages }) => ({ messages: waiting.splice(0, messages), attempts: 1 }),
      acknowledge: async () => {},
      release: async () => {},
      close: async () => {},
    },
    seen: { log: null },
    reopen: () => Promise.reject(new Error('the log is there')),
    sight: sightOf(),
    onClose: async () => {},
  })
  const set = await feed.next(1000, new AbortController().signal)
  expect(set).toMatchObject({ position: '00000000000000000001', isWhole: true, changes: 4 })
  expect(set?.messages.map(it => it.transaction?.id)).toEqual(['8', '9'])
  const changes = (await feed.page()) ?? []
  expect(changes.map(it => [set?.tables[it.table]?.table, it.transaction?.id])).toEqual(
    ['7', '8', '8', '9'].map(id => ['visit', id]),
  )
})

test('of a table without a key a delete shows the whole row, and the columns of the log are not there', () => {
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
  const sight = sightOf()
  expect(seenTables(slice, sight)[0]?.columns.map(it => [it.name, it.isKey])).toEqual([
    ['page', true],
    ['size', true],
  ])
  expect([...seenChanges(slice, sight)].map(({ op, cells }) => [op, ...cells])).toEqual([
    ['delete', 'home', '1'],
    ['move', 'home', '2'],
  ])
})
