import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import sqlite from 'node-sqlite3-wasm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Ended } from '../support/command.ts'
import { makeProject, type TestProject } from '../support/project.ts'

// Names and values of a source are data: on their way through pull, run, transfer and what is printed they are no SQL, no
// code, no member of every object, and nothing that a terminal obeys.

const escape = '\u001b]0;owned\u0007\u001b[2J'
const tableName = `it"; drop table bystander; --${escape}\nnaru: all is well`
const columns = [
  '__proto__',
  'constructor',
  `a"; drop table "bystander`,
  `x${escape}`,
  '\u202etxet',
  "it's",
  'toString',
]
const values = ["'); drop table bystander; --", '=cmd()', `red ${escape}`, '\u202eevil', '{{7*7}}', '${1}', 'plain']

let project: TestProject
beforeAll(async () => {
  project = await makeProject({ config: '' })
  const database = new sqlite.Database(path.join(project.folder, 'shop.db'))
  const name = (text: string): string => `"${text.replaceAll('"', '""')}"`
  database.exec(`create table bystander (id integer primary key);
    insert into bystander values (1);
    create table ${name(tableName)} (id integer primary key, ${columns.map(it => `${name(it)} text`).join(', ')})`)
  database.run(`insert into ${name(tableName)} values (1, ${columns.map(() => '?').join(', ')})`, [...values])
  // A value that no type holds: its row is set aside, and the words about it name the column.
  database.exec(`insert into ${name(tableName)} (id, ${name(columns[3] as string)}) values (2, x'ff')`)
  database.close()
})
afterAll(() => project.remove())

/** Nothing that it says drives a terminal, and only its own lines begin a line. */
function expectHarmless(ended: Ended): void {
  const said = ended.stdout + ended.stderr
  // eslint-disable-next-line no-control-regex
  expect(said.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
  expect(said).not.toMatch(/^naru: all is well/m)
}

async function runs(...args: readonly string[]): Promise<Ended> {
  const ended = await project.naru(args)
  expect(ended.status, ended.stderr).toBe(0)
  expectHarmless(ended)
  return ended
}

test('a pull and a run bring every column and value as they are, and harm nothing beside them', async () => {
  await runs('pull', 'shop', '--from', 'sqlite', '--path', 'shop.db', '--all')
  const module = await readFile(path.join(project.folder, 'schema', 'shop.ts'), 'utf8')
  const [, table = ''] = /^ {2}(it_\w*): \{$/m.exec(module) ?? []
  await project.configure(`import { defineConfig, duckdb, ods, sqlite, t } from 'naru'
import { shopSchema } from './schema/shop.ts'
const shop = sqlite('shop', { path: 'shop.db', schema: shopSchema })
const it = ods.entity('it', { key: 'id', columns: { id: t.big(), a: t.text().null(), b: t.text().null() } })
  .from(shop.${table}, r => ({ id: r.id, a: r['__proto__'], b: r[${JSON.stringify(columns[2])}] }))
const bystander = ods.entity('bystander', { key: 'id', columns: { id: t.big() } }).from(shop.bystander, r => ({ id: r.id }))
export default defineConfig({ name: 'shop', engine: duckdb({ path: 'data.duckdb' }), models: { it, bystander } })
`)
  await runs('check')
  await runs('run')
  const staged = await project.rows(`select * from staging.shop_${table}`)
  expect(staged).toHaveLength(1)
  for (const [i, column] of columns.entries()) {
    expect(Object.entries(staged[0] as object).find(([name]) => name === column)?.[1], column).toBe(values[i])
  }
  expect(await project.rows('select a, b from ods.it')).toEqual([{ a: values[0], b: values[2] }])
  expect(await project.rows('select count(*) as n from ods.bystander')).toEqual([{ n: 1n }])
  await runs('report')
  await runs('sql', `select * from staging.shop_${table}`)
  await runs('sql', `select reason, detail from naru.reject`)
})

test('a transfer takes the same names and values, and one that is refused says them harmlessly', async () => {
  const from = `shop.db#${tableName}`
  await runs('transfer', from, 'copy.db#copy', '--create', '--where', 'id = 1')
  await runs('transfer', from, 'copy.csv', '--where', 'id = 1')
  const database = new sqlite.Database(path.join(project.folder, 'copy.db'))
  // As one text: the objects of this driver lose a column of that first name.
  const list = columns.map(it => `"${it.replaceAll('"', '""')}"`).join(', ')
  const found = database.get(`select json_array(id, ${list}) as row from copy`) as { row: string }
  expect(JSON.parse(found.row)).toEqual([1, ...values])
  database.close()
  const engine = await DuckDBInstance.create(':memory:')
  const connection = await engine.connect()
  const read = await connection.runAndReadAll(
    `from read_csv('${path.join(project.folder, 'copy.csv')}', all_varchar = true)`,
  )
  expect(read.getRows()).toEqual([['1', ...values]])
  connection.disconnectSync()
  engine.closeSync()

  const refused = await project.naru(['transfer', from, 'more.db#copy', '--create'])
  expect(refused.status).toBe(1)
  expect(refused.stderr).toContain('[TRANSFER_REJECTS]')
  expectHarmless(refused)
  const unknown = await project.naru(['transfer', `shop.db#no${escape}\nnaru: all is well`, 'more.db#copy'])
  expect(unknown.status).toBe(2)
  expectHarmless(unknown)
  expect(await countOf('bystander')).toBe(1)
})

async function countOf(table: string): Promise<number> {
  const database = new sqlite.Database(path.join(project.folder, 'shop.db'))
  try {
    return (database.get(`select count(*) as n from ${table}`) as { n: number }).n
  } finally {
    database.close()
  }
}
