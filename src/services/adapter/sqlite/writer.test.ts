import assert from 'node:assert/strict'
import {
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { afterEach, describe, test } from 'vitest'
import { realEnv, type Env } from '../../../core/env.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import { batchOf } from '../../../testing/suite/batches.ts'
import { int64, never, shapeOf, text } from '../conformance-support.ts'
import { writesPromises } from '../conformance-writes.ts'
import type { Adapter } from '../contract.ts'
import type { TableWriter, WriteTarget } from '../contract-writes.ts'
import { openAdapter } from './open.ts'

const ending: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

interface Place {
  readonly folder: string
  readonly file: string
  execute(statement: string): void
  open(env?: Env): Promise<Adapter>
}

async function makePlace(): Promise<Place> {
  const folder = await mkdtemp(path.join(tmpdir(), 'naru-sqlite-writer-'))
  ending.push(() => rm(folder, { recursive: true, force: true }))
  const file = path.join(folder, 'target.db')
  return {
    folder,
    file,
    execute: statement => {
      const database = new sqlite.Database(file)
      database.exec(statement)
      database.close()
    },
    open: async (env = realEnv()) => {
      const adapter = await openAdapter({
        source: 'shop',
        options: { path: file },
        secret: () => assert.fail('a file needs no secret'),
        configDir: import.meta.dirname,
        stateDir: path.join(folder, 'state'),
        env,
      })
      ending.push(() => adapter.close())
      return adapter
    },
  }
}

describe('the promises of writing, with SQLite', () => {
  const can = { modes: ['update', 'upsert', 'delete'], totals: true } as const
  for (const promise of writesPromises.filter(it => it.when?.(can) ?? true)) {
    test(promise.name, async () => {
      const place = await makePlace()
      await promise.check({ open: () => place.open(), execute: async statement => place.execute(statement) })
    })
  }
})

const item = shapeOf(
  'item',
  [
    ['id', int64],
    ['name', text],
  ],
  ['id'],
)
const target: WriteTarget = { id: 'w', ...item, mode: 'insert', create: true }

async function writerOf(adapter: Adapter, more: Partial<WriteTarget> = {}): Promise<TableWriter> {
  const writer = await (adapter.writes as NonNullable<Adapter['writes']>).openWriter({ ...target, ...more }, never)
  ending.push(() => writer.close())
  return writer
}

/** What stands beside the database. */
async function besides(place: Place): Promise<readonly string[]> {
  return (await readdir(place.folder)).filter(name => name !== 'state' && name !== 'target.db').sort()
}

async function* rows(...given: readonly (readonly [bigint, string])[]): ReturnType<typeof one> {
  yield* one(given)
}

async function* one(given: readonly (readonly [bigint, string])[]) {
  yield batchOf(item.columns, [given.map(row => row[0]), given.map(row => row[1])])
}

describe('what the table of the target says', () => {
  test('two staged rows that its collation takes for one key are refused: none of them wins in silence', async () => {
    const place = await makePlace()
    place.execute(`create table item (id bigint, name text collate nocase primary key);
      insert into item values (1, 'a')`)
    for (const mode of ['upsert', 'update'] as const) {
      const writer = await writerOf(await place.open(), { key: ['name'], mode })
      await writer.stage('a', rows([2n, 'A'], [3n, 'a']), never)
      await rejectsWith('WRITE_KEY_REPEATED', writer.publish({ missed: 'refuse' }, never), 'item')
      await writer.discard(never)
    }
  })

  test('a replaced row that rows of another table point to may not vanish', async () => {
    const place = await makePlace()
    place.execute(`create table item (id bigint primary key, name text); insert into item values (1, 'a');
      create table remark (item bigint references item (id) on delete cascade); insert into remark values (1)`)
    const writer = await writerOf(await place.open(), { mode: 'replace' })
    await writer.stage('a', rows([2n, 'b']), never)
    await rejectsWith('WRITE_FAILED', writer.publish({ missed: 'refuse' }, never), 'foreign key')
  })
})

describe('a file that others use', () => {
  test('a write-ahead log beside it means that a program has it open: it is not replaced', async () => {
    const place = await makePlace()
    place.execute('create table item (id bigint primary key, name text)')
    const writer = await writerOf(await place.open())
    await writer.stage('a', rows([1n, 'a']), never)
    await writeFile(`${place.file}-wal`, '')
    await rejectsWith('WRITE_TARGET', writer.publish({ missed: 'refuse' }, never), 'target.db-wal')
  })

  test('rows that another program wrote between the copy and the rename are not lost', async () => {
    const place = await makePlace()
    place.execute('create table item (id bigint primary key, name text)')
    let copies = 0
    const env: Env = {
      ...realEnv(),
      files: {
        ...realEnv().files,
        copyFile: async (from, to, mode) => {
          await copyFile(from, to, mode)
          if (String(to).endsWith('.next') && copies++ === 0) place.execute(`insert into item values (9, 'theirs')`)
        },
      },
    }
    const writer = await writerOf(await place.open(env))
    await writer.stage('a', rows([1n, 'ours']), never)
    await writer.publish({ missed: 'refuse' }, never)
    const database = new sqlite.Database(place.file)
    assert.deepEqual(database.all('select id, name from item order by id'), [
      { id: 1, name: 'ours' },
      { id: 9, name: 'theirs' },
    ])
    database.close()
  })

  test('killed while it staged or applied, the driver leaves its locks behind, and the next one goes on', async () => {
    const place = await makePlace()
    place.execute('create table item (id bigint primary key, name text)')
    const first = await writerOf(await place.open())
    await first.stage('a', rows([1n, 'a']), never)
    await first.close()
    for (const left of ['', '.look', '.next']) await mkdir(`${place.file}.naru-stage-w${left}.lock`)
    const second = await writerOf(await place.open())
    assert.deepEqual(second.staged, [{ unit: 'a', rows: 1n }])
    await second.publish({ missed: 'refuse' }, never)
    await second.discard(never)
    assert.deepEqual(await besides(place), [])
  })

  test('killed between the mark and the rename, nothing was published; after the rename, it was', async () => {
    const place = await makePlace()
    place.execute('create table item (id bigint primary key, name text)')
    const broken: Env = {
      ...realEnv(),
      files: {
        ...realEnv().files,
        rename: async () => {
          throw new Error('killed')
        },
      },
    }
    const first = await writerOf(await place.open(broken))
    await first.stage('a', rows([1n, 'a']), never)
    await assert.rejects(first.publish({ missed: 'refuse' }, never), /killed/)
    await first.close()
    const second = await writerOf(await place.open())
    assert.equal(second.published, null)
    const written = await second.publish({ missed: 'refuse' }, never)
    await second.close()
    const third = await writerOf(await place.open())
    assert.deepEqual(third.published, written)
    await third.discard(never)
    await third.close()
    assert.deepEqual(await besides(place), [])
  })

  test('another file that came in place of the published one is not taken for it, whatever its inode', async () => {
    const place = await makePlace()
    place.execute('create table item (id bigint primary key, name text)')
    const first = await writerOf(await place.open())
    await first.stage('a', rows([1n, 'a']), never)
    await first.publish({ missed: 'refuse' }, never)
    await first.close()
    const { ino } = await stat(place.file)
    // A file system gives the inode of a file that is gone to one of the next.
    for (let i = 0; i < 20; i++) {
      await rm(place.file)
      place.execute('create table item (id bigint primary key, name text)')
      if ((await stat(place.file)).ino === ino) break
    }
    const second = await writerOf(await place.open())
    assert.equal(second.published, null)
    assert.equal((await second.publish({ missed: 'refuse' }, never)).inserted, 1n)
    await second.discard(never)
    assert.deepEqual(await besides(place), [])
  })

  test('a table is looked at without a copy of its file', async () => {
    const place = await makePlace()
    place.execute('create table item (id bigint primary key, name text)')
    const copied: string[] = []
    const files = { ...realEnv().files, copyFile: async (_: unknown, to: unknown) => void copied.push(String(to)) }
    const writer = await writerOf(await place.open({ ...realEnv(), files: files as Env['files'] }))
    assert.deepEqual(copied, [])
    await writer.discard(never)
    assert.deepEqual(await besides(place), [])
  })

  test('a program that has it open is noticed before a row is staged', async () => {
    const place = await makePlace()
    place.execute('create table item (id bigint primary key, name text)')
    await writeFile(`${place.file}-wal`, '')
    await rejectsWith('WRITE_TARGET', writerOf(await place.open()), 'target.db-wal')
  })

  test('a link to a database stays one: what it points to is written', async () => {
    const place = await makePlace()
    const real = path.join(place.folder, 'real.db')
    place.execute('create table item (id bigint primary key, name text)')
    await rename(place.file, real)
    await symlink('real.db', place.file)
    const writer = await writerOf(await place.open())
    await writer.stage('a', rows([1n, 'a']), never)
    await writer.publish({ missed: 'refuse' }, never)
    await writer.discard(never)
    assert.equal((await lstat(place.file)).isSymbolicLink(), true)
    assert.deepEqual(await besides(place), ['real.db'])
  })

  test('a stage is given up when nobody touched it, with all that stands beside it; other files are left alone', async () => {
    const place = await makePlace()
    place.execute('create table item (id bigint primary key, name text)')
    const left = await writerOf(await place.open(), { id: 'left' })
    await left.stage('a', rows([1n, 'a']), never)
    await left.close()
    await mkdir(`${place.file}.naru-stage-left.lock`)
    for (const name of ['target.db.naru-stage-gone.next', 'target.db.naru-backup', 'other.db.naru-stage-left']) {
      await writeFile(path.join(place.folder, name), '')
    }
    const fifteenDays = Date.now() / 1000 - 15 * 86_400
    await utimes(`${place.file}.naru-stage-left`, fifteenDays, fifteenDays)
    const writer = await writerOf(await place.open())
    assert.equal(await writer.removeAbandoned(14 * 86_400_000, never), 2)
    await writer.discard(never)
    assert.deepEqual(await besides(place), ['other.db.naru-stage-left', 'target.db.naru-backup'])
  })

  test('a text with a NUL, which SQLite would end there, is refused with its row', async () => {
    const place = await makePlace()
    const writer = await writerOf(await place.open())
    await rejectsWith(
      'WRITE_VALUE',
      writer.stage('a', rows([1n, 'fine'], [2n, 'a\0b']), never),
      'column "name" of "item" in "shop" cannot hold the value of row 2',
    )
    assert.deepEqual(writer.staged, [])
  })
})
