import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import wasm from 'node-sqlite3-wasm'
import { expect, onTestFinished, test } from 'vitest'
import { startTestDatabase } from '../../src/testing/postgres/database.ts'
import { expectRefused, jsonOf, makeProject, type TestProject } from '../support/project.ts'

const config = `import { defineConfig, duckdb, env, mask, ods, sqlite, t } from 'naru'
const columns = { id: t.big(), label: t.text() }
const shop = sqlite('shop', {
  path: 'shop.db', contract: 'freeze',
  schema: { item: { key: ['id'], columns }, town: { key: ['id'], columns } },
})
const town = ods
  .entity('town', { key: 'id', columns: { id: t.big(), label: t.text().pii() } })
  .from(shop.town, r => ({ ...r }))
const towns = ods.export('town', town, { mask: { label: mask.hash(env('MASK_KEY')) } })
export default defineConfig({ engine: duckdb({ path: 'data.duckdb' }), models: { shop, towns } })
`

async function shop(
  text = config,
  variables = {},
): Promise<{ readonly project: TestProject; readonly execute: (statement: string) => void }> {
  const project = await makeProject({ config: text, variables: { MASK_KEY: 'a-key-of-the-masks', ...variables } })
  onTestFinished(() => project.remove())
  const file = path.join(project.folder, 'shop.db')
  await writeFile(file, '')
  const execute = (statement: string): void => {
    const database = new wasm.Database(file)
    database.exec(statement)
    database.close()
  }
  execute(`
    create table item (id bigint not null primary key, label text not null); insert into item values (1, 'a');
    create table town (id bigint not null primary key, label text not null); insert into town values (1, 'Seoul')`)
  return { project, execute }
}

test('a table of another shape stops alone: status 5, and it is named by the run, the status and the report', async () => {
  const { project, execute } = await shop()
  await project.run()
  execute("alter table item add column price integer; insert into town values (2, 'Busan')")
  const ended = await project.naru(['run', '--json'])
  expect(ended.status, ended.stderr).toBe(5)
  const table = 'shop.item'
  expect(jsonOf(ended)).toMatchObject({
    ok: false,
    staged: { shop_item: 1, shop_town: 2 },
    stopped: [{ table, code: 'SOURCE_COLUMN_NEW', message: expect.stringContaining('price') as string }],
  })
  expect(ended.stderr).toContain('shop.item is not read and stays as it was')
  const { stdout } = await project.naru(['run'])
  expect(stdout).toMatch(/Not read, as it was before: shop\.item: .*price/)
  expect(stdout).toMatch(/staging\.shop_item +1 +not read, as it was\n/)
  expect(stdout).toMatch(/staging\.shop_town +2 +.*agrees with the source\n/)
  expect(jsonOf(await project.naru(['status', '--json']))).toMatchObject({ stopped: [{ table, run: '3' }] })
  expect((await project.naru(['status'])).stdout).toMatch(/shop\.item +run 3 +.*price \[SOURCE_COLUMN_NEW\]/)
  const report = await project.naru(['report', '--out', 'report', '--json'])
  expect(report.status, report.stderr).toBe(0)
  const page = JSON.parse(await readFile(path.join(project.folder, 'report', 'report.json'), 'utf8')) as {
    findings: readonly { text: string }[]
  }
  expect(page.findings.map(it => it.text).join('\n')).toMatch(/shop\.item is as it was before run 3.*price/)
})

test('check ends with the status that the run would end with', async () => {
  const { project, execute } = await shop()
  expect((await project.naru(['check'])).status).toBe(0)
  execute('alter table item drop column label')
  const shape = await project.naru(['check'])
  expect(shape.status, shape.stdout).toBe(1)
  const unset = await project.naru(['check', '--json'], { MASK_KEY: '' })
  expect(unset.status, unset.stdout).toBe(2)
  expect(jsonOf(unset)).toMatchObject({
    ok: false,
    problems: [{ code: 'ENV_MISSING' }, { where: 'shop.item', code: 'SOURCE_COLUMN_GONE' }],
  })
  expectRefused(await project.naru(['run'], { MASK_KEY: '' }), { status: 2, code: 'ENV_MISSING', says: ['MASK_KEY'] })
})

test('undo of a load that changed no row says so', async () => {
  const { project } = await shop()
  await project.run()
  await project.run('shop.item')
  const undone = await project.naru(['undo', '3'])
  expect(undone.status, undone.stderr).toBe(0)
  expect(undone.stdout).toContain('load 3 of shop.item: it changed no row, so none was taken back')
})

test('both are the same in the engine postgres', async () => {
  const database = await startTestDatabase()
  onTestFinished(() => database.stop())
  const onPostgres = config
    .replace("duckdb({ path: 'data.duckdb' })", "postgres({ url: env('WAREHOUSE_URL') })")
    .replace('duckdb,', 'postgres,')
  const { project, execute } = await shop(onPostgres, { WAREHOUSE_URL: database.url })
  await project.run()
  execute('alter table item add column price integer')
  const ended = await project.naru(['run', '--json'])
  expect(ended.status, ended.stderr).toBe(5)
  expect(jsonOf(await project.naru(['status', '--json']))).toMatchObject({
    stopped: [{ table: 'shop.item', run: '2' }],
  })
  await project.configure(
    onPostgres
      .replace(
        "item: { key: ['id'], columns }",
        "item: { key: ['id'], columns: { id: t.big(), price: t.big().null() } }",
      )
      .replace("contract: 'freeze',", ''),
  )
  await project.run()
  expect(jsonOf(await project.naru(['status', '--json']))).toMatchObject({ stopped: [] })
  expectRefused(await project.naru(['undo', '1']), {
    status: 2,
    code: 'UNDO_REPLACED',
    says: ['load 1 of shop.item', 'load 4'],
  })
})
