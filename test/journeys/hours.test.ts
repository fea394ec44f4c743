import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import wasm from 'node-sqlite3-wasm'
import { expect, onTestFinished, test } from 'vitest'
import { jsonOf, makeProject } from '../support/project.ts'

/** `'HH:MM'` so many hours from now, in UTC. */
const inHours = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString().slice(11, 16)

function config(hours: string): string {
  return `import { defineConfig, duckdb, sqlite, t } from 'naru'
const shop = sqlite('shop', {
  path: 'shop.db', chunkRows: 1, hours: ${JSON.stringify(hours)},
  schema: { item: { key: ['id'], columns: { id: t.big() } } },
})
export default defineConfig({ engine: duckdb({ path: 'data.duckdb' }), models: { shop } })
`
}

test('a run outside of the hours ends with status 4 and says which table waits; status says so as well', async () => {
  const project = await makeProject({ config: config(`${inHours(2)}-${inHours(3)}`) })
  onTestFinished(() => project.remove())
  const file = path.join(project.folder, 'shop.db')
  await writeFile(file, '')
  const database = new wasm.Database(file)
  database.exec('create table item (id integer primary key not null); insert into item values (1), (2)')
  database.close()
  const waited = await project.naru(['run', '--json'])
  expect(waited.status, waited.stderr).toBe(4)
  expect(jsonOf(waited)).toMatchObject({ ok: true, waiting: ['shop.item'] })
  expect(waited.stderr).toMatch(
    /shop\.item: waits for the hours of its source, from \d\d:\d\d UTC; the next run goes on/,
  )
  await project.configure(config(`${inHours(-1)}-${inHours(2)}`))
  expect(await project.run()).toMatchObject({ staged: { shop_item: 2 }, waiting: [] })
})
