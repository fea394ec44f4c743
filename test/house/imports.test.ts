import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { exceptions, specifiersIn, targetOf, violations, type Import } from './directions.ts'

const root = path.resolve(import.meta.dirname, '../..')
const src = path.join(root, 'src')

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
// `*.test.support.ts` stands beside a test and is no product either.
const product = files.filter(file => !/\.test\./.test(file))
const written = product.flatMap(from =>
  specifiersIn(readFileSync(path.join(src, from), 'utf8')).map(it => ({ from, ...it })),
)
const own: readonly Import[] = written
  .filter(it => it.to.startsWith('.'))
  .map(it => ({ ...it, to: targetOf(it.from, it.to) }))

describe('the house', () => {
  test('imports point one way only', () => {
    expect(own.length).toBeGreaterThan(500)
    expect(violations(own)).toEqual([])
  })

  test('every file stands in a room', () => {
    expect(violations(product.map(file => ({ from: file, to: 'core/errors.ts' })))).toEqual([])
  })

  test('what tests, benchmarks and scripts take of the built package is made from a file of src', () => {
    const outside = ['test', 'bench', 'scripts'].flatMap(folder =>
      readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter(file => /\.(mjs|ts)$/.test(file))
        .map(file => path.join(folder, file)),
    )
    const named = outside.flatMap(from =>
      [...readFileSync(path.join(root, from), 'utf8').matchAll(/dist\/([\w/-]+)\.js/g)].map(([, to]) => ({ from, to })),
    )
    expect(named.length).toBeGreaterThan(20)
    expect(named.filter(({ to }) => !files.includes(`${to}.ts`))).toEqual([])
  })

  test.each([
    ['core imports config', 'core/expr.ts', 'config/model.ts'],
    ['core imports a contract', 'core/env.ts', 'services/engine/contract.ts'],
    ['a system imports another', 'systems/postgres/types.ts', 'systems/mysql/types.ts'],
    ['what systems share imports one of them', 'systems/wire/block.ts', 'systems/mysql/protocol.ts'],
    ['a contract imports an implementation', 'services/engine/contract.ts', 'services/engine/duckdb/open.ts'],
    ['a contract imports that of another service', 'services/engine/contract.ts', 'services/storage/contract.ts'],
    ['config opens an implementation', 'config/source.ts', 'services/adapter/postgres/open.ts'],
    ['config imports what a run keeps', 'config/model.ts', 'run/context.ts'],
    ['plan imports run', 'plan/graph.ts', 'run/loads.ts'],
    ['run imports app', 'run/publish.ts', 'app/project.ts'],
    ['run imports a stage', 'run/publish.ts', 'etl/staging/index.ts'],
    ['a stage imports its sibling', 'etl/export/index.ts', 'etl/cleansing/index.ts'],
    ['a stage imports the warehouse', 'etl/export/index.ts', 'warehouse/index.ts'],
    ['a stage opens the engine', 'etl/staging/apply.ts', 'services/engine/duckdb/open.ts'],
    ['the report imports a stage', 'report/build.ts', 'etl/profiling/index.ts'],
    ['app imports cli', 'app/summary.ts', 'cli/output.ts'],
    ['app opens an engine past its registry', 'app/project.ts', 'services/engine/duckdb/open.ts'],
    ['app imports servers of tests outside the demo', 'app/run-project.ts', 'testing/servers/index.ts'],
    ['cli imports a stage', 'cli/run.ts', 'etl/staging/index.ts'],
    ['cli imports testing', 'cli/demo.ts', 'testing/index.ts'],
    ['testing imports app', 'testing/engine.ts', 'app/project.ts'],
    ['the words of the user import the run', 'index.ts', 'run/context.ts'],
    ['an adapter imports another', 'services/adapter/files/open.ts', 'services/adapter/sqlite/open.ts'],
    ['an adapter imports a storage', 'services/adapter/files/open.ts', 'services/storage/local/open.ts'],
    ['another adapter imports the storages', 'services/adapter/sqlite/open.ts', 'services/storage/registry.ts'],
    ['an engine imports an adapter', 'services/engine/duckdb/open.ts', 'services/adapter/postgres/open.ts'],
    ['a description loads its own driver', 'services/storage/ftp/index.ts', 'services/storage/ftp/open.ts'],
    ['a registry opens an implementation', 'services/storage/registry.ts', 'services/storage/local/open.ts'],
    ['a product file imports a suite', 'services/storage/local/open.ts', 'services/storage/conformance.ts'],
    ['what suites share imports a contract', 'testing/suite/batches.ts', 'services/engine/contract.ts'],
    [
      'a suite imports that of another service',
      'services/adapter/conformance-writes.ts',
      'services/engine/conformance.ts',
    ],
    ['a file of no room', 'helpers/dates.ts', 'core/errors.ts'],
  ])('it would be seen: %s', (_, from, to) => {
    expect(violations([{ from, to }])).toEqual([`${from} imports ${to}`])
  })

  test('every exception is needed', () => {
    const unused = exceptions.filter(({ from, to }) => !own.some(it => from.test(it.from) && to.test(it.to)))
    expect(unused).toEqual([])
  })

  test('every way to write an import is read', () => {
    const text = `import a from './a.ts'
import {
  type B,
  b,
} from './b.ts'
import type { C } from './c.ts'
import './d.ts'
export { e } from './e.ts'
export * from './f.ts'
const g = () => import('./g.ts')
const h = new URL('./h.ts', import.meta.url)`
    expect(specifiersIn(text).map(it => `${it.to}${it.dynamic ? ' later' : ''}`)).toEqual([
      './a.ts',
      './b.ts',
      './c.ts',
      './d.ts',
      './e.ts',
      './f.ts',
      './g.ts later',
      './h.ts later',
    ])
  })

  test('only open.ts and what it imports load a package', () => {
    const packages = written.filter(it => !it.to.startsWith('.') && !it.to.startsWith('node:'))
    const outside = packages.filter(
      ({ from }) =>
        !/^services\/\w+\/[\w-]+\//.test(from) &&
        !/^(testing|systems)\//.test(from) &&
        // Evaluating a TypeScript configuration needs a loader of TypeScript.
        from !== 'config/load.ts',
    )
    expect(packages.length).toBeGreaterThan(5)
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
    ['importing naru/adapter', ['--input-type=module', '-e', `import 'naru/adapter'`]],
    ['importing naru/testing', ['--input-type=module', '-e', `import 'naru/testing'`]],
    ['naru --help', ['dist/cli/main.js', '--help']],
    ['naru run --help', ['dist/cli/main.js', 'run', '--help']],
  ])('%s loads no driver and no engine', (_, args) => {
    const loaded = modulesLoadedBy(args)
    expect(loaded.some(url => url.includes('/dist/'))).toBe(true)
    expect(loaded.filter(url => url.includes('/node_modules/'))).toEqual([])
    expect(loaded.filter(url => url.endsWith('/open.js'))).toEqual([])
  })
})
