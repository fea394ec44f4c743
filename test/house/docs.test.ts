import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')

test('the pages made from the code say what the code says', () => {
  const done = spawnSync(process.execPath, ['scripts/docs.mjs', '--check'], { cwd: root, encoding: 'utf8' })
  expect(done.stderr).toBe('')
  expect(done.status).toBe(0)
})
