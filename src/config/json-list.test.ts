import { describe, expect, test } from 'vitest'
import { files } from './files.ts'
import { t } from './column.ts'

const columns = { id: t.int() }
const lists = { children: { lines: { columns: { sku: t.text() }, key: 'sku' } } } as const

describe('lists of files that cannot be tables', () => {
  test.each([
    ['files that are no JSON', 'only files of JSON have lists', { glob: '*.csv' }],
    ['files of Parquet', 'these are parquet', { glob: '*.parquet' }],
    ['files with a trailer', 'with a trailer', { glob: '*.ndjson', trailer: /^T;(?<count>\d+)$/ }],
  ])('%s', (_, problem, more) => {
    const tables = { orders: { key: 'id', scope: 'full', columns, ...more, ...lists } } as const
    expect(() => files('a', { folder: 'x', tables })).toThrow(problem)
  })

  test('a list with a column that it gets by itself', () => {
    const children = { lines: { columns: { orders_id: t.int() } } }
    const tables = { orders: { glob: '*.json', key: 'id', scope: 'full', columns, children } } as const
    expect(() => files('a', { folder: 'x', tables })).toThrow('"orders_id" of its own')
  })

  test('a list whose table is there already', () => {
    const orders = { glob: '*.json', key: 'id', scope: 'full', columns } as const
    const tables = { orders: { ...orders, ...lists }, orders_lines: orders } as const
    expect(() => files('a', { folder: 'x', tables })).toThrow('two tables "orders_lines"')
  })
})
