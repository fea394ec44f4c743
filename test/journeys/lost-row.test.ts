import { afterAll, beforeAll, expect, test } from 'vitest'
import { adapters } from '../../src/app/registry.ts'
import { ods, rule, sqlite, t } from '../../src/index.ts'
import type { Snapshot, SourceBatch } from '../../src/services/adapter/contract.ts'
import { blocksOf } from '../docs/pages.ts'
import { makeStore, type Store } from '../support/store.ts'
import { readingThrough } from '../support/reading-through.ts'

// The query that docs/guide/operations.md shows must tell the story of a row wherever it got lost.

const story = blocksOf('docs/guide/operations.md').find(block => block.code.startsWith('with asked'))?.code ?? ''

let store: Store
beforeAll(async () => {
  store = await makeStore(
    `create table item (id integer primary key not null, amount integer not null, note text);
     insert into item values (1, 10, 'a'), (2, 2000, 'b'), (3, 30, 'c'), (4, 40, '${'x'.repeat(2000)}'), (5, 50, 'e')`,
    path => {
      const schema = {
        item: { key: ['id'], columns: { id: t.big(), amount: t.big(), note: t.text().null() } },
      } as const
      const shop = sqlite('shop', { path, schema, chunkRows: 2, maxValueBytes: 1024, retries: 0 })
      const item = ods
        .entity('item', { key: 'id', columns: { id: t.big(), amount: t.big() } })
        .from(shop.item, r => ({ id: r.id, amount: r.amount }))
        .rules({ amount: rule.range(0, 1000) })
      return { item: ods.export('item', item) }
    },
  )
  await store.run()
})
afterAll(() => store.remove())

const tell = async (key: string): Promise<readonly string[]> => {
  const rows = await store.rows(story.replace("'4' as key", `'${key}' as key`))
  return rows.map(row => [row['what'], row['chunk'], row['why']].join(' | '))
}

test('a row that was too large is found with its reason', async () => {
  expect(await tell('4')).toEqual(['set aside at the interface | 2 | VALUE_TOO_LARGE'])
})

test('a row that broke a rule is found in quarantine with the rule', async () => {
  expect(await tell('2')).toEqual(['in quarantine: open |  | amount.range'])
})

test('a row that came through has no story', async () => {
  expect(await tell('1')).toEqual([])
})

test('rows that a fault lost are told by the chunk that they were in', async () => {
  const losing = readingThrough('sqlite', snapshot => ({
    read: async function* (...given: Parameters<Snapshot['read']>): AsyncGenerator<SourceBatch> {
      yield* snapshot.read(given[0], given[1], { ...given[2], where: 'id <> 1' }, given[3])
    },
  }))
  await expect(store.run({ adapters: { ...adapters, sqlite: losing } })).rejects.toMatchObject({ code: 'LOAD_REFUSED' })
  const found = await tell('1')
  expect(found).toContain('load abandoned | 1 | rows ')
  expect(found.some(line => line.startsWith('load abandoned | 2'))).toBe(false)
})
