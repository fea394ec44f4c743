import { afterAll, beforeAll, expect, test } from 'vitest'
import { adapters } from '../../src/app/registry.ts'
import type { ColumnData } from '../../src/core/batch.ts'
import { ods, sqlite, t } from '../../src/index.ts'
import type { Snapshot, SourceBatch } from '../../src/services/adapter/contract.ts'
import { startEngineServer, type EngineServer } from '../../src/testing/postgres/engine.ts'
import { readingThrough } from '../support/reading-through.ts'
import { makeStore, type Store } from '../support/store.ts'

// A source holds what PostgreSQL cannot: the rest loads, and each row that is left out is told with column and reason.

/** A source whose texts may hold NUL, as those of MySQL do: SQLite's reader would set such rows aside itself. */
const withNul = readingThrough('sqlite', snapshot => ({
  read: async function* (...given: Parameters<Snapshot['read']>): AsyncGenerator<SourceBatch> {
    for await (const part of snapshot.read(...given)) {
      const columns = part.batch.columns.map((column): ColumnData =>
        column.layout === 'bytes' ? { ...column, data: column.data.map(byte => (byte === 1 ? 0 : byte)) } : column,
      )
      yield { ...part, batch: { ...part.batch, columns } }
    }
  },
}))
const options = { adapters: { ...adapters, sqlite: withNul } }

let server: EngineServer
let store: Store
beforeAll(async () => {
  server = await startEngineServer()
  const setup = `create table item (id text primary key not null, note text);
    insert into item values ('a', 'fine'), ('b', 'x' || char(1) || 'y'), ('c', char(1)),
      ('d', null), ('e' || char(1), 'its key'), ('f', 'ünd 👩'), ('g', 'late')`
  store = await makeStore(
    setup,
    path => {
      const schema = {
        item: { key: ['id'], columns: { id: t.text(), note: t.text().null() } },
      } as const
      const shop = sqlite('shop', { path, schema, chunkRows: 2, retries: 0 })
      const item = ods
        .entity('item', { key: 'id', columns: { id: t.text(), note: t.text().null() } })
        .from(shop.item, r => ({ id: r.id, note: r.note }))
      return { item: ods.export('item', item) }
    },
    await server.database(),
  )
}, 180_000)
afterAll(async () => {
  await store.remove()
  await server.stop()
})

const items = async (): Promise<readonly unknown[]> =>
  (await store.rows('select id, note from export.item order by id')).map(row => [row['id'], row['note']])

test('every other row loads; the rows with NUL are rejects with column and reason', { timeout: 180_000 }, async () => {
  await store.run(options)
  expect(await items()).toEqual([
    ['a', 'fine'],
    ['d', null],
    ['f', 'ünd 👩'],
    ['g', 'late'],
  ])
  const why = 'text of PostgreSQL has no NUL character'
  expect(await store.rows('select reason, detail, row_key, content from naru.reject order by row_key')).toEqual([
    { reason: 'VALUE_NOT_IN_TYPE', detail: `column note: ${why}`, row_key: '{"id":"b"}', content: 'note: x\\0y' },
    { reason: 'VALUE_NOT_IN_TYPE', detail: `column note: ${why}`, row_key: '{"id":"c"}', content: 'note: \\0' },
    { reason: 'VALUE_NOT_IN_TYPE', detail: `column id: ${why}`, row_key: '{"id":"e\\u0000"}', content: 'id: e\\0' },
  ])
})

test(
  'a row that is mended in the source comes in; one that cannot be held any more stays as it was',
  { timeout: 180_000 },
  async () => {
    store.execute(`update item set note = 'mended' where id = 'b'; update item set note = char(1) where id = 'a';
    delete from item where id = 'd'`)
    await store.run(options)
    expect(await items()).toEqual([
      ['a', 'fine'],
      ['b', 'mended'],
      ['f', 'ünd 👩'],
      ['g', 'late'],
    ])
  },
)
