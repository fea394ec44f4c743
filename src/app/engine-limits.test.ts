import { expect, test } from 'vitest'
import { defineConfig, duckdb, ods, sqlite, t } from '../index.ts'
import { duckdbDialect } from '../systems/duckdb/dialect.ts'
import { postgresEngineDialect } from '../services/engine/postgres/dialect.ts'
import type { Project } from '../config/model.ts'
import { engineLimits } from './engine-limits.ts'

function projectWith(columns: { pattern: RegExp }): Project {
  const shop = sqlite('shop', {
    path: 'x',
    schema: { item: { key: ['id'], columns: { id: t.int(), name: t.text() } } },
  } as const)
  const item = ods
    .entity('item', { key: 'id', columns: { id: t.int(), name: t.text() } })
    .from(shop.item, r => ({ id: r.id, name: r.name.replacePattern(columns.pattern, '-') }))
  return defineConfig({ name: 'p', engine: duckdb({ path: 'x.duckdb' }), models: [item] })
}

test('what only one engine can do is told for the other, with its place and its reason', () => {
  const project = projectWith({ pattern: /a|ab/ })
  expect(engineLimits(project, duckdbDialect)).toEqual([])
  const [limit, ...more] = engineLimits(project, postgresEngineDialect)
  expect(more).toEqual([])
  expect(limit).toMatchObject({ where: 'entity item from shop, name', error: { code: 'ENGINE_CANNOT' } })
  expect(limit?.error.message).toMatch(/a\|ab.*alternatives/)
})

test('what both can do has no limits', () => {
  expect(engineLimits(projectWith({ pattern: /[0-9]+ +/ }), postgresEngineDialect)).toEqual([])
})
