import assert from 'node:assert/strict'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isNaruError } from '../../../../core/errors.ts'
import { openPostgres, type TestDatabase } from '../../../../testing/postgres/database.ts'
import { rejectsWith } from '../../../../testing/suite/rejects.ts'
import {
  follow,
  inTime,
  items,
  others,
  refusal,
  withCapture,
  type CaptureSystem,
} from '../../conformance-capture-support.ts'
import { int64, never, shapeOf, text } from '../../conformance-support.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import { create, startLogBench, until, type LogBench } from './log.test.support.ts'

let database: TestDatabase
let system: CaptureSystem

let run: LogBench['run']
let one: LogBench['one']

beforeAll(async () => void ({ database, system, run, one } = await startLogBench()))
afterAll(() => database.stop())

describe('what is missing is said before', () => {
  test('tables whose deletes or updates could not be told, or would be refused by the server', async () => {
    await run(`drop table if exists no_key, nothing, unlogged, viewed, parted, computed cascade;
      create table no_key (id bigint); create table nothing (id bigint primary key); alter table nothing replica identity nothing;
      create unlogged table unlogged (id bigint primary key); create view viewed as select 1::bigint as id;
      create table parted (id bigint primary key) partition by range (id)`)
    const adapter = await system.open()
    const asked = ['no_key', 'nothing', 'unlogged', 'viewed', 'parted'].map((remote): CapturedTable => ({
      name: remote,
      ...shapeOf(remote, [['id', int64]], ['id']),
    }))
    const problems = await adapter.captures!.log!.inspect(asked, never)
    const of = (table: string): readonly string[] =>
      problems.filter(it => it.table === table).map(it => `${it.isFatal} ${it.text} ${it.fix}`)
    expect(of('no_key')).toEqual([
      expect.stringMatching(/^true it has no primary key.*alter table "public"."no_key" replica identity full/),
    ])
    expect(of('nothing')).toEqual([expect.stringMatching(/^true its replica identity is nothing/)])
    expect(of('unlogged')).toEqual([expect.stringMatching(/^true "unlogged" is unlogged.*set logged/)])
    expect(of('viewed')).toEqual([expect.stringMatching(/^true "viewed" is a view/)])
    expect(of('parted')).toEqual([expect.stringMatching(/^false rows that come or go with a partition/)])
    expect(problems.some(it => it.table === null && it.text.includes('max_slot_wal_keep_size'))).toBe(true)
    await rejectsWith('CAPTURE_NOT_READY', adapter.captures!.log!.install(asked, never), 'no_key')
    await adapter.close()
  })

  test('a condition that the table refuses, one that its identity does not hold, and a publication without it', async () => {
    await run(`drop table if exists sold, kept; create table kept (id bigint primary key, note text);
      create table sold (id bigint, region text, amount bigint, primary key (id, region));
      drop role if exists looks; create role looks login replication password 'p'; grant usage on schema public to looks;
      grant select on sold to looks`)
    const url = database.urlWith({ user: 'looks', password: 'p' })
    const adapter = await openPostgres(url, { slot: 'looks', publication: 'looked' })
    const shape = shapeOf(
      'sold',
      [
        ['id', int64],
        ['region', text],
      ],
      ['id', 'region'],
    )
    const said = async (where: string): Promise<readonly string[]> =>
      (await adapter.captures!.log!.inspect([{ name: 'sold', ...shape, where }], never))
        .filter(it => it.isFatal)
        .map(it => `${it.text} | ${it.fix}`)
    const wrong = /^the condition regio = 'EU' is wrong: column "regio" does not exist \| Correct it/
    const unheld =
      /^the condition amount > 10 needs columns that its replica identity \(id, region\) does not hold.* \| alter table "public"."sold" replica identity full;$/
    const later = /^it is not in the publication.*\| Mend first what is said of sold/
    const exact =
      /^it is not in the publication.*create publication "looked" for table "public"."sold" where \(sold.region = 'EU'\)/
    expect(await said(`regio = 'EU'`)).toEqual([expect.stringMatching(wrong), expect.stringMatching(later)])
    expect(await said('amount > 10')).toEqual([expect.stringMatching(unheld), expect.stringMatching(later)])
    expect(await said(`sold.region = 'EU'`)).toEqual([expect.stringMatching(exact)])

    await run(`create publication looked for table kept (id) where (id > 5), sold`)
    const whole = /^the publication "looked" gives all of its rows.* \| Mend its replica identity, then/
    expect(await said(`regio = 'EU'`)).toEqual([expect.stringMatching(wrong)])
    expect(await said('amount > 10')).toEqual([expect.stringMatching(unheld), expect.stringMatching(whole)])
    const [give = '', ...more] = await said(`region = 'EU'`)
    expect(more).toEqual([])
    await run(/alter publication "looked" set table .*?;/.exec(give)?.[0] ?? 'no statement')
    expect(await said(`region = 'EU'`)).toEqual([])
    const published = `select string_agg(concat_ws(' ', tablename, attnames, rowfilter), '; ' order by tablename) from pg_publication_tables where pubname = 'looked'`
    expect(await one(published)).toBe(`kept {id} (id > 5); sold {id,region,amount} (region = 'EU'::text)`)
    await adapter.close()
    await run('drop publication looked; drop table sold, kept; drop owned by looks cascade; drop role looks')
  })

  test('an account without rights is told the least that it needs, and the script gives it', async () => {
    await withCapture(system, async () => undefined)
    await run(`drop role if exists poor; create role poor login password 'p'`)
    const adapter = await openPostgres(database.urlWith({ user: 'poor', password: 'p' }), { slot: 'poor' })
    const log = adapter.captures!.log!
    const problems = await log.inspect([items], never)
    assert.ok(problems.some(it => it.isFatal && it.fix === 'alter role "poor" with replication;'))
    assert.ok(problems.some(it => it.isFatal && it.fix.includes('create publication')))
    for (const it of log.script([items]).install) if (!it.startsWith('--')) await run(it)
    assert.deepEqual(
      (await log.inspect([items], never)).filter(it => it.isFatal),
      [],
    )
    const from = await log.install([items], never)
    const open = await log.open({ tables: [items], from, spillDir: await system.spillDir() }, never)
    await run(`insert into capture_items values (77, 'seen', 1)`)
    const { events } = await follow(log, open, await log.head(never))
    assert.deepEqual(
      events.map(it => it.row[0]),
      ['77'],
    )
    await open.close()
    await log.remove(never)
    await adapter.close()
    await run('drop publication poor; drop owned by poor; drop role poor')
  })
})

describe('tables', () => {
  test('a table without a key and with a full identity gives whole rows', () =>
    withCapture(
      {
        ...system,
        createTable: table =>
          run(`${create(table)}; alter table ${table.remote} replica identity full`).then(() => undefined),
      },
      async ({ stream, catchUp }) => {
        await run(`insert into no_key_log values (1, 'a'); update no_key_log set note = 'b'; delete from no_key_log`)
        const { events } = await catchUp(await stream())
        assert.deepEqual(
          events.map(({ op, row }) => [op, ...row]),
          [
            ['insert', '1', 'a'],
            ['delete', '1', 'a'],
            ['move', '1', 'b'],
            ['delete', '1', 'b'],
          ],
        )
      },
      [
        {
          name: 'plain',
          ...shapeOf(
            'no_key_log',
            [
              ['id', int64],
              ['note', text],
            ],
            [],
          ),
        },
      ],
    ))

  test('rows of partitions come as rows of their table, also when they move', () =>
    withCapture(
      {
        ...system,
        createTable: () =>
          run(
            `drop table if exists parts; create table parts (id bigint primary key, note text) partition by range (id); create table parts_1 partition of parts for values from (0) to (100); create table parts_2 partition of parts for values from (100) to (200)`,
          ).then(() => undefined),
      },
      async ({ stream, catchUp }) => {
        await run(
          `insert into parts values (1, 'a'), (150, 'b'); update parts set id = 160 where id = 1; truncate parts`,
        )
        const { events } = await catchUp(await stream())
        assert.deepEqual(
          events.map(({ table, op, row }) => [table, op, row[0]]),
          [
            ['part', 'insert', '1'],
            ['part', 'insert', '150'],
            ['part', 'delete', '1'],
            ['part', 'insert', '160'],
            ['part', 'truncate', null],
          ],
        )
      },
      [
        {
          name: 'part',
          ...shapeOf(
            'parts',
            [
              ['id', int64],
              ['note', text],
            ],
            ['id'],
          ),
        },
      ],
    ))

  test('a publication of the user with a filter and a list of columns is used as it is and left behind', () =>
    withCapture(system, async ({ run: execute }) => {
      await execute(`create publication own for table capture_items (id, name) where (id < 100)`)
      const adapter = await openPostgres(database.url, { slot: 'own_slot', publication: 'own' })
      const log = adapter.captures!.log!
      const table: CapturedTable = { ...items, columns: items.columns.slice(0, 2) }
      const from = await log.install([table], never)
      await execute(`insert into capture_items values (1, 'in', 1), (200, 'out', 1)`)
      const open = await log.open({ tables: [table], from, spillDir: await system.spillDir() }, never)
      const { events } = await follow(log, open, await log.head(never))
      assert.deepEqual(
        events.map(it => it.row),
        [['1', 'in']],
      )
      await open.close()
      await log.remove(never)
      assert.equal(await one(`select count(*) from pg_publication where pubname = 'own'`), '1')
      await adapter.close()
      await execute('drop publication own')
    }))

  test('a table with another name is gone for the config', () =>
    withCapture(system, async ({ insert, stream, catchUp }) => {
      const open = await stream()
      await insert(items, ['1', 'a', '1'])
      await catchUp(open)
      await run(
        `drop table if exists renamed; alter table capture_items rename to renamed; insert into renamed values (2, 'b', 1)`,
      )
      const { schemas, events } = await catchUp(open)
      assert.deepEqual(
        schemas.map(it => [it.table, it.columns]),
        [['item', []]],
      )
      assert.deepEqual(events, [])
      await run('drop table renamed')
    }))

  test('a table that is dropped is told, and one that leaves the publication ends the stream', () =>
    withCapture(system, async ({ stream }) => {
      const open = await stream()
      await run('drop table capture_items')
      await inTime('the end of the table', async () => {
        for (;;) {
          const came = await open.next()
          if ('kind' in came) return assert.deepEqual([came.table, came.columns], ['item', []])
        }
      })
      await run('alter publication naru_ops drop table capture_others')
      const error = await refusal(
        inTime('the end of the stream', async () => {
          for (;;) await open.next()
        }),
      )
      assert.ok(isNaruError(error, 'STREAM_TABLE_LOST') && error.message.includes('ops.other'), String(error))
    }))

  test('a table that somebody holds locked holds up nothing: what becomes of the others is seen meanwhile', () =>
    withCapture(system, async ({ stream, session, insert }) => {
      const open = await stream()
      const writer = await session()
      await writer.execute('begin')
      await writer.execute('lock table capture_items in access exclusive mode')
      await insert(others, ['1', 'meanwhile'])
      await inTime('the change', async () => {
        for (;;) {
          const came = await open.next()
          if (!('kind' in came) && came.tables.length > 0) return
        }
      })
      assert.ok((await open.lag(never)).bytes !== null)
      await run('alter publication naru_ops drop table capture_others')
      const error = await refusal(
        inTime('the end of the stream', async () => {
          for (;;) await open.next()
        }),
      )
      assert.ok(isNaruError(error, 'STREAM_TABLE_LOST') && error.message.includes('ops.other'), String(error))
      await writer.execute('rollback')
      await writer.close()
    }))

  test('a table with a condition that is held locked, and then dropped, holds up nothing and is told to be gone', () =>
    withCapture(
      system,
      async ({ stream, session }) => {
        const open = await stream()
        const writer = await session()
        await writer.execute('begin')
        await writer.execute('drop table capture_items')
        assert.ok((await open.lag(never)).bytes !== null)
        await writer.execute('commit')
        await writer.close()
        await inTime('the end of the table', async () => {
          for (;;) {
            const came = await open.next()
            if ('kind' in came) return assert.deepEqual([came.table, came.columns], ['item', []])
          }
        })
      },
      [{ ...items, where: 'id > 0' }],
    ))

  test.each([
    [
      'taken out and put back',
      'alter publication naru_ops drop table capture_others; alter publication naru_ops add table capture_others',
    ],
    ['given a condition', 'alter publication naru_ops set table capture_items, capture_others where (id > 3)'],
  ])('a table that was %s in the publication ends the stream by its name: changes have passed by', (_, statements) =>
    withCapture(system, async ({ stream }) => {
      const open = await stream()
      await open.next()
      await run(statements)
      const error = await refusal(
        inTime('the end of the stream', async () => {
          for (;;) await open.next()
        }),
      )
      assert.ok(isNaruError(error, 'STREAM_TABLE_LOST') && error.message.includes('ops.other'), String(error))
      assert.deepEqual(
        open.lost?.map(it => it.table),
        ['other'],
      )
    }),
  )

  test('a table joins a running source, and a transaction that was open then is not missed', () =>
    withCapture(
      system,
      async ({ captures, session, insert, from }) => {
        await run(create(others))
        const early = await session()
        await early.execute('begin')
        await insert(others, ['1', 'before'], early)
        const installing = captures.install([items, others], never)
        await until(
          async () => (await one(`select count(*) from pg_publication_tables where pubname = 'naru_ops'`)) === '2',
        )
        await insert(others, ['2', 'after'])
        await early.execute('commit')
        const at = await inTime('the install', () => installing)
        assert.ok(captures.compare(at, from) > 0)
        await insert(others, ['3', 'later'])
        const open = await captures.open(
          { tables: [items, others], from: at, spillDir: await system.spillDir() },
          never,
        )
        const { events } = await follow(captures, open, await captures.head(never))
        await open.close()
        assert.deepEqual(
          events.map(it => it.row[0]),
          ['3'],
        )
        assert.equal(await one('select count(*) from capture_others where id < 3'), '2')
      },
      [items],
    ))
})
