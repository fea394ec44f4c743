import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { makeProject } from '../support/project.ts'

test('plan names each table so that naru run takes the name', async () => {
  const project = await makeProject({
    config: `import { defineConfig, duckdb, files, t } from 'naru'
const shop = files('shop', { folder: '.', tables: {
  item: { glob: 'item*.csv', key: 'id', scope: 'full', columns: { id: t.int() } },
} })
export default defineConfig({ engine: duckdb({ path: 'data.duckdb' }), models: { shop } })
`,
  })
  onTestFinished(() => project.remove())
  await writeFile(path.join(project.folder, 'item.csv'), 'id\n1\n')
  for (const state of ['before', 'after'] as const) {
    const planned = JSON.parse((await project.naru(['plan', '--json'])).stdout) as { reads: { table: string }[] }
    expect(
      planned.reads.map(({ table }) => table),
      `${state} the first run`,
    ).toEqual(['shop.item'])
    await project.run(...planned.reads.map(({ table }) => table))
  }
})
