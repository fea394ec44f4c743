import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeProject, type TestProject } from '../support/project.ts'

let project: TestProject
beforeAll(async () => {
  project = await makeProject({ config: '' })
  const database = new sqlite.Database(path.join(project.folder, 'shop.db'))
  database.exec(`create table orders (id integer primary key not null, status text, amount decimal(9,2));
    create table customer (name text);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 250)
    insert into orders select i, case when i % 2 = 0 then 'sent' end, i / 4.0 from n;
    insert into customer values ('Ann'), (x'ff')`)
  database.close()
})
afterAll(() => project.remove())

const ask = async (...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> => {
  const ended = await project.naru(['sql', '--from', ...args, '--json'])
  expect(ended.status, ended.stderr).toBe(0)
  return JSON.parse(ended.stdout.trim().split('\n').at(-1) as string) as Record<string, unknown>
}

test('the tables of a source are listed without a project', async () => {
  const { tables } = await ask('shop.db', '--tables')
  expect(tables).toMatchObject([
    { name: 'customer', columns: 1, key: [] },
    { name: 'orders', columns: 3, key: ['id'] },
  ])
  const shown = await project.naru(['sql', '--from', 'shop.db', '--tables'])
  expect(shown.stdout).toMatch(/^orders +3 +id/m)
})

test('the first rows of a table are shown, exactly, and it is said that there are more', async () => {
  const answer = await ask('shop.db#orders', '--limit', '2')
  expect(answer).toMatchObject({
    columns: [{ name: 'id' }, { name: 'status' }, { name: 'amount', type: { kind: 'decimal' } }],
    rows: [
      ['1', null, '0.25'],
      ['2', 'sent', '0.50'],
    ],
    complete: false,
  })
  const shown = await project.naru(['sql', '--from', 'shop.db#orders', '--limit', '2'])
  expect(shown.stdout).toContain('more than 2 rows')
})

test('a query is run by the source, in its own words', async () => {
  const query = `select status, sum(amount) as total from orders group by status having status is not null`
  expect(await ask('shop.db', query)).toMatchObject({ rows: [['sent', expect.anything()]], complete: true })
  const wrong = await project.naru(['sql', '--from', 'shop.db', 'select nonsense'])
  expect([wrong.status, wrong.stderr]).toEqual([expect.any(Number), expect.stringContaining('[SOURCE_QUERY]')])
  expect(wrong.status).not.toBe(0)
})

test('a file is asked as a table is', async () => {
  await writeFile(path.join(project.folder, 'stock.csv'), 'id;note\n007;"a;b"\n8;\n')
  const rows = [
    ['007', 'a;b'],
    ['8', null],
  ]
  expect(await ask('stock.csv')).toMatchObject({ rows, complete: true })
})

test('rows that cannot be read exactly are counted, not shown', async () => {
  expect(await ask('shop.db#customer')).toMatchObject({ rows: [['Ann']], rejected: 1 })
})

test.each([
  [['sql', '--tables'], '--tables goes with --from'],
  [['sql', '--from', 'postgres://me:hidden@h/d', 'select 1'], 'environment variable'],
  [['sql', '--from', 'shop.db#orders', 'select 1'], 'not both'],
  [['sql', '--from', 'shop.db', ' '], 'name a table in it, or give a query'],
  [['sql', '--from', 'shop.db#order'], 'has no table "order" that this account may read; there are customer, orders'],
  [['sql', '--from', 'none.csv'], 'there is no file none.csv'],
])('%j is wrong use', async (args, says) => {
  const ended = await project.naru(args)
  expect(ended.status).toBe(2)
  expect(ended.stderr).toContain(says)
  expect(ended.stderr).not.toContain('hidden')
})

test('writes nothing into the folder', async () => {
  await writeFile(path.join(project.folder, 'note.txt'), 'x')
  const { readdir } = await import('node:fs/promises')
  expect((await readdir(project.folder)).filter(name => /naru_|stage/.test(name))).toEqual([])
})
