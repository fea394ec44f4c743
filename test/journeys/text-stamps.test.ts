import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import wasm from 'node-sqlite3-wasm'
import { expect, onTestFinished, test } from 'vitest'
import { makeProject, type TestProject } from '../support/project.ts'

const config = `import { defineConfig, duckdb, sqlite, t } from 'naru'
const shop = sqlite('shop', {
  path: 'shop.db',
  schema: { item: { key: ['id'], columns: { id: t.big(), name: t.text(), changed: t.text().null() } } },
  changes: { item: { technique: 'timestamp', column: 'changed', lag: '1s', deletes: { sweep: '1ms' } } },
})
export default defineConfig({ engine: duckdb({ path: 'data.duckdb' }), models: { shop } })
`

function change(project: TestProject, statements: string): void {
  const database = new wasm.Database(path.join(project.folder, 'shop.db'))
  database.exec(statements)
  database.close()
}

test('a SQLite table is read by its stamp, which is text: new and changed rows only, and keys that are gone', async () => {
  const project = await makeProject({ config })
  onTestFinished(() => project.remove())
  await writeFile(path.join(project.folder, 'shop.db'), '')
  change(
    project,
    `create table item (id integer primary key not null, name text not null, changed datetime);
    insert into item values (1, 'tea', '2026-01-01 10:00:00'), (2, 'cup', '2026-01-01T10:00:00'), (3, 'pot', '2026-01-01')`,
  )
  expect(await project.run()).toMatchObject({ rowsRead: 3 })
  change(
    project,
    `update item set name = 'mug', changed = datetime('now') where id = 2;
    insert into item values (4, 'jar', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
    delete from item where id = 1`,
  )
  expect(await project.run()).toMatchObject({ rowsRead: 2 })
  expect(await project.rows('select id, name from staging.shop_item order by id')).toEqual([
    { id: 2n, name: 'mug' },
    { id: 3n, name: 'pot' },
    { id: 4n, name: 'jar' },
  ])
})
