import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { exitStatuses } from '../../src/cli/exit-status.ts'

const root = path.resolve(import.meta.dirname, '../..')

test('the pages made from the code say what the code says', () => {
  const done = spawnSync(process.execPath, ['scripts/docs.mjs', '--check'], { cwd: root, encoding: 'utf8' })
  expect(done.stderr).toBe('')
  expect(done.status).toBe(0)
})

const statuses = exitStatuses.map(([status]) => status)

test.each(['README.md', 'README.ko.md', 'docs/guide/operations.md'])('%s has every exit status in one table', page => {
  const lines = readFileSync(path.join(root, page), 'utf8').split('\n')
  const first = lines.findIndex(line => line.startsWith('| 0 |'))
  const rows = lines.slice(first, lines.indexOf('', first))
  expect(rows.map(line => line.slice(0, 5))).toEqual(statuses.map(status => `| ${status} |`))
})

test('naru --help has every exit status', () => {
  const { stdout } = spawnSync(process.execPath, ['dist/cli/main.js', '--help'], { cwd: root, encoding: 'utf8' })
  const [, listed = ''] = stdout.split('Exit status:\n')
  expect(listed.match(/^ {2}\d/gm)?.map(Number)).toEqual(statuses)
})
