import { describe, expect, test } from 'vitest'
import { env, mysql, odbc, pg, sqlite, t } from '../index.ts'
import { aboutOf } from './handle.ts'

const schema = {
  orders: { key: ['id'], columns: { id: t.int(), region: t.text() } },
  visit: { key: 'append', columns: { page: t.text() } },
} as const
const url = env('URL')
const eu = `region = 'EU'`

describe('a condition for the rows of a table', () => {
  test('is kept as it is written, for techniques that ask for it', () => {
    const changes = { orders: { technique: 'log' }, visit: { technique: 'log' } } as const
    const about = aboutOf(pg('shop', { url, schema, changes, where: { orders: eu } }))
    const tables = about?.kind === 'source' ? about.def.tables : []
    expect(tables.map(table => table.where)).toEqual([eu, undefined])
  })

  const { orders } = schema
  const log = { orders: { technique: 'log' } } as const
  test.each<[string, () => unknown, string]>([
    // @ts-expect-error the editor says so as well
    ['of no table', () => sqlite('a', { path: 'x', schema: { orders }, where: { order: eu } }), 'order'],
    [
      'that is empty',
      () => sqlite('a', { path: 'x', schema: { orders }, where: { orders: ' ' } }),
      'a condition is text',
    ],
    [
      'of a technique that gives all rows',
      () => pg('a', { url, schema: { orders }, changes: { orders: { technique: 'trigger' } }, where: { orders: eu } }),
      'the technique "trigger" gives changes of all rows; a condition (where) is for full, timestamp, version, combined, log',
    ],
    [
      'of a log without conditions',
      () => mysql('a', { url, schema: { orders }, changes: log, where: { orders: eu } }),
      'the technique "log" gives changes of all rows',
    ],
    [
      'of a table without a key',
      () =>
        pg('a', {
          url,
          schema: { visit: schema.visit },
          changes: { visit: { technique: 'log' } },
          where: { visit: `page = '/'` },
        }),
      'a table without a key is taken as a whole',
    ],
    // @ts-expect-error the editor says so as well
    ['of a kind that has none', () => odbc('a', { dsn: url, schema: { orders }, where: { orders: eu } }), 'where'],
  ])('%s is refused', (_, make, problem) => {
    expect(make).toThrow(problem)
  })
})
