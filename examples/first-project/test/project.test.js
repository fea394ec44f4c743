// Runs the project on a copy, so that the test never touches its database: node --test
import assert from 'node:assert/strict'
import { execSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

const project = join(import.meta.dirname, '..')
const copy = mkdtempSync(join(tmpdir(), 'shop-'))

before(() => {
  cpSync(join(project, 'data'), join(copy, 'data'), { recursive: true })
  cpSync(join(project, 'naru.config.ts'), join(copy, 'naru.config.ts'))
})
after(() => rmSync(copy, { recursive: true }))

/** One command of naru on the copy; its facts. */
function naru(command) {
  const line = `npx naru ${command} --quiet --json --config "${join(copy, 'naru.config.ts')}"`
  return JSON.parse(execSync(line, { cwd: project, encoding: 'utf8' }).trim().split('\n').at(-1))
}

test('bad rows are set aside, the others reach the warehouse', () => {
  const { staged, rejected, warehouse, corrections } = naru('run')
  assert.equal(staged.shop_orders, 11)
  assert.deepEqual(rejected, { shop_orders: 1, sale: 3 })
  assert.equal(warehouse.fact_sale, 8)
  assert.deepEqual(corrections, { sale: 3 })
})

test('a second run with nothing new moves no row', () => {
  assert.equal(naru('run').rowsStaged, 0)
})

test('the summary adds up', () => {
  const { rows } = naru('sql "select sum(orders), sum(amount) from mart.sales_by_month"')
  assert.deepEqual(rows, [['8', '186.70']])
})
