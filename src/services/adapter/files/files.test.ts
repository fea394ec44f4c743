import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, open, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, describe, test } from 'vitest'
import * as fc from 'fast-check'
import { realEnv, type Env } from '../../../core/env.ts'
import { isNaruError } from '../../../core/errors.ts'
import { Secret } from '../../../core/secret.ts'
import { startFtp } from '../../../testing/servers/ftp.ts'
import { filesPromises, type FilesSystem } from '../conformance-files.ts'
import type { Adapter } from '../contract.ts'
import type { FilesShape } from '../contract-files.ts'
import { folderFilter, folderOf, matchesGlob } from '../../../core/glob.ts'
import { classify } from './names.ts'
import { openAdapter } from './open.ts'

const signal = new AbortController().signal
const ending: (() => Promise<unknown>)[] = []
const airports = new URL('../../../../node_modules/vega-datasets/data/airports.csv', import.meta.url)

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

for (const kind of ['folder', 'ftp'] as const) {
  describe(`adapter files on ${kind} keeps the contract`, () => {
    for (const promise of filesPromises) {
      test(promise.name, async () => promise.check(await makeSystem(kind)))
    }
  })
}

async function makeSystem(kind: 'folder' | 'ftp'): Promise<FilesSystem> {
  const folder = await makeFolder()
  const source = kind === 'folder' ? { options: { folder } } : await startServer(folder)
  return {
    open: async () => (await openOn(source)).files as NonNullable<Adapter['files']>,
    drop: async (name, content) => {
      await mkdir(path.dirname(path.join(folder, name)), { recursive: true })
      await writeFile(path.join(folder, name), content)
    },
    remove: name => rm(path.join(folder, name)),
  }
}

async function startServer(root: string): Promise<Source> {
  const server = await startFtp({ root, user: 'u', password: 'p@ss' })
  ending.push(() => server.stop())
  const url = server.url.replace('ftp://', 'ftp://u:p%40ss@')
  return { options: { url: { kind: 'secret', from: 'env', name: 'URL' } }, secret: url }
}

interface Source {
  readonly options: Readonly<Record<string, unknown>>
  readonly secret?: string
  readonly env?: Env
  readonly configDir?: string
  readonly stateDir?: string
}

async function openOn(source: Source): Promise<Adapter> {
  const adapter = await openAdapter({
    source: 'partner',
    options: { settle: '30ms', ...source.options },
    secret: () => new Secret(source.secret ?? ''),
    configDir: source.configDir ?? import.meta.dirname,
    stateDir: source.stateDir ?? (await makeFolder()),
    env: source.env ?? realEnv(),
  })
  ending.push(() => adapter.close())
  return adapter
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-files-'))
  ending.push(() => rm(folder, { recursive: true, force: true }))
  return folder
}

function shape(more: Partial<FilesShape> = {}): FilesShape {
  const columns = ['iata', 'name'].map(
    name => ({ name, type: { kind: 'text' }, nullable: true, personal: false }) as const,
  )
  return {
    glob: '*.csv',
    columns,
    format: { kind: 'csv', delimiter: null, quote: null, header: true, nulls: [] },
    encoding: 'utf-8',
    checksum: 'none',
    ...more,
  }
}

test('a file that is still growing waits, without a side-car to tell', async () => {
  const folder = await makeFolder()
  const handle = await open(path.join(folder, 'growing.csv'), 'w')
  ending.push(() => handle.close())
  await handle.writeFile('iata,name\n')
  await writeFile(path.join(folder, 'still.csv'), 'iata,name\n')
  const env = realEnv()
  // The sender writes on while the adapter waits between its two looks.
  const sleep = async (): Promise<void> => handle.writeFile('X,half a li')
  const adapter = await openOn({ options: { folder }, env: { ...env, clock: { ...env.clock, sleep } } })
  const { complete, waiting } = await (adapter.files as NonNullable<Adapter['files']>).list(shape(), signal)
  assert.deepEqual(
    complete.map(file => file.name),
    ['still.csv'],
  )
  assert.deepEqual(waiting, [{ name: 'growing.csv', why: 'it is still growing' }])
})

test('a file that is sent again under its old marker waits for the new one', async () => {
  const folder = await makeFolder()
  await writeFile(path.join(folder, 'a.csv'), 'iata,name\n')
  await writeFile(path.join(folder, 'a.csv.done'), '')
  await utimes(path.join(folder, 'a.csv.done'), 1, 1)
  const { files } = await openOn({ options: { folder } })
  const { complete, waiting } = await (files as NonNullable<typeof files>).list(shape({ done: '*.done' }), signal)
  assert.deepEqual(complete, [])
  assert.match(waiting[0]?.why ?? '', /older/)
})

test('a full disk while a file is taken says so and leaves nothing', async () => {
  const folder = await makeFolder()
  const stateDir = await makeFolder()
  await copyFile(airports, path.join(folder, 'airports.csv'))
  const real = realEnv()
  const full = (): Promise<never> => Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' }))
  const env: Env = {
    ...real,
    files: {
      ...real.files,
      open: async (file, flags, mode) => {
        const handle = await real.files.open(file, flags, mode)
        if (flags === 'wx') handle.writeFile = full
        return handle
      },
    },
  }
  const adapter = await openOn({ options: { folder }, env, stateDir })
  const files = adapter.files as NonNullable<Adapter['files']>
  const { complete } = await files.list(shape(), signal)
  await assert.rejects(files.take(complete[0] as (typeof complete)[0], shape(), signal), error =>
    isNaruError(error, 'DISK_FULL'),
  )
  const spools = await readdir(path.join(stateDir, 'spool'))
  assert.deepEqual(await readdir(path.join(stateDir, 'spool', spools[0] as string)), [])
})

test('a folder may be named relative to the configuration, or as an address; both or none is a mistake', async () => {
  const configDir = await makeFolder()
  await mkdir(path.join(configDir, 'in'))
  await writeFile(path.join(configDir, 'in', 'a.csv'), 'iata,name\n')
  const url = { kind: 'secret', from: 'env', name: 'URL' }
  const sources: readonly Source[] = [
    { options: { folder: 'in' }, configDir },
    { options: { url }, secret: 'in', configDir },
    { options: { url }, secret: `file://${configDir}/in`, configDir },
  ]
  for (const source of sources) {
    const { files } = await openOn(source)
    const found = await files?.list(shape(), signal)
    assert.equal(found?.complete.length, 1)
  }
  for (const [options, secret] of [
    [{}, ''],
    [{ folder: 'in', url }, 'in'],
    [{ url }, 'gopher://host/in'],
    [{ folder: 'in', hostKey: 'SHA256:x' }, ''],
    [{ url, endpoint: 'http://x' }, 'ftp://host/in'],
    [{ url }, 'sftp://host-without-user/in'],
    [{ url }, 's3://Not_A_Bucket'],
  ] as const) {
    await assert.rejects(openOn({ options, secret }), error => isNaruError(error, 'OPTION_INVALID'))
  }
})

test('a folder that is not there is named', async () => {
  const { files } = await openOn({ options: { folder: 'no-such-folder' } })
  await assert.rejects(
    (files as NonNullable<typeof files>).list(shape(), signal),
    error => isNaruError(error, 'STORAGE_NOT_FOUND') && /no-such-folder/.test(error.message),
  )
})

test('the airports of the example come over FTP with their side-car', async () => {
  const folder = await makeFolder()
  await copyFile(airports, path.join(folder, 'airports.csv'))
  const handle = await open(airports)
  const sum = createHash('md5')
    .update(await handle.readFile())
    .digest('hex')
  await handle.close()
  await writeFile(path.join(folder, 'airports.csv.md5'), `${sum}  airports.csv\n`)
  const checked = shape({ glob: 'airports*.csv', checksum: 'md5-sidecar' })
  const files = (await openOn(await startServer(folder))).files as NonNullable<Adapter['files']>
  const { complete } = await files.list(checked, signal)
  const taken = await files.take(complete[0] as (typeof complete)[0], checked, signal)
  let rows = 0
  for await (const { batches } of files.read(taken, checked, {}, signal)) {
    for await (const { batch, unknownColumns } of batches) {
      rows += batch.rows
      assert.deepEqual(unknownColumns, ['city', 'state', 'country', 'latitude', 'longitude'])
    }
  }
  assert.equal(rows, 3376)
})

describe('patterns of names', () => {
  const cases: readonly [string, string, boolean][] = [
    ['airports*.csv', 'airports.csv', true],
    ['airports*.csv', 'airports_2.csv', true],
    ['airports*.csv', 'airports.csv.part', false],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['a?c', 'a한c', true],
    ['?', '😀', true],
    ['*', '', true],
    ['', 'a', false],
    ['a.c', 'abc', false],
    ['[a]*', '[a]x', true],
    ['**a**b*', 'xxaxxb', true],
    ['*.csv', 'in/a.csv', false],
    ['in/*.csv', 'in/a.csv', true],
    ['orders/dt=*/*.csv', 'orders/dt=2026-01-01/part-0.csv', true],
    ['orders/dt=*/*.csv', 'orders/dt=2026-01-01/hour=3/part-0.csv', false],
    ['orders/dt=*/**/*.csv', 'orders/dt=2026-01-01/part-0.csv', true],
    ['orders/dt=*/**/*.csv', 'orders/dt=2026-01-01/hour=3/part-0.csv', true],
    ['orders/dt=*/**/*.csv', 'orders/x/dt=1/part-0.csv', false],
    ['**/*.csv', 'a.csv', true],
    ['**/b/**/*.csv', 'a/b/c/b/d.csv', true],
    ['orders/**', 'orders/a/b/c.csv', true],
  ]
  for (const [glob, name, expected] of cases) {
    test(`${glob} and ${name}`, () => assert.equal(matchesGlob(glob, name), expected))
  }

  test('agree with the regular expression that they mean, and end on any pattern', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 12 })
    fc.assert(
      fc.property(
        text,
        text.map(it => it.replaceAll(/[*?]/g, 'c')),
        (glob, name) => {
          const escaped = glob.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')
          assert.equal(matchesGlob(glob, name), new RegExp(`^${escaped}$`).test(name))
        },
      ),
    )
    assert.equal(matchesGlob('*a'.repeat(200), 'a'.repeat(5000)), true)
    assert.equal(matchesGlob(`${'*a'.repeat(200)}b`, 'a'.repeat(5000)), false)
  })

  test('say which folders are worth entering', () => {
    const enters = (glob: string, folder: string): boolean | undefined => folderFilter(glob)?.(folder)
    assert.equal(folderOf('orders/dt=*/*.csv'), 'orders')
    assert.equal(folderOf('*.csv'), '')
    assert.equal(enters('*.csv', 'a'), undefined)
    assert.equal(enters('in/*.csv', 'in/a'), undefined)
    assert.equal(enters('orders/dt=*/*.csv', 'orders/dt=1'), true)
    assert.equal(enters('orders/dt=*/*.csv', 'orders/other'), false)
    assert.equal(enters('orders/dt=*/*.csv', 'orders/dt=1/deeper'), false)
    assert.equal(enters('orders/dt=*/**/*.csv', 'orders/dt=1/deeper/still'), true)
    assert.equal(enters('orders/**', 'orders/any'), true)
  })

  test('a name that says that it is being written is never a file', () => {
    const all = shape({ glob: '**/*' })
    const names = ['a.csv.part', 'A.CSV.TMP', 'a.csv~', '~$a.csv', '.a.csv', 'a.csv._COPYING_', '_temporary/0/a.csv']
    for (const name of names) assert.equal(classify(name, all), 'unfinished', name)
    for (const name of ['a.csv', 'in/a.csv', 'a~b.csv', 'part.csv', '_a.csv'])
      assert.equal(classify(name, all), 'file', name)
    assert.equal(classify('_in/a.csv', shape({ glob: '_in/*.csv' })), 'file')
    assert.equal(classify('in/a.csv.part', shape({ glob: 'in/*.csv' })), 'unfinished')
    assert.equal(classify('in/b.txt.part', shape({ glob: 'in/*.csv' })), 'other')
  })

  test('a side-car is no file of its own', () => {
    assert.equal(classify('a.csv.md5', shape({ glob: '*', checksum: 'md5-sidecar' })), 'other')
    assert.equal(classify('a.csv.md5', shape({ glob: '*' })), 'file')
  })
})
