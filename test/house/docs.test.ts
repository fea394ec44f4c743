import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { commands } from '../../src/cli/commands.ts'
import { exitStatuses } from '../../src/cli/exit-status.ts'
import { codes } from '../../src/core/codes.ts'
import type { CodeEntry } from '../../src/core/codes/entry.ts'

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

const names = new Set(commands.map(({ name }) => name))

/** Words of `text` that stand where the name of a command does, and are none. */
function unknownCommands(text: string): readonly string[] {
  return [...text.matchAll(/`(?:npx )?naru ([a-z]+)/g)].flatMap(([, name = '']) => (names.has(name) ? [] : [name]))
}

test('what an error says to do names only commands that there are', () => {
  const any = new Proxy({}, { get: () => 'x' }) as never
  const found = Object.entries<CodeEntry<never>>(codes).flatMap(([code, { fix }]) => {
    const told = typeof fix === 'string' ? fix : fix(any)
    return unknownCommands(told.replaceAll(/`?\bnaru /g, '`naru ')).map(it => `${code}: naru ${it}`)
  })
  expect(found).toEqual([])
})

test('the guides and what commands print name only commands that there are', () => {
  const files = [
    ...readdirSync(path.join(root, 'docs/guide')).map(name => `docs/guide/${name}`),
    ...['src/app', 'src/cli', 'src/core', 'src/etl'].flatMap(folder =>
      readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' }).map(name => `${folder}/${name}`),
    ),
    'README.md',
  ].filter(name => /\.(md|ts)$/.test(name))
  const found = files.flatMap(name =>
    unknownCommands(readFileSync(path.join(root, name), 'utf8')).map(it => `${name}: naru ${it}`),
  )
  expect(found).toEqual([])
})
