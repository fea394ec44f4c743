import { afterEach, expect, test } from 'vitest'
import { adapters } from '../../src/app/registry.ts'
import { realEnv, type Env } from '../../src/core/env.ts'
import { ods, sqlite, t } from '../../src/index.ts'
import type { Handle } from '../../src/config/handle.ts'
import { makeInbox, ordersCsv } from '../support/inbox.ts'
import { readingThrough } from '../support/reading-through.ts'
import { makeStore, type Store } from '../support/store.ts'

const open: { remove(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const it of open.splice(0)) await it.remove()
})

function models(path: string, upper: boolean): Record<string, Handle> {
  const columns = { id: t.big(), label: t.text() }
  const shop = sqlite('shop', { path, schema: { item: { key: ['id'], columns } } as const, hours: '22:00-06:00' })
  const item = ods
    .entity('item', { key: 'id', columns })
    .from(shop.item, r => ({ id: r.id, label: upper ? r.label.upper() : r.label }))
  return { item: ods.export('item', item) }
}

function at(hour: string): Env {
  const real = realEnv()
  const micros = BigInt(Date.parse(`2026-01-01T${hour}:00Z`)) * 1000n
  return { ...real, clock: { ...real.clock, nowMicros: () => micros } }
}

test('what is made from staging is made anew from it when its definition changed: the source is not asked', async () => {
  const store: Store = await makeStore(
    `create table item (id integer primary key not null, label text not null); insert into item values (1, 'a'), (2, 'b')`,
    path => models(path, false),
  )
  open.push(store)
  await store.run({ env: at('23:00') })
  store.execute(`delete from item`)
  store.configure(models(store.source, true))
  const unasked = readingThrough(
    'sqlite',
    () => ({}),
    () => expect.fail('the source was asked'),
  )
  await store.run({ env: at('12:00'), adapters: { ...adapters, sqlite: unasked } })
  expect(await store.rows('select id, label from export.item order by id')).toEqual([
    { id: 1n, label: 'A' },
    { id: 2n, label: 'B' },
  ])
})

test('a staged row leads to its load, its source, its file and line, and when it was read', async () => {
  const inbox = await makeInbox()
  open.push(inbox)
  await inbox.put('order1.csv', ordersCsv('1,Ann,10,', '2,Bob,20,'))
  await inbox.put('order2.csv', ordersCsv('3,Cid,30,'))
  await inbox.run()
  expect(
    await inbox.rows(`
      select o.id, l.source, l."table", f.name as file, o._line as line, l.run,
        epoch_us(now()) - f.taken_micros between 0 and 600_000_000 as recent
      from staging.shop_order o join naru.load l on l.load = o._load join naru.unit u on u.load = o._load and u.unit = o._unit
      join naru.file f on f.content_hash = u.content_hash
      order by o.id`),
  ).toEqual([
    { id: '1', source: 'shop', table: 'order', file: 'order1.csv', line: 2n, run: 1n, recent: true },
    { id: '2', source: 'shop', table: 'order', file: 'order1.csv', line: 3n, run: 1n, recent: true },
    { id: '3', source: 'shop', table: 'order', file: 'order2.csv', line: 2n, run: 1n, recent: true },
  ])
})
