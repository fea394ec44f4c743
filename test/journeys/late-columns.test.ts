import { Client } from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Columns } from '../../src/config/column.ts'
import type { Project } from '../../src/config/model.ts'
import { defineConfig, duckdb, env, pg, t } from '../../src/index.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { logProject } from '../support/append-log.ts'
import { lateColumn, wideTable } from '../support/late-columns.ts'
import { follow } from '../support/scripted.ts'

// A log, or a change table, that holds changes from before a column came, when the rows are read for it.

let server: TestDatabase
beforeAll(async () => {
  server = await startTestDatabase({ wal_level: 'logical', max_replication_slots: '10', max_wal_senders: '10' })
}, 180_000)
afterAll(() => server.stop())

const techniques = ['log', 'trigger'] as const

const named = (slot: string, technique: (typeof techniques)[number]): Project => {
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    slot,
    chunkRows: 5,
    schema: { wide: { key: ['id'], columns: { id: t.int(), a: t.int().null(), b: t.int().null() } } },
    changes: { wide: { technique } },
    contract: { wide: { added: 'evolve', dropped: 'evolve' } },
  })
  return defineConfig({ name: 'late', engine: duckdb({ path: 'data.duckdb' }), models: [shop] })
}

const run = async (client: Client, statements: readonly string[]): Promise<void> => {
  for (const statement of statements) await client.query(statement)
}

const anew = ['drop table if exists wide', 'drop schema if exists naru_capture cascade', ...wideTable]

const wanted = async (client: Client, columns: string): Promise<unknown[][]> =>
  (await client.query({ text: `select ${columns} from wide order by id`, rowMode: 'array' })).rows as unknown[][]

test.each(techniques)(
  'a change from before a column came takes nothing from the rows that are read for it, in a run and in a session (%s)',
  async technique => {
    const { client } = server
    await run(client, anew)
    const it = await logProject(named('late', technique), server.url)
    const mine = async (columns: string): Promise<unknown[][]> =>
      (await it.rows(`select ${columns} from staging.shop_wide order by id`)).map(row => Object.values(row))
    await it.run()

    await run(client, lateColumn('extra', 1))
    expect((await it.run()).stopped).toEqual([])
    expect(await mine('id, a, b, extra')).toEqual(await wanted(client, 'id, a, b, extra'))
    expect(it.events.filter(event => event.kind === 'note' && event.code === 'SOURCE_COLUMN_GONE')).toEqual([])

    await run(client, lateColumn('more', 2))
    const live = await follow({ open: it.open, events: [] } as never)
    onTestFinished(() => live.stop())
    const all = 'id, a, b, extra, more'
    await live.untilRows(`select ${all} from staging.shop_wide order by id`, await wanted(client, all))
    await run(client, lateColumn('last', 3))
    const with3 = `${all}, "last"`
    await live.untilRows(`select ${with3} from staging.shop_wide order by id`, await wanted(client, with3))
    await live.stop()

    // In one transaction, and emptied before.
    await run(client, ['begin', 'delete from wide where id > 100', ...lateColumn('own', 4), 'commit'])
    expect((await it.run()).stopped).toEqual([])
    const with4 = `${with3}, own`
    expect(await mine(with4)).toEqual(await wanted(client, with4))
    expect(await it.rows('select count(*)::integer as n from naru.reject')).toEqual([{ n: 0 }])
  },
  180_000,
)

test.each(techniques)(
  'a reading for a new column that is killed goes on, and leaves out what is from before the column (%s)',
  async technique => {
    const { client } = server
    await run(client, anew)
    const it = await logProject(named('killed', technique), server.url)
    await it.run()
    await run(client, lateColumn('extra', 1))
    it.killAt('stream.step.commit.before')
    await expect(it.run()).rejects.toThrow('killed')
    expect((await it.run()).stopped).toEqual([])
    const rows = await it.rows('select id, a, b, extra from staging.shop_wide order by id')
    expect(rows.map(row => Object.values(row))).toEqual(await wanted(client, 'id, a, b, extra'))
  },
  120_000,
)

test.each(techniques)(
  'a column that goes is NULL in every row, and one that comes back has its values at the source (%s)',
  async technique => {
    const { client } = server
    await run(client, [...anew, `alter table wide add extra text default 'first'`])
    const it = await logProject(named('back', technique), server.url)
    const extras = async (): Promise<unknown[][]> =>
      (await it.rows('select id, extra from staging.shop_wide order by id')).map(row => Object.values(row))
    await it.run()
    await run(client, [
      'alter table wide drop extra',
      'update wide set a = 0 where id = 1',
      'insert into wide values (20, 0)',
    ])
    await it.run()
    await it.run()
    expect(await extras()).toEqual(await wanted(client, 'id, null'))
    await run(client, [
      'update wide set a = 0 where id = 2',
      `alter table wide add extra text default 'again'`,
      `update wide set extra = 'mine' where id = 3`,
    ])
    await it.run()
    expect(await extras()).toEqual(await wanted(client, 'id, extra'))
    await run(client, [
      'alter table wide drop extra',
      'update wide set a = 1 where id = 4',
      `alter table wide add extra text default 'third'`,
      'update wide set a = 1 where id = 5',
    ])
    await it.run()
    await it.run()
    expect(await extras()).toEqual(await wanted(client, 'id, extra'))
    await run(client, [
      'update wide set a = 2 where id = 4',
      'alter table wide rename extra to other',
      'update wide set a = 2 where id = 5',
      `update wide set other = 'named' where id = 6`,
    ])
    await it.run()
    await it.run()
    expect(await extras()).toEqual(await wanted(client, 'id, null'))
    const others = await it.rows('select id, other from staging.shop_wide order by id')
    expect(others.map(row => Object.values(row))).toEqual(await wanted(client, 'id, other'))
  },
  120_000,
)

const described = (columns: Columns, technique: (typeof techniques)[number]): Project => {
  const shop = pg('shop', {
    url: env('SHOP_URL'),
    slot: 'described',
    chunkRows: 5,
    schema: { wide: { key: ['id'], columns: { id: t.int(), a: t.int().null(), b: t.int().null(), ...columns } } },
    changes: { wide: { technique } },
  })
  return defineConfig({ name: 'described', engine: duckdb({ path: 'data.duckdb' }), models: [shop] })
}

/** Rows of every kind of change, again and again, until it is told to end. */
const writing = async (url: string): Promise<() => Promise<void>> => {
  const writer = new Client({ connectionString: url })
  await writer.connect()
  const over = new AbortController()
  const write = async (): Promise<void> => {
    for (let id = 5000; !over.signal.aborted; id++) {
      await writer.query(`insert into wide (id, a) values (${id}, 0)`)
      await writer.query(`update wide set b = ${id} where id in (1, 2, ${id - 1})`)
      await writer.query(`delete from wide where id = ${id - 2}`)
    }
  }
  const written = write()
  return async () => {
    over.abort()
    await written
    await writer.end()
  }
}

test.each(techniques)(
  'a column of the config that is retyped, or that the config names later, is read while writers go on (%s)',
  async technique => {
    const { client } = server
    await run(client, [...anew, `alter table wide add name varchar(5) default 'short'`])
    const first = await logProject(described({ name: t.text().null() }, technique), server.url)
    const changed = (place: number): readonly string[] => [
      `update wide set name = 'n${place}', a = ${place} where id in (1, ${place})`,
      `insert into wide (id, a) values (${place + 100}, ${place})`,
      `delete from wide where id = ${place + 1}`,
    ]
    const expectSame = async (it: typeof first, columns: string): Promise<void> => {
      const rows = await it.rows(`select ${columns} from staging.shop_wide order by id`)
      expect(rows.map(row => Object.values(row))).toEqual(await wanted(client, columns))
    }
    await first.run()
    const endWriting = await writing(server.url)
    await run(client, [...changed(3), 'alter table wide alter name type varchar(20)', ...changed(5)])
    expect((await first.run()).stopped).toEqual([])
    await run(client, changed(7))
    expect((await first.run()).stopped).toEqual([])
    expect(await first.rows('select name from staging.shop_wide where id = 7')).toEqual([{ name: 'n7' }])

    await run(client, [...changed(9), `alter table wide add extra text default 'there'`, ...changed(11)])
    const wide = first.with(described({ name: t.text().null(), extra: t.text().null() }, technique))
    expect((await wide.run()).stopped).toEqual([])
    await endWriting()
    expect((await wide.run()).stopped).toEqual([])
    await expectSame(wide, 'id, a, b, name, extra')
  },
  120_000,
)
