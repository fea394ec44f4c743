import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { root, textOf } from './pages.ts'

// docs/capabilities.md names a test for each of its claims: a claim whose test is gone, or has another name, is none.

const page = 'docs/capabilities.md'

interface Claim {
  readonly what: string
  /** File and the beginning of a title, as they are written: `file`: title. */
  readonly shown: readonly string[]
}

/** Rows of the tables whose last column says by what a claim is shown. */
const claims: readonly Claim[] = textOf(page)
  .split(/^## /m)
  .filter(part => /^\| .*\| shown by \|$/m.test(part))
  .flatMap(part => part.split('\n').filter(line => line.startsWith('| ') && !line.endsWith('| shown by |')))
  .map(line => line.slice(2, -2).split(/(?<!\\) \| /))
  .map(cells => ({ what: cells.slice(0, -1).join(', '), shown: (cells.at(-1) ?? '').split('<br>') }))

/** Whether the file has a text, as that of a test or of a promise, that begins so. */
function hasTitle(file: string, title: string): boolean {
  const source = readFileSync(path.join(root, file), 'utf8').replaceAll('\\', '')
  return ["'", '"', '`'].some(quote => source.includes(quote + title))
}

function faultOf(shown: string): string | null {
  const [, file, title] = /^`([^`]+)`: (.+)$/.exec(shown) ?? []
  if (file === undefined || title === undefined) return `${shown} is no \`file\`: title`
  if (!/\.test\.ts$|conformance[\w-]*\.ts$|-promises\.ts$/.test(file)) return `${file} holds no tests`
  if (!existsSync(path.join(root, file))) return `${file} is not there`
  return hasTitle(file, title.replaceAll('\\|', '|')) ? null : `${file} has no test "${title}"`
}

describe(page, () => {
  test('makes claims', () => expect(claims.length).toBeGreaterThan(60))

  test.each(claims)('$what: the tests that show it are there', ({ shown }) => {
    expect(shown.map(faultOf).filter(fault => fault !== null)).toEqual([])
  })

  test('a test that is not there would be seen', () => {
    expect(faultOf('`test/journeys/resume.test.ts`: no such promise')).toContain('has no test')
    expect(faultOf('`test/journeys/none.test.ts`: x')).toContain('is not there')
    expect(faultOf('by hand')).toContain('is no')
  })
})
