// A system that the package has no adapter for: tab-separated files, read by the adapter beside this file.
import { defineConfig, duckdb, ods, source, t } from 'naru'
import { tsv } from './tsv/index.ts'

const lab = source('lab', tsv, {
  folder: 'data',
  schema: {
    sample: {
      key: ['id'],
      columns: { id: t.big(), taken: t.date(), label: t.text().null(), cost: t.decimal(18, 2) },
    },
  },
})

const sample = ods
  .entity('sample', { key: 'id', columns: { id: t.big(), taken: t.date(), cost: t.decimal(18, 2) } })
  .from(lab.sample, r => ({ id: r.id, taken: r.taken, cost: r.cost }))

export default defineConfig({ engine: duckdb({ path: 'lab.duckdb' }), models: { sample } })
