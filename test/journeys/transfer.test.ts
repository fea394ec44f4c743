import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterEach, describe, expect, test } from 'vitest'
import { adapters, type AdapterImplementation } from '../../src/app/registry.ts'
import type { TransferRequest } from '../../src/app/transfer/moving.ts'
import { transfer, type Transferred } from '../../src/app/transfer/transfer.ts'
import { realEnv } from '../../src/core/env.ts'
import type { NaruError } from '../../src/core/errors.ts'
import type { RunEvent } from '../../src/core/events.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import type { TableWriter } from '../../src/services/adapter/contract-writes.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { instead, opening } from '../support/instead.ts'

const ending: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

interface Place {
  readonly folder: string
  /** Runs statements in the source file. */
  change(statements: string): void
  move(more?: Partial<TransferRequest>, writer?: (writer: TableWriter) => TableWriter): Promise<Transferred>
  rows(file: string, query: string): readonly Readonly<Record<string, unknown>>[]
  notes: string[]
}

/** A folder with `from.db`, whose table `item` has 1,000 rows. */
async function makePlace(): Promise<Place> {
  const folder = await mkdtemp(path.join(tmpdir(), 'naru-transfer-'))
  ending.push(() => rm(folder, { recursive: true, force: true }))
  const notes: string[] = []
  const place: Place = {
    folder,
    notes,
    change: statements => {
      const database = new sqlite.Database(path.join(folder, 'from.db'))
      database.exec(statements)
      database.close()
    },
    move: (more = {}, change = it => it) =>
      transfer(
        {
          env: realEnv(),
          emit: (event: RunEvent) => event.kind === 'note' && notes.push(event.text),
          signal: new AbortController().signal,
          adapters: { ...adapters, sqlite: writingThrough(adapters['sqlite'] as AdapterImplementation, change) },
        },
        { ...request(folder), ...more },
      ),
    rows: (file, query) => {
      const database = new sqlite.Database(path.join(folder, file))
      try {
        return database.all(query)
      } finally {
        database.close()
      }
    },
  }
  place.change(`
    create table item (id bigint primary key, name text, price decimal(10,2), part text);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)
    insert into item select i, 'name ' || i, i / 100.0, case when i % 5 = 0 then null else 'p' || (i % 7) end from n`)
  return place
}

function request(folder: string): TransferRequest {
  return {
    from: `${folder}/from.db#item`,
    to: `${folder}/to.db#item`,
    query: null,
    where: null,
    columns: [],
    mode: 'replace',
    incremental: null,
    lastValue: null,
    file: {},
    key: [],
    splitBy: [],
    parallel: 1,
    chunkRows: 100,
    validate: 'hash',
    missed: 'refuse',
    create: true,
    configFile: path.join(folder, 'naru.config.ts'),
  }
}

/** The adapter as it is, but its writers pass through `change`. */
function writingThrough(
  real: AdapterImplementation,
  change: (writer: TableWriter) => TableWriter,
): AdapterImplementation {
  const withWriter = (adapter: Adapter): Adapter => {
    const writes = adapter.writes as NonNullable<Adapter['writes']>
    const openWriter: typeof writes.openWriter = async (target, signal) =>
      change(await writes.openWriter(target, signal))
    return instead(adapter, { writes: instead(writes, { openWriter }) })
  }
  return { ...real, open: opening(real, withWriter) }
}

async function makeOld(file: string, days: number): Promise<void> {
  const then = Date.now() / 1000 - days * 86_400
  await utimes(file, then, then)
}

/** A writer that breaks at its `nth` unit, as a killed process would. */
function breakingAt(nth: number): (writer: TableWriter) => TableWriter {
  let count = 0
  return writer =>
    instead(writer, {
      stage: (unit, batches, signal) => {
        if (++count === nth) throw new Error('killed')
        return writer.stage(unit, batches, signal)
      },
    })
}

const checkSum = 'select count(*) as n, sum(id) as ids, count(part) as parts, sum(price) as prices from item'

describe('a transfer', () => {
  test('moves every row, also those with NULL in the column that it is cut by, and leaves nothing beside them', async () => {
    for (const more of [
      {},
      { splitBy: ['part'] },
      { parallel: 3 },
      { splitBy: ['part'], parallel: 4, chunkRows: 30 },
    ]) {
      const place = await makePlace()
      const done = await place.move(more)
      expect(done.rows).toBe(1000n)
      expect(place.rows('to.db', checkSum)).toEqual(place.rows('from.db', checkSum))
      expect((await readdir(place.folder)).sort()).toEqual(['.naru', 'from.db', 'to.db'])
      expect(await readdir(path.join(place.folder, '.naru/transfer'))).toEqual([])
    }
  })

  test('takes the rows and the columns that were asked for', async () => {
    const place = await makePlace()
    await place.move({ where: `part = 'p3' or id = 5`, columns: ['name', 'id'] })
    expect(place.rows('to.db', 'select * from item order by id limit 1')).toEqual([{ name: 'name 3', id: 3 }])
    expect(place.rows('to.db', 'select count(*) as n from item')).toEqual(
      place.rows('from.db', `select count(*) as n from item where part = 'p3' or id = 5`),
    )
  })

  test('takes a query, with the condition and the chunks around it', async () => {
    const place = await makePlace()
    const query = `select part, count(*) as n from item group by part -- a remark`
    const { from, to } = { from: `${place.folder}/from.db`, to: `${place.folder}/to.db#parts` }
    const done = await place.move({ from, to, query, where: 'part is not null', splitBy: ['part'], chunkRows: 2 })
    expect(done.rows).toBe(7n)
    await rejectsWith('SOURCE_QUERY', place.move({ from, to, query: 'select nonsense' }), 'nonsense')
    await rejectsWith('SOURCE_QUERY', place.move({ from, to, query: 'select 1 as a; select 2 as a' }), ';')
  })

  test('broken off, it leaves the target as it was, and goes on behind what it had staged', async () => {
    const place = await makePlace()
    await place.move({ where: 'id <= 10' })
    await assert.rejects(place.move({}, breakingAt(8)), /killed/)
    expect(place.rows('to.db', 'select count(*) as n from item')).toEqual([{ n: 10 }])
    const done = await place.move()
    expect(done.resumedRows).toBe(700n)
    expect(place.rows('to.db', checkSum)).toEqual(place.rows('from.db', checkSum))
  })

  test('what changed in the source since it broke off is read again: the copy is one state, not two', async () => {
    const place = await makePlace()
    await assert.rejects(place.move({}, breakingAt(8)), /killed/)
    // The same length and the same sums: only the content hash can tell.
    place.change(`update item set name = 'nema ' || id where id = 150; delete from item where id = 350;
      insert into item values (2000, 'new', 1, 'p1')`)
    const done = await place.move()
    expect(done.resumedRows).toBe(500n)
    expect(place.rows('to.db', checkSum)).toEqual(place.rows('from.db', checkSum))
    expect(place.rows('to.db', 'select name from item where id = 150')).toEqual([{ name: 'nema 150' }])
  })

  test('what is staged is read again where the content hash leaves a column out', async () => {
    const place = await makePlace()
    place.change('alter table item add column weight double; update item set weight = id * 1.5')
    await assert.rejects(place.move({}, breakingAt(8)), /killed/)
    // Neither the smallest nor the largest: no total of the source changes.
    place.change('update item set weight = 200.25 where id = 150')
    const done = await place.move()
    expect(done.resumedRows).toBe(0n)
    expect(place.rows('to.db', 'select weight from item where id = 150')).toEqual([{ weight: 200.25 }])
  })

  test('killed between the publish and its answer, it is not applied twice', async () => {
    const place = await makePlace()
    const dying = (writer: TableWriter): TableWriter =>
      instead(writer, {
        publish: async (options, signal) => {
          await writer.publish(options, signal)
          throw new Error('killed')
        },
      })
    await place.move({ where: 'id > 999' })
    await assert.rejects(place.move({ mode: 'insert', where: 'id <= 100' }, dying), /killed/)
    const again = await place.move({ mode: 'insert', where: 'id <= 100' })
    expect(again.inserted).toBe(100n)
    expect(place.notes.join()).toContain('nothing was read now')
    expect(place.rows('to.db', 'select count(*) as n from item')).toEqual([{ n: 101 }])
  })

  test('killed there while it added what is new, it is only gone on with as it was', async () => {
    const place = await makePlace()
    const dying = (writer: TableWriter): TableWriter =>
      instead(writer, {
        publish: async (options, signal) => {
          await writer.publish(options, signal)
          throw new Error('killed')
        },
      })
    // Without a key nothing in the target would refuse a row that comes again.
    place.change('create table event as select id, name from item')
    const from = `${path.join(place.folder, 'from.db')}#event`
    const asked = { from, to: path.join(place.folder, 'to.db'), mode: 'insert', incremental: 'id' } as const
    await assert.rejects(place.move(asked, dying), /killed/)
    await rejectsWith('TRANSFER_INCREMENTAL', place.move({ ...asked, chunkRows: 7 }), 'run that one again')
    await place.move(asked)
    place.change(`insert into event values (1001, 'new')`)
    await place.move({ ...asked, chunkRows: 7 })
    expect(place.rows('to.db', 'select count(*) as n from event')).toEqual([{ n: 1001 }])
  })

  test('what was refused at the end is not read again when only the refusal is taken back', async () => {
    const place = await makePlace()
    await place.move({ where: 'id <= 900' })
    await rejectsWith('WRITE_KEYS_MISSED', place.move({ mode: 'update' }), '100 find no row')
    const done = await place.move({ mode: 'update', missed: 'report', validate: 'count' })
    expect([done.resumedRows, done.updated, done.missedNone]).toEqual([1000n, 900n, 100n])
  })

  test('keys that are there are named, and upsert is what takes them', async () => {
    const place = await makePlace()
    await place.move({ where: 'id <= 3' })
    await rejectsWith('WRITE_KEYS_TAKEN', place.move({ mode: 'insert' }), '3 rows for "item"')
    expect((await place.move({ mode: 'upsert' })).inserted).toBe(997n)
  })

  test('a target whose columns changed since it broke off is written all the same: everything is read again', async () => {
    const place = await makePlace()
    await place.move({ where: 'id <= 10' })
    await assert.rejects(place.move({ mode: 'upsert' }, breakingAt(8)), /killed/)
    const target = new sqlite.Database(path.join(place.folder, 'to.db'))
    target.exec('drop table item; create table item (id bigint primary key, name varchar(90), price text, part text)')
    target.close()
    const done = await place.move({ mode: 'upsert' })
    expect(done.resumedRows).toBe(0n)
    expect(place.notes.join()).toContain('everything is read again')
    expect(place.rows('to.db', 'select count(*) as n from item')).toEqual([{ n: 1000 }])
    expect((await readdir(place.folder)).sort()).toEqual(['.naru', 'from.db', 'to.db'])
  })

  test('what was given up 14 days ago is removed by the next transfer, here and beside the target', async () => {
    const place = await makePlace()
    await place.move({ where: 'id <= 10' })
    for (const chunkRows of [101, 102]) await assert.rejects(place.move({ chunkRows }, breakingAt(3)), /killed/)
    const to = path.join(place.folder, 'out.csv')
    const states = path.join(place.folder, '.naru/transfer')
    const stages = (await readdir(place.folder)).filter(name => name.startsWith('to.db.naru-stage-'))
    expect(stages).toHaveLength(2)
    await makeOld(path.join(place.folder, stages[0] as string), 15)
    await makeOld(path.join(place.folder, stages[1] as string), 13)
    await mkdir(path.join(states, 't1'))
    for (const name of ['t1', ...(await readdir(states))]) await makeOld(path.join(states, name), 15)
    await place.move({ where: 'id <= 10' })
    expect(place.notes.join()).toContain('removed what 2 broken transfers had staged')
    expect((await readdir(place.folder)).sort()).toEqual(['.naru', 'from.db', 'to.db', stages[1]].sort())
    expect(await readdir(states)).toEqual([])
    await mkdir(path.join(states, 't2'))
    await makeOld(path.join(states, 't2'), 15)
    await place.move({ to })
    expect(place.notes.join()).toContain('removed what 1 broken')
    expect(await readdir(states)).toEqual([])
  })

  test('the same transfer twice at once: the second is refused, and the first ends well', async () => {
    const place = await makePlace()
    let second: unknown = null
    const slow = (writer: TableWriter): TableWriter =>
      instead(writer, {
        publish: async (options, signal) => {
          second = await place.move().catch((error: unknown) => error)
          return writer.publish(options, signal)
        },
      })
    expect((await place.move({}, slow)).rows).toBe(1000n)
    await rejectsWith('RUN_HELD', Promise.reject(second as Error), 'naru transfer')
  })

  test('a value that changed on the way is found before anything is visible', async () => {
    const place = await makePlace()
    const lying = (writer: TableWriter): TableWriter =>
      instead(writer, {
        stage: (unit, batches, signal) =>
          writer.stage(
            unit,
            (async function* () {
              for await (const batch of batches) {
                const name = batch.columns[1]?.data
                if (name !== undefined) name[0] = 120
                yield batch
              }
            })(),
            signal,
          ),
      })
    await rejectsWith('TRANSFER_DIFFERS', place.move({ validate: 'hash' }, lying), 'hash')
    expect(await readdir(place.folder)).not.toContain('to.db')
  })

  test('a row that cannot be read exactly ends it, with nothing visible', async () => {
    const place = await makePlace()
    place.change(`insert into item values (1001, x'ff', 1, 'p1')`)
    await rejectsWith('TRANSFER_REJECTS', place.move(), '1001')
    expect(await readdir(place.folder)).not.toContain('to.db')
    expect((await place.move({ where: 'id <= 1000' })).rows).toBe(1000n)
  })

  test.each([
    ['a table that is not there', { from: 'from.db#nothing' }, 'TRANSFER_TABLE', 'there are item'],
    ['a column that is not there', { columns: ['colour'] }, 'TRANSFER_COLUMN', '--columns names "colour"'],
    ['a column to cut by that is not there', { splitBy: ['colour'] }, 'TRANSFER_COLUMN', '--split-by names "colour"'],
    ['a condition that the source does not take', { where: 'colour = 1' }, 'TRANSFER_WHERE', '--where "colour = 1"'],
    ['a folder that is not there', { to: 'x.gone/out.csv' }, 'TRANSFER_ADDRESS', 'there is no folder'],
    ['a folder of a database that is not there', { to: 'x.gone/to.db#item' }, 'TRANSFER_ADDRESS', 'there is no folder'],
    ['a target that may not be made', { create: false }, 'WRITE_TARGET', 'to.db'],
    ['a source that nobody knows', { from: 'ops#item' }, 'TRANSFER_ADDRESS', 'ops'],
    ['an address with a password', { from: 'postgres://me:hidden@h/d#item' }, 'TRANSFER_ADDRESS', 'environment'],
    ['an address whose scheme has a digit', { from: 's3://me:hidden@h/d#item' }, 'TRANSFER_ADDRESS', 'environment'],
    ['an address that ends as a file does', { to: 's3://me:hidden@h/d/x.parquet' }, 'TRANSFER_ADDRESS', 'environment'],
    ['an address that ends as a database does', { from: 'ftp://me:hidden@h/x.db' }, 'TRANSFER_ADDRESS', 'environment'],
    ['a key that is not moved', { columns: ['name'], key: ['id'] }, 'TRANSFER_COLUMN', '--key names "id"'],
    ['a variable that is not set', { from: 'env:NARU_NO_SUCH#item' }, 'ENV_MISSING', 'NARU_NO_SUCH'],
    ['a mode that a file does not have', { to: 'x.parquet', mode: 'upsert' }, 'TRANSFER_CANNOT', 'upsert'],
    ['a file of an unknown kind', { to: 'x.docx' }, 'TRANSFER_ADDRESS', 'x.docx'],
  ] as const)('%s is refused by name, and remembers nothing', async (_, more, code, word) => {
    const place = await makePlace()
    const inFolder = Object.fromEntries(
      Object.entries(more).map(([name, value]) => [
        name,
        typeof value === 'string' && /^(from|x)\./.test(value) ? path.join(place.folder, value) : value,
      ]),
    )
    const error = await place.move(inFolder).catch((it: unknown) => it)
    await rejectsWith(code, Promise.reject(error as Error), word)
    expect(String(error)).not.toContain('hidden')
    expect(`${String(error)} ${(error as NaruError).fix}`).not.toMatch(/naru pull|configuration/)
    expect(await readdir(path.join(place.folder, '.naru/transfer')).catch(() => [])).toEqual([])
    expect((await readdir(place.folder)).filter(name => name !== '.naru')).toEqual(['from.db'])
  })
})

describe('a transfer into a file', () => {
  test.each(['out.parquet', 'out.csv', 'out.csv.gz', 'out.ndjson'])('%s holds every row', async file => {
    const place = await makePlace()
    await place.move({ to: path.join(place.folder, file), parallel: 2 })
    const database = await DuckDBInstance.create(':memory:')
    const connection = await database.connect()
    const found = await connection.runAndReadAll(
      `select count(*)::int as n, sum(id)::int as ids, count(part)::int as parts, sum(price::decimal(12,2))::double as prices
       from '${path.join(place.folder, file)}'`,
    )
    expect(found.getRowObjects()).toEqual(place.rows('from.db', checkSum))
    connection.disconnectSync()
    database.closeSync()
  })

  test('an insert never puts itself in place of a file that is there', async () => {
    const place = await makePlace()
    const to = path.join(place.folder, 'out.csv')
    await place.move({ to, mode: 'insert', where: 'id <= 2', columns: ['id'] })
    await rejectsWith('WRITE_TARGET', place.move({ to, mode: 'insert', where: 'id = 3', columns: ['id'] }), 'out.csv')
    expect(await readFile(to, 'utf8')).toBe('id\n1\n2\n')
    expect(await readdir(path.join(place.folder, '.naru/transfer'))).toEqual([])
  })

  test('broken off, there is no file; the next call goes on', async () => {
    const place = await makePlace()
    const to = path.join(place.folder, 'out.parquet')
    place.change(`insert into item values (1001, x'ff', 1, 'p1')`)
    await rejectsWith('TRANSFER_REJECTS', place.move({ to }), '1001')
    expect(await readdir(place.folder)).not.toContain('out.parquet')
    place.change('delete from item where id = 1001')
    expect((await place.move({ to })).rows).toBe(1000n)
  })
})
