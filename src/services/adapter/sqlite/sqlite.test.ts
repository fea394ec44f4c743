import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, describe, test } from 'vitest'
import * as fc from 'fast-check'
import wasm from 'node-sqlite3-wasm'
import { realEnv, type Env } from '../../../core/env.ts'
import type { Code } from '../../../core/errors.ts'
import type { ColumnDef, ColumnType } from '../../../core/types.ts'
import { columnOf, describeTable, never, readAll, shapeOf, text } from '../conformance-support.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import { hardTypes } from '../../../testing/sqlite/hard-values.ts'
import { tablesPromisesFor, type HardTable, type TablesSystem } from '../conformance-tables.ts'
import type { Adapter, Snapshot, TableShape } from '../contract.ts'
import { plainFloats, totalsOfTexts } from '../text-totals.ts'
import { openAdapter } from './open.ts'
import { typeOf } from './types.ts'

const rowBytesMax = 90_000
const int64: ColumnType = { kind: 'int', bits: 64 }
const ending: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

const can = { writesBesideSnapshot: true, ownRows: true, horizon: false }

describe('tables of sqlite keep the contract', () => {
  for (const promise of tablesPromisesFor(can)) {
    test(promise.name, async () => {
      const system = await makeSystem()
      await promise.check(system)
    })
  }
})

/** A database file in a folder of its own. */
interface TestFile {
  readonly path: string
  readonly stateDir: string
  execute(statement: string): void
}

async function makeFile(setup = ''): Promise<TestFile> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-sqlite-'))
  ending.push(() => rm(folder, { recursive: true, force: true }))
  await mkdir(path.join(folder, 'source'))
  const file = path.join(folder, 'source', 'legacy.db')
  const execute = (statement: string): void => {
    const database = new wasm.Database(file)
    try {
      database.exec(statement)
    } finally {
      database.close()
    }
  }
  execute(setup)
  return { path: file, stateDir: path.join(folder, 'state'), execute }
}

async function openFile(file: TestFile, options: object = {}, env: Env = realEnv()): Promise<Adapter> {
  const adapter = await openAdapter({
    source: 'safety',
    options: { path: file.path, ...options },
    secret: () => assert.fail('a file needs no secret'),
    configDir: import.meta.dirname,
    stateDir: file.stateDir,
    env,
  })
  ending.push(() => adapter.close())
  return adapter
}

async function snapshotOf(file: TestFile, env?: Env): Promise<Snapshot> {
  const { tables } = await openFile(file, {}, env)
  return (tables as NonNullable<typeof tables>).openSnapshot(never)
}

async function makeSystem(): Promise<TablesSystem> {
  const file = await makeFile()
  return {
    open: () => openFile(file, { maxValueBytes: rowBytesMax }),
    rowBytesMax,
    execute: async statement => file.execute(statement),
    typeName,
    literal: (type, value) => (type.kind === 'int' ? value : `'${value.replaceAll("'", "''")}'`),
    // SQLite has no time type: stamps are text in ISO 8601.
    stamp: text,
    can,
    createHardTable: async () => createHardTable(file),
  }
}

function typeName(type: ColumnType): string {
  if (type.kind === 'int') return type.bits === 32 ? 'int4' : type.bits === 16 ? 'int2' : 'bigint'
  return type.kind
}

async function createHardTable(file: TestFile): Promise<HardTable> {
  const names = hardTypes.map((_, i) => `c${i}`)
  file.execute(
    `create table hard (id integer primary key, ${hardTypes.map((it, i) => `c${i} ${it.native}`).join(', ')})`,
  )
  const rows: (string | null)[][] = []
  const unfit: string[] = []
  let id = 0
  const insert = (column: number, value: string): string => {
    file.execute(`insert into hard (id, ${names[column]}) values (${++id}, ${value})`)
    return String(id)
  }
  for (const [column, { values }] of hardTypes.entries()) {
    for (const [value, expected] of Object.entries(values)) {
      const row: (string | null)[] = [insert(column, value), ...names.map(() => null)]
      row[column + 1] = expected
      rows.push(row)
    }
  }
  for (const [column, it] of hardTypes.entries()) for (const value of it.unfit ?? []) unfit.push(insert(column, value))
  const columns: ColumnDef[] = hardTypes.map(({ type }, i) => columnOf(`c${i}`, type))
  return {
    remote: 'hard',
    key: ['id'],
    columns: [{ ...columnOf('id', int64), nullable: false }, ...columns],
    rows,
    unfit,
  }
}

describe('types', () => {
  const cases: readonly [string, string][] = [
    ['INTEGER', 'int64'],
    ['BIGINT', 'int64'],
    ['UNSIGNED BIG INT', 'int64'],
    ['TINYINT(1)', 'int64'],
    ['POINT', 'text'],
    ['DECIMAL(10,2)', 'decimal'],
    ['NUMERIC(12)', 'decimal'],
    ['DECIMAL(20,2)', 'text'],
    ['DECIMAL(2,4)', 'text'],
    ['NUMERIC', 'text'],
    ['VARCHAR(255)', 'text'],
    ['NATIVE CHARACTER(70)', 'text'],
    ['CLOB', 'text'],
    ['DATE', 'text'],
    ['DATETIME', 'text'],
    ['', 'text'],
    ['BLOB', 'bytes'],
    ['DOUBLE PRECISION', 'float'],
    ['FLOAT', 'float'],
    ['BOOLEAN', 'bool'],
  ]
  for (const [native, expected] of cases) {
    test(`${native || 'no type'} is ${expected}`, () => {
      const type = typeOf(native)
      assert.equal(type.kind === 'int' ? `int${type.bits}` : type.kind, expected)
    })
  }

  test('a reject says what was found, and names the row', async () => {
    const file = await makeFile(`create table t (id integer primary key, n integer); insert into t values (7, 'abc')`)
    const { rejects } = await readAll(
      await snapshotOf(file),
      shapeOf(
        't',
        [
          ['id', int64],
          ['n', int64],
        ],
        ['id'],
      ),
    )
    assert.equal(rejects.length, 1)
    assert.deepEqual(rejects[0]?.key, { id: '7' })
    assert.equal(rejects[0]?.detail, 'column "n" is int64, the value is text')
    assert.equal(rejects[0]?.content, `text 'abc'`)
  })
})

describe('the catalog', () => {
  test('keys are the primary key, or a unique one without NULLs', async () => {
    const file = await makeFile(`
      create table a (x text, y text, primary key (y, x));
      create table b (x text not null, y text, unique (y), unique (x));
      create table c (x text);
      create view v as select x, length(x) as n from c;
      create view broken as select * from gone;
      create table "we""ird; drop table a" ("na me" text, "select" integer generated always as (1))`)
    const adapter = await openFile(file)
    assert.deepEqual((await describeTable(adapter, 'a')).key, ['y', 'x'])
    assert.deepEqual((await describeTable(adapter, 'b')).key, ['x'])
    assert.deepEqual((await describeTable(adapter, 'c')).key, [])
    const tables = (await adapter.describes?.describe(never)) ?? []
    assert.deepEqual(
      tables.map(table => table.name),
      ['a', 'b', 'c', 'v', 'we"ird; drop table a'],
    )
    assert.deepEqual(
      tables.at(-1)?.columns.map(column => column.name),
      ['na me', 'select'],
    )
  })

  test('a table with a hostile name is read like any other', async () => {
    const name = `x"; drop table t; --`
    const file = await makeFile(
      `create table "x""; drop table t; --" ("a'b" text); insert into "${name.replace('"', '""')}" values ('1')`,
    )
    const { rows } = await readAll(await snapshotOf(file), shapeOf(name, [["a'b", text]], []))
    assert.deepEqual(rows, [['1']])
  })
})

describe('keys that SQLite lets be odd', () => {
  const value = fc.oneof(
    fc.constant('null'),
    fc.integer({ min: -3, max: 3 }).map(String),
    fc.constantFrom("'a'", "'B'", "''", "x'00'", '1.5', "'3'", "'한'"),
  )

  test('every row is in exactly one chunk, whatever its key holds', async () => {
    const keys = fc.uniqueArray(fc.tuple(value, value), { maxLength: 40, selector: pair => pair.join() })
    const types = fc.constantFrom('text', 'integer', 'varchar collate nocase', '', 'datetime')
    await fc.assert(
      fc.asyncProperty(keys, types, types, fc.integer({ min: 1, max: 10 }), async (pairs, a, b, size) => {
        const file = await makeFile(`create table t (a ${a}, b ${b}, n integer, primary key (a, b))`)
        const rows = pairs.map((pair, i) => `insert or ignore into t values (${pair.join(', ')}, ${i});`)
        file.execute(rows.join(''))
        const columns = [
          ['a', typeOf(a)],
          ['b', typeOf(b)],
          ['n', int64],
        ] as const
        const shape: TableShape = shapeOf('t', columns, ['a', 'b'])
        const snapshot = await snapshotOf(file)
        const whole = await snapshot.totals(shape, {}, { hash: false }, never)
        let [read, chunks] = [0n, 0]
        for (let after: readonly string[] | undefined; ;) {
          const upTo = await snapshot.boundary(shape, after, size)
          read += (await snapshot.totals(shape, { after, upTo: upTo ?? undefined }, { hash: false }, never)).rows
          if (upTo === null) break
          assert.ok(++chunks <= pairs.length, 'the bounds go on')
          after = upTo
        }
        assert.equal(read, whole.rows)
        await snapshot.close()
      }),
      { numRuns: 60 },
    )
  })
})

describe('totals', () => {
  test('sums beyond 64 bits are exact', async () => {
    const file = await makeFile(`create table t (id integer primary key, n integer);
      insert into t values (1, 9223372036854775807), (2, 9223372036854775807), (3, -5)`)
    const shape = shapeOf(
      't',
      [
        ['id', int64],
        ['n', int64],
      ],
      ['id'],
    )
    const snapshot = await snapshotOf(file)
    const totals = await snapshot.totals(shape, {}, { hash: true }, never)
    const { rows } = await readAll(snapshot, shape)
    assert.equal(totals.columns[1]?.sum, '18446744073709551609')
    assert.deepEqual(
      plainFloats(totals, shape.columns),
      plainFloats(totalsOfTexts(shape.columns, rows, true), shape.columns),
    )
  })
})

test('a value at the limit of 64 MiB arrives, one over it is set aside', async () => {
  const limit = 64 * 1024 * 1024
  const file = await makeFile(`create table large (id integer primary key, body blob);
    insert into large values (1, zeroblob(${limit - 64})), (2, zeroblob(${limit + 1})), (3, x'0102')`)
  const shape = shapeOf(
    'large',
    [
      ['id', int64],
      ['body', { kind: 'bytes' }],
    ],
    ['id'],
  )
  const lengths: number[] = []
  const rejected: unknown[] = []
  for await (const { batch, rejects } of (await snapshotOf(file)).read(shape, ['id', 'body'], {}, never)) {
    rejected.push(...rejects.map(it => [it.reason, it.key]))
    const [, body] = batch.columns
    assert.ok(body?.layout === 'bytes')
    for (let row = 0; row < batch.rows; row++) {
      lengths.push((body.offsets[row + 1] as number) - (body.offsets[row] as number))
    }
  }
  assert.deepEqual(lengths, [limit - 64, 2])
  assert.deepEqual(rejected, [['VALUE_TOO_LARGE', { id: '2' }]])
})

describe('the file of somebody else', () => {
  const setup = "create table t (id integer primary key, name text); insert into t values (1, 'one')"
  const shape = shapeOf(
    't',
    [
      ['id', int64],
      ['name', text],
    ],
    ['id'],
  )

  test('it is left as it is: no lock, no journal, also while a snapshot is open', async () => {
    const file = await makeFile(setup)
    const snapshot = await snapshotOf(file)
    await readAll(snapshot, shape)
    assert.deepEqual(await readdir(path.dirname(file.path)), ['legacy.db'])
    file.execute('insert into t values (2, null)')
    assert.equal((await readAll(snapshot, shape)).rows.length, 1)
  })

  test('a run that is killed in the middle locks nobody out, and its copy is removed by the next', async () => {
    const file = await makeFile(setup)
    const child = spawn(process.execPath, ['--input-type=module', '-e', killedReader(file)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    assert.deepEqual(await readdir(path.dirname(file.path)), ['legacy.db'])
    file.execute(`insert into t values (2, 'two')`)
    assert.equal((await readAll(await snapshotOf(file), shape)).rows.length, 2)
    assert.equal((await readdir(path.join(file.stateDir, 'spool'))).length, 1)
  })

  /** Holds a copy open as the adapter does: in a spool that bears its process id, locked. */
  function killedReader(file: TestFile): string {
    return `
      import fs from 'node:fs'
      import wasm from ${JSON.stringify(import.meta.resolve('node-sqlite3-wasm'))}
      const spool = ${JSON.stringify(path.join(file.stateDir, 'spool'))} + '/' + process.pid + '-abc'
      fs.mkdirSync(spool, { recursive: true })
      fs.copyFileSync(${JSON.stringify(file.path)}, spool + '/database')
      const database = new wasm.Database(spool + '/database')
      database.exec('pragma locking_mode = exclusive; begin')
      database.all('select * from t')
      console.log('reading')
      setInterval(() => {}, 1000)`
  }

  test('what is committed in a write-ahead log only is read', async () => {
    const file = await makeFile(setup)
    const writer = new wasm.Database(file.path)
    ending.push(async () => writer.close())
    writer.exec(`pragma locking_mode = exclusive; pragma journal_mode = wal; insert into t values (2, 'two')`)
    assert.ok((await readdir(path.dirname(file.path))).includes('legacy.db-wal'))
    assert.equal((await readAll(await snapshotOf(file), shape)).rows.length, 2)
  })

  test('a transaction that is open in a writer is not read, even when its pages are in the file', async () => {
    const file = await makeFile(setup)
    const writer = new wasm.Database(file.path)
    ending.push(async () => writer.close())
    writer.exec(`pragma cache_size = 2; begin`)
    for (let i = 2; i < 2000; i++) writer.run(`insert into t values (?, ?)`, [i, 'x'.repeat(500)])
    assert.ok((await readdir(path.dirname(file.path))).includes('legacy.db-journal'))
    assert.deepEqual((await readAll(await snapshotOf(file), shape)).rows, [['1', 'one']])
    writer.exec('rollback')
  })

  test('a file that is written to during the copy is copied again, and given up after some tries', async () => {
    const file = await makeFile(setup)
    const real = realEnv()
    let writes = 0
    const clock = { ...real.clock, sleep: async () => {} }
    const env = (most: number): Env => ({
      ...real,
      clock,
      files: {
        ...real.files,
        copyFile: async (from, to, mode) => {
          await real.files.copyFile(from, to, mode)
          if (from === file.path && writes++ < most) file.execute(`insert into t (name) values ('${'x'.repeat(5000)}')`)
        },
      },
    })
    const { rows } = await readAll(await snapshotOf(file, env(2)), shape)
    assert.equal(rows.length, 3)
    await rejectsWith('SOURCE_BUSY', snapshotOf(file, env(1000)), 'legacy.db')
    assert.deepEqual(await spoolsOf(file), 1)
  })

  async function spoolsOf(file: TestFile): Promise<number> {
    return (await readdir(path.join(file.stateDir, 'spool'))).length
  }

  test('a file that is no database, or is not there, has its own error', async () => {
    const file = await makeFile(setup)
    const folder = path.dirname(file.path)
    await writeFile(path.join(folder, 'junk.db'), 'no database at all, but long enough for a header '.repeat(50))
    const fails = async (code: Code, name: string): Promise<void> =>
      rejectsWith(code, snapshotOf({ ...file, path: path.join(folder, name) }), name)
    await fails('SOURCE_UNREACHABLE', 'gone.db')
    await fails('SOURCE_NOT_DATABASE', 'junk.db')
    await mkdir(path.join(folder, 'folder.db'))
    await fails('SOURCE_NOT_DATABASE', 'folder.db')
    assert.equal(await spoolsOf(file), 0)
  })

  test('a database that is cut off is an error of the read, not fewer rows', async () => {
    const file = await makeFile(setup)
    for (let i = 0; i < 30; i++) file.execute(`insert into t (name) values ('${'x'.repeat(3000)}')`)
    const cut = path.join(path.dirname(file.path), 'cut.db')
    await copyFile(file.path, cut)
    await truncate(cut, Math.floor((await stat(cut)).size / 2))
    await assert.rejects(async () => readAll(await snapshotOf({ ...file, path: cut }), shape), /malformed|SQLite/)
  })

  test('a view over a missing table fails as a table that is gone', async () => {
    const file = await makeFile(`create view broken as select * from gone`)
    const snapshot = await snapshotOf(file)
    await rejectsWith('SOURCE_TABLE_GONE', snapshot.look('broken'))
  })
})
