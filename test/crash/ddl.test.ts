import { createHash } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type native from '@duckdb/node-bindings'
import { expect, onTestFinished, test, vi } from 'vitest'
import { dw, ods, sqlite, t } from '../../src/index.ts'
import type { Handle } from '../../src/config/handle.ts'
import { makeStore, type Store } from '../support/store.ts'

// R14: databases that did not open again because their write-ahead log held a change of a table's shape. What a kill leaves is what
// the files hold at that moment: so they are kept around every such statement, and around the end of its transaction.

/** Called before and after each statement of the engine. */
const around = { each: null as ((text: string, when: 'before' | 'after') => Promise<void>) | null }
vi.mock('@duckdb/node-bindings', async original => {
  const { default: real } = await original<{ readonly default: typeof native }>()
  const query: typeof native.query = async (connection, text) => {
    await around.each?.(text, 'before')
    const result = await real.query(connection, text)
    await around.each?.(text, 'after')
    return result
  }
  return { default: Object.create(real, { query: { value: query } }) as typeof native }
})

const setup = `
  create table item (id integer primary key not null, label text, price integer);
  insert into item with recursive n(v) as (select 1 union all select v + 1 from n where v < 20) select v, 'n' || v, v from n;`
const before = { id: t.big(), label: t.text().null(), price: t.big().null() }
const after = { id: t.big(), label: t.text().null(), note: t.text().null() }

function models(file: string, columns: typeof before | typeof after): Record<string, Handle> {
  const shop = sqlite('shop', { path: file, schema: { item: { key: ['id'], columns } } } as never) as never as {
    readonly item: Parameters<ReturnType<typeof ods.entity>['from']>[0]
  }
  const item = ods.entity('item', { key: 'id', columns }).from(shop.item, r => ({ ...(r as object) }) as never)
  return { item: dw.dimension('item', ods.export('item', item as never) as never) as unknown as Handle }
}

/** The files of the engine, as they are at one moment. */
interface Left {
  readonly at: string
  readonly main: Buffer
  readonly log: Buffer | null
}

const changesShape = /^\s*(create|alter|drop)\b/i

/** Runs a store and gives what a kill would have left around each change of a shape, each state of the files once. */
async function filesAround(store: Store): Promise<readonly Left[]> {
  const file = path.join(store.folder, 'data.duckdb')
  const found = new Map<string, Left>()
  const keep = async (at: string): Promise<void> => {
    const main = await readFile(file)
    const log = await readFile(`${file}.wal`).catch(() => null)
    const hash = createHash('md5')
      .update(main)
      .update('\0')
      .update(log ?? '')
      .digest('hex')
    if (!found.has(hash)) found.set(hash, { at, main, log })
  }
  let isChanged = false
  around.each = async (text, when) => {
    const isEnd = /^\s*commit/i.test(text) && isChanged
    const isOne = changesShape.test(text)
    if (isOne || isEnd) await keep(`${when} ${text.slice(0, 60)}`)
    if (when === 'after') isChanged = !isEnd && (isChanged || isOne)
  }
  try {
    await store.run()
  } finally {
    around.each = null
  }
  return [...found.values()]
}

/** Every table; what a table was kept as has the number of a load, which one that was broken off uses up. */
async function stateOf(store: Store): Promise<object> {
  const named = Object.entries(await store.state()).map(([name, rows]) => [
    name.replace(/__past_\d+/, '__past_n'),
    rows,
  ])
  return Object.fromEntries(named) as object
}

test('R14: a kill around any change of a table, and the database opens again; a rerun gives the tables of an undisturbed run', async () => {
  const store = await makeStore(setup, file => models(file, before))
  onTestFinished(() => store.remove())
  await store.run()
  store.execute(
    `alter table item add column note text; update item set note = 'x' || id, price = price + 1 where id % 2 = 0`,
  )
  store.configure(models(store.source, after))
  const left = await filesAround(store)
  const undisturbed = await stateOf(store)
  expect(left.length).toBeGreaterThan(3)
  expect(left.some(({ log }) => log !== null && log.length > 0)).toBe(true)
  const file = path.join(store.folder, 'data.duckdb')
  for (const { at, main, log } of left) {
    await writeFile(file, main)
    if (log === null) await rm(`${file}.wal`, { force: true })
    else await writeFile(`${file}.wal`, log)
    await store.run()
    expect({ at, state: await stateOf(store) }).toEqual({ at, state: undisturbed })
  }
})
