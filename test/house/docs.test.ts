import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')

test('the pages made from the code say what the code says', () => {
  const done = spawnSync(process.execPath, ['scripts/docs.mjs', '--check'], { cwd: root, encoding: 'utf8' })
  expect(done.stderr).toBe('')
  expect(done.status).toBe(0)
})

test.each(['README.md', 'README.ko.md', 'docs/guide/operations.md'])('%s has every exit status in one table', page => {
  const lines = readFileSync(path.join(root, page), 'utf8').split('\n')
  const first = lines.findIndex(line => line.startsWith('| 0 |'))
  const statuses = lines.slice(first, first + 6).map(line => line.slice(0, 5))
  expect(statuses).toEqual([0, 1, 2, 3, 4, 5].map(status => `| ${status} |`))
})

test('naru --help has every exit status', () => {
  const { stdout } = spawnSync(process.execPath, ['dist/cli/main.js', '--help'], { cwd: root, encoding: 'utf8' })
  const [, statuses = ''] = stdout.split('Exit status: ')
  expect(statuses.match(/\b\d(?= [a-z])/g)).toEqual(['0', '1', '2', '3', '4', '5'])
})
