import { expect, test } from 'vitest'
import { defineConfig, duckdb, ods, sqlite, t } from '../../index.ts'
import { duckdbDialect } from '../../systems/duckdb/dialect.ts'
import { postgresEngineDialect } from '../../services/engine/postgres/dialect.ts'
import type { Project } from '../../config/model.ts'
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

test('a table with more columns than the engine has, and a column of a name too long for it, are told before a run', () => {
  const wide = Object.fromEntries(Array.from({ length: 1600 }, (_, i) => [`c${i}`, t.int()]))
  const long = 'n'.repeat(64)
  const shop = sqlite('shop', {
    path: 'x',
    schema: {
      item: { key: ['id'], columns: { id: t.int(), ...wide } },
      other: { key: ['id'], columns: { id: t.int(), [long]: t.int() } },
    },
  })
  const project: Project = defineConfig({
    name: 'p',
    engine: duckdb({ path: 'x.duckdb' }),
    models: { shop },
  }) as unknown as Project
  expect(engineLimits(project, duckdbDialect)).toEqual([])
  const told = engineLimits(project, postgresEngineDialect).map(({ where, error }) => [where, error.code])
  expect(told).toContainEqual(['shop.item', 'ENGINE_CANNOT'])
  expect(told).toContainEqual([`shop.other, ${long}`, 'IDENT_INVALID'])
  expect(told).toHaveLength(2)
})

test('what both can do has no limits', () => {
  expect(engineLimits(projectWith({ pattern: /[0-9]+ +/ }), postgresEngineDialect)).toEqual([])
})
