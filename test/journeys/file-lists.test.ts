import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { makeInbox, type Inbox } from '../support/inbox.ts'

async function newInbox(config: string): Promise<Inbox> {
  const inbox = await makeInbox(config)
  onTestFinished(() => inbox.remove())
  return inbox
}

const children = `children: {
  lines: { path: 'items', key: 'sku', columns: { sku: t.text(), qty: t.int(), price: t.decimal(9, 2).null() }, at: { price: 'price.amount' } },
  tags: { columns: { tag: t.text() }, at: { tag: '' } },
}`

/** Orders with two lists; `table` is the rest of the table, `more` of the source. */
function config(table: string, more = '', lists = children): string {
  return `import { defineConfig, duckdb, files, ods, t } from 'naru'
const shop = files('shop', {
  folder: 'inbox', ${more}
  tables: { order: { key: 'id', columns: { id: t.int(), city: t.text().null() }, ${table}, ${lists} } },
})
const order = ods.entity('order', { key: 'id', columns: { id: t.int(), city: t.text().null() } }).from(shop.order, r => ({ ...r }))
const line = ods
  .entity('line', {
    key: ['order', 'sku'],
    columns: { order: t.int(), sku: t.text(), qty: t.int(), price: t.decimal(9, 2).null() },
  })
  .from(shop.order_lines, r => ({ order: r.order_id, sku: r.sku, qty: r.qty, price: r.price }))
const tag = ods
  .entity('tag', { key: ['order', 'at'], columns: { order: t.int(), at: t.int(), tag: t.text() } })
  .from(shop.order_tags, r => ({ order: r.order_id, at: r.position, tag: r.tag }))
const models = { order: ods.export('order', order), line: ods.export('line', line), tag: ods.export('tag', tag) }
export default defineConfig({ name: 'lists', engine: duckdb({ path: 'data.duckdb' }), models })
`
}

const lines = async (inbox: Inbox): Promise<readonly string[]> => {
  const rows = await inbox.rows(
    `select concat_ws(' ', "order", sku, qty, price) as t from ods.line order by "order", sku`,
  )
  return rows.map(row => row['t'] as string)
}

const tags = async (inbox: Inbox): Promise<readonly string[]> => {
  const rows = await inbox.rows(`select concat_ws(' ', "order", "at", tag) as t from ods.tag order by "order", "at"`)
  return rows.map(row => row['t'] as string)
}

const rejects = (inbox: Inbox): Promise<readonly Record<string, unknown>[]> =>
  inbox.rows(`select "table", reason, detail, line from naru.reject order by load, "table", line, detail`)

const ndjson = (...objects: readonly unknown[]): string =>
  `${objects.map(it => (typeof it === 'string' ? it : JSON.stringify(it))).join('\n')}\n`

describe('lists within NDJSON', () => {
  test('become tables with the key of their object; an object that comes again replaces its lists', async () => {
    const inbox = await newInbox(config("glob: '*.ndjson', scope: 'delta'"))
    await inbox.put(
      'a.ndjson',
      ndjson(
        {
          id: 1,
          city: '서울',
          items: [
            { sku: 'a', qty: 1, price: { amount: 1.5 } },
            { sku: 'b', qty: 2 },
          ],
          tags: ['x', 'y'],
        },
        { id: 2, items: [{ sku: 'a', qty: 3 }], tags: null },
        { id: 3, items: [{ sku: 'a', qty: 4 }], tags: ['z'] },
      ),
    )
    const first = await inbox.run()
    expect(first.rejected).toEqual({})
    expect(first.stderr).not.toContain('does not name')
    expect(await lines(inbox)).toEqual(['1 a 1 1.50', '1 b 2', '2 a 3', '3 a 4'])
    expect(await tags(inbox)).toEqual(['1 0 x', '1 1 y', '3 0 z'])

    await inbox.put('b.ndjson', ndjson({ id: 1, items: [{ sku: 'b', qty: 9 }], tags: ['y'] }, { id: 2, items: [] }))
    await inbox.run()
    expect(await lines(inbox)).toEqual(['1 b 9', '3 a 4'])
    expect(await tags(inbox)).toEqual(['1 0 y', '3 0 z'])
    expect(await inbox.rows(`select count(*)::int as n from ods."order"`)).toEqual([{ n: 3 }])

    await inbox.put(
      'b again.ndjson',
      ndjson({ id: 1, items: [{ sku: 'b', qty: 9 }], tags: ['y'] }, { id: 2, items: [] }),
    )
    await inbox.run()
    expect(await inbox.rows(`select "table", state from naru.file where name = 'b again.ndjson' order by 1`)).toEqual(
      ['order', 'order_lines', 'order_tags'].map(table => ({ table, state: 'duplicate' })),
    )
    expect(await lines(inbox)).toEqual(['1 b 9', '3 a 4'])
  })

  test('what is wrong with an element sets it aside with line and place, and takes nothing away', async () => {
    const inbox = await newInbox(config("glob: '*.ndjson', scope: 'delta'"))
    await inbox.put(
      'a.ndjson',
      ndjson({
        id: 1,
        items: [
          { sku: 'a', qty: 1 },
          { sku: 'b', qty: 1 },
        ],
      }),
    )
    await inbox.run()
    await inbox.put(
      'b.ndjson',
      ndjson(
        '{"id": 7, "items": [}',
        { id: 1, items: [{ sku: 'a', qty: 5 }, { sku: 'b', qty: 'many' }, { qty: 6 }, { sku: 'a', qty: 7 }] },
        { id: 2, items: { sku: 'a' } },
        {
          id: 3,
          items: [
            { sku: 'a', qty: 1 },
            { sku: 'b', qty: 1 },
          ],
        },
        { id: 3, items: [{ sku: 'c', qty: 1 }] },
        { city: 'no key', items: [{ sku: 'a', qty: 1 }] },
      ),
    )
    await inbox.run()
    expect(await lines(inbox)).toEqual(['1 a 5', '1 b 1', '3 c 1'])
    expect((await rejects(inbox)).filter(it => it['table'] === 'order_lines')).toEqual([
      { table: 'order_lines', reason: 'LINE_JSON', detail: 'a value is none', line: 1n },
      ...[
        ['KEY_REPEATED', 'an element before it has its key (line 2, element 4)'],
        ['VALUE_NOT_IN_TYPE', 'column "qty" is no number (line 2, element 2)'],
        ['VALUE_NOT_IN_TYPE', 'column "sku" has no value (line 2, element 3)'],
      ].map(([reason, detail]) => ({ table: 'order_lines', reason, detail, line: 2n })),
      {
        table: 'order_lines',
        reason: 'VALUE_NOT_IN_TYPE',
        detail: 'items of the record is no list (line 3)',
        line: 3n,
      },
      ...[1, 2].map(() => ({
        table: 'order_lines',
        reason: 'KEY_REPEATED',
        detail: 'a later object has the key of its object',
        line: 4n,
      })),
      {
        table: 'order_lines',
        reason: 'VALUE_NOT_IN_TYPE',
        detail: 'column "order_id" has no value (line 6, element 1)',
        line: 6n,
      },
    ])
    const [control] = await inbox.rows(
      `select source_value as source, staged_value as staged, equal from naru.control_total where "table" = 'order_lines' and measure = 'rows' order by load desc limit 1`,
    )
    expect(control).toEqual({ source: '10', staged: '2', equal: true })
  })

  test('a contract that freezes does not stop at a list, and still does at a member that is new', async () => {
    const inbox = await newInbox(
      config("glob: '*.ndjson', scope: 'delta'", "contract: { order: { added: 'freeze' } },"),
    )
    await inbox.put('a.ndjson', ndjson({ id: 1, city: 'x', items: [{ sku: 'a', qty: 1, new: 1 }], tags: ['x'] }))
    await inbox.run()
    expect(await lines(inbox)).toEqual(['1 a 1'])
    await inbox.put('b.ndjson', ndjson({ id: 2, zip: 'x', items: [] }))
    const second = await inbox.run()
    expect(second.stderr).toContain('zip')
    expect(await inbox.rows(`select id from ods."order"`)).toEqual([{ id: 1 }])
  })

  test('a table that gets lists later has its files read for them, and its own rows stay', async () => {
    const table = "glob: '*.ndjson', scope: 'delta'"
    const whole = config(table)
    const plain = config(table, '', '').replace(
      /const line = [^]*?const models = .*\n/,
      "const models = { order: ods.export('order', order) }\n",
    )
    const inbox = await newInbox(plain)
    await inbox.put('a.ndjson', ndjson({ id: 1, items: [{ sku: 'a', qty: 1 }], tags: [] }))
    expect((await inbox.run()).stderr).toContain('does not name: items, tags')
    await inbox.configure(whole)
    const second = await inbox.run()
    expect(second.stderr).not.toContain('other options')
    expect(second.staged).toMatchObject({ shop_order_lines: 1 })
    expect(await lines(inbox)).toEqual(['1 a 1'])
    expect(await inbox.rows(`select "table" from naru.file where state = 'loaded' order by load`)).toHaveLength(3)
  })

  test('an undo gives the lists back that a file took away', async () => {
    const inbox = await newInbox(config("glob: '*.ndjson', scope: 'delta'"))
    await inbox.put(
      'a.ndjson',
      ndjson({
        id: 1,
        items: [
          { sku: 'a', qty: 1 },
          { sku: 'b', qty: 2 },
        ],
      }),
    )
    await inbox.run()
    await inbox.put('b.ndjson', ndjson({ id: 1, items: [] }))
    await inbox.run()
    expect(await lines(inbox)).toEqual([])
    const [load] = await inbox.rows(`select max(load)::int as n from naru.load where "table" = 'order_lines'`)
    const undone = await inbox.naru(['undo', String(load?.['n'])])
    expect(undone.status, undone.stderr).toBe(0)
    expect(await lines(inbox)).toEqual(['1 a 1', '1 b 2'])
  })
})

describe('lists within one JSON document', () => {
  const document = (...objects: readonly unknown[]): string => JSON.stringify({ result: { orders: objects } }, null, 2)
  const table = "glob: '*.json', scope: 'full', format: { kind: 'json', path: 'result.orders' }"

  test('become tables: each file is the whole of them, and what is gone is deleted', async () => {
    const inbox = await newInbox(config(table))
    await inbox.put(
      '1.json',
      document(
        {
          id: 1,
          items: [
            { sku: 'a', qty: 1 },
            { sku: 'b', qty: 2, price: { amount: 12.345 } },
          ],
          tags: ['x'],
        },
        { id: 2, items: [{ sku: 'a', qty: 3 }] },
      ),
    )
    await inbox.run()
    expect(await lines(inbox)).toEqual(['1 a 1', '2 a 3'])
    expect(await rejects(inbox)).toEqual([
      {
        table: 'order_lines',
        reason: 'VALUE_NOT_IN_TYPE',
        detail: 'column "price" has more than 2 decimals (object 1, element 2)',
        line: 1n,
      },
    ])
    await inbox.put('2.json', document({ id: 2, items: [{ sku: 'c', qty: 4 }], tags: [] }))
    await inbox.run()
    expect(await lines(inbox)).toEqual(['2 c 4'])
    expect(await tags(inbox)).toEqual([])
  })

  test('a list that cannot be read leaves what was staged of it', async () => {
    const inbox = await newInbox(config(table))
    await inbox.put('1.json', document({ id: 1, items: [{ sku: 'a', qty: 1 }] }))
    await inbox.run()
    await inbox.put('2.json', document({ id: 1, items: 'none' }))
    await inbox.run()
    expect(await lines(inbox)).toEqual(['1 a 1'])
  })
})

test('a part of the key that stands in the path of the file stands in the rows of its lists', async () => {
  const inbox = await newInbox(
    config("glob: 'city=*/*.ndjson', scope: 'delta'")
      .replace(
        "key: 'id', columns: { id: t.int(), city: t.text().null() }",
        "key: ['city', 'id'], columns: { id: t.int(), city: t.text() }",
      )
      .replace('r => ({ order: r.order_id, sku: r.sku', 'r => ({ order: r.order_id, sku: r.order_city.concat(r.sku)'),
  )
  const same = ndjson({ id: 1, items: [{ sku: 'a', qty: 1 }] })
  for (const city of ['x', 'y']) {
    await mkdir(path.join(inbox.inbox, `city=${city}`))
    await inbox.put(`city=${city}/a.ndjson`, same)
  }
  await inbox.run()
  expect(await lines(inbox)).toEqual(['1 xa 1', '1 ya 1'])
})
