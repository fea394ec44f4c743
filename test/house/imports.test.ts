import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')
const src = path.join(root, 'src')

/** What each room may import, besides itself. The order of the house: see docs/ARCHITECTURE.md. */
const rooms: readonly { readonly room: string; readonly may: readonly string[] }[] = [
  { room: 'core', may: [] },
  { room: 'systems', may: ['core'] },
  { room: 'services', may: ['core', 'systems', 'services/contract'] },
  { room: 'config', may: ['core', 'services/contract', 'services/description'] },
  { room: 'plan', may: ['core', 'services/contract', 'config'] },
  { room: 'run', may: ['core', 'services/contract', 'config', 'plan'] },
  { room: 'etl', may: ['core', 'services/contract', 'config', 'plan', 'run'] },
  { room: 'capture', may: ['core', 'services/contract', 'config', 'plan', 'run'] },
  { room: 'warehouse', may: ['core', 'services/contract', 'config', 'plan', 'run'] },
  { room: 'report', may: ['core', 'services/contract', 'config', 'plan', 'run'] },
]

interface Import {
  readonly from: string
  readonly to: string
  readonly dynamic: boolean
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
// `*.test.support.ts` stands beside a test and is no product either.
const product = files.filter(file => !/\.test\./.test(file))

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(path.join(src, file), 'utf8')
  const pattern =
    /(?:^|\n)\s*(?:import|export)\b[^'"\n]*?(?:\{[^}]*\})?[^'"\n]*?from\s+'([^']+)'|import\('([^']+)'\)|(?:^|\n)import\s+'([^']+)'/g
  return [...text.matchAll(pattern)].map(match => ({
    from: file,
    to: (match[1] ?? match[2] ?? match[3]) as string,
    dynamic: match[2] !== undefined,
  }))
}

/** The room of a file. `index.ts` holds the user's words and nothing else: it is the front of config. */
function roomOf(file: string): string {
  return file === 'index.ts' ? 'config' : (file.split('/')[0] as string)
}

/** The place of an imported file of ours: `services/contract` for contracts, `services/description` for data-only indexes. */
function placeOf(file: string, to: string): string {
  const target = path.join(path.dirname(file), to)
  const room = roomOf(target)
  const third = target.split('/')[2]
  if (room !== 'services') return room
  if (/^services\/\w+\/contract\.ts$/.test(target)) return 'services/contract'
  if (third !== undefined && /^services\/\w+\/[\w-]+\/index\.ts$/.test(target)) return 'services/description'
  return 'services'
}

function violations(): readonly string[] {
  return product.flatMap(file => {
    const room = roomOf(file)
    const rule = rooms.find(it => it.room === room)
    if (rule === undefined) return []
    return importsOf(file)
      .filter(it => it.to.startsWith('.'))
      .filter(it => {
        const place = placeOf(file, it.to)
        const target = path.join(path.dirname(file), it.to)
        if (rule.may.includes(place)) return false
        if (place === room || (room === 'services' && place.startsWith('services'))) return isSibling(file, target)
        return true
      })
      .map(it => `${file} imports ${it.to}`)
  })
}

/** Stages do not import each other, and neither do implementations of a service. */
function isSibling(file: string, target: string): boolean {
  const a = file.split('/')
  const b = target.split('/')
  if (a[0] === 'etl') return a[1] !== b[1]
  if (a[0] !== 'services' || a.length < 4 || b.length < 4) return false
  return a[1] === b[1] && a[2] !== b[2]
}

describe('the house', () => {
  test('imports point one way only', () => {
    expect(violations()).toEqual([])
  })

  test('a violation would be seen', () => {
    // The checker's own control: core may import nothing, a stage may not import its sibling.
    expect(rooms.find(it => it.room === 'core')?.may).toEqual([])
    expect(isSibling('etl/export/index.ts', 'etl/cleansing/index.ts')).toBe(true)
    expect(isSibling('services/adapter/files/open.ts', 'services/adapter/sqlite/open.ts')).toBe(true)
    expect(isSibling('etl/export/index.ts', 'etl/export/masks.ts')).toBe(false)
    expect(placeOf('config/sources.ts', '../services/adapter/postgres/index.ts')).toBe('services/description')
    expect(placeOf('config/sources.ts', '../services/adapter/postgres/open.ts')).toBe('services')
    expect(placeOf('plan/graph.ts', '../index.ts')).toBe('config')
  })

  test('only open.ts and what it imports load a package', () => {
    const packages = product.flatMap(file =>
      importsOf(file)
        .filter(it => !it.to.startsWith('.') && !it.to.startsWith('node:'))
        .map(it => ({ file, to: it.to })),
    )
    const outside = packages.filter(
      ({ file }) =>
        !/^services\/\w+\/[\w-]+\//.test(file) &&
        !/^(testing|cli|app|systems)\//.test(file) &&
        // Evaluating a TypeScript configuration needs a loader of TypeScript.
        file !== 'config/load.ts',
    )
    expect(outside).toEqual([])
  })
})

describe('loading', () => {
  /** Every module that the loader is asked for while `args` run. */
  function modulesLoadedBy(args: readonly string[]): readonly string[] {
    const done = spawnSync(process.execPath, ['--import', './test/house/log-loads.mjs', ...args], {
      cwd: root,
      encoding: 'utf8',
    })
    expect(done.status, done.stderr).toBe(0)
    return done.stderr
      .split('\n')
      .filter(line => line.startsWith('loaded '))
      .map(line => line.slice(7))
  }

  test.each([
    ['importing naru', ['--input-type=module', '-e', `import 'naru'`]],
    ['naru --help', ['dist/cli/main.js', '--help']],
    ['naru run --help', ['dist/cli/main.js', 'run', '--help']],
  ])('%s loads no driver and no engine', (_, args) => {
    const loaded = modulesLoadedBy(args)
    expect(loaded.some(url => url.includes('/dist/'))).toBe(true)
    expect(loaded.filter(url => url.includes('/node_modules/'))).toEqual([])
    expect(loaded.filter(url => url.endsWith('/open.js'))).toEqual([])
  })
})
