import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { connectMysql } from '../../src/testing/mysql/database.ts'
import { startMariaDb } from '../servers/mariadb.ts'
import { startPostgresServer } from '../servers/postgres.ts'
import type { Going } from '../support/command.ts'
import { startWatching, type WatchingProxy } from '../support/cutting.ts'
import { expectNoSecret, expectRefused, makeProject, type TestProject } from '../support/project.ts'

// What an operator of a source does while a bulk load reads it: restarts it, changes the table, takes a right away.

const rows = 2_000
/** Every row has a note so long: a table of 400 KB, of which a good quarter has come when something happens. */
const noteChars = 200
const quarterBytes = (rows * noteChars) / 4
const password = 'word-of-the-reader'

/** A running source, and what its operator does. */
interface Source {
  readonly adapter: 'pg' | 'mysql'
  readonly port: number
  /** Its address for the account `reader`, whose rights can be taken away. */
  readonly url: string
  /** Where numbers come from, and a column's type is changed. */
  readonly numbers: string
  readonly retype: (type: string) => string
  execute(statements: string): Promise<void>
  restart(): Promise<void>
  stop(): Promise<void>
}

const systems: Readonly<Record<string, () => Promise<Source>>> = {
  PostgreSQL: async () => {
    const server = await startPostgresServer('Debian 15')
    const execute = async (statements: string): Promise<void> => {
      const client = await server.connect()
      await client.query(statements)
    }
    await execute(`create role reader login password '${password}'`)
    return {
      adapter: 'pg',
      port: server.port,
      url: server.urlWith({ user: 'reader', password }),
      numbers: `generate_series(1, ${rows}) as numbers(seq)`,
      retype: type => `alter table sale alter amount type ${type}`,
      execute,
      restart: server.restart,
      stop: server.stop,
    }
  },
  MariaDB: async () => {
    const server = await startMariaDb()
    const execute = async (statements: string): Promise<void> => {
      const client = await connectMysql(server.url())
      await client.query(statements)
      await client.end()
    }
    await execute(`create user reader identified by '${password}'`)
    return {
      adapter: 'mysql',
      port: server.port,
      url: server.url('reader', password),
      numbers: `seq_1_to_${rows}`,
      retype: type => `alter table sale modify amount ${type} not null`,
      execute,
      restart: server.restart,
      stop: server.stop,
    }
  },
}

function makeSale({ numbers }: Source): string {
  return `drop table if exists sale;
    create table sale (id int primary key, amount int not null, note varchar(${noteChars}) not null);
    insert into sale select seq, seq % 100, concat(repeat('x', ${noteChars - 5}), seq) from ${numbers};
    grant select on sale to reader;`
}

function configFor(adapter: Source['adapter'], more: string): string {
  return `import { defineConfig, duckdb, env, mysql, ods, pg, t } from 'naru'
const ops = ${adapter}('ops', {
  url: env('OPS_URL'), chunkRows: 100, rowsPerSecond: 500, ${more}
  schema: { sale: { key: ['id'], columns: { id: t.int(), amount: t.int(), note: t.text() } } },
})
const sale = ods.entity('sale', { key: 'id', columns: { id: t.int(), amount: t.int(), note: t.text() } })
  .from(ops.sale, r => ({ ...r }))
export default defineConfig({ name: 'shop', engine: duckdb({ path: 'data.duckdb' }), models: { sale } })
`
}

describe.each(Object.entries(systems))('%s', (_, start) => {
  let source: Source
  let proxy: WatchingProxy
  let project: TestProject
  beforeAll(async () => {
    source = await start()
    proxy = await startWatching(source.port)
  })
  afterAll(async () => {
    await proxy?.stop()
    await source?.stop()
  })
  afterEach(() => project.remove())

  /** A run in the middle of the table. */
  async function startReading(more = ''): Promise<Going> {
    await source.execute(makeSale(source))
    const url = new URL(source.url)
    url.port = String(proxy.port)
    project = await makeProject({ config: configFor(source.adapter, more), variables: { OPS_URL: url.href } })
    const reading = proxy.after(quarterBytes)
    const going = project.start(['run'])
    await reading
    return going
  }

  const count = 'select count(*) as n, count(distinct id) as d, sum(amount) as total from ods.sale'

  async function expectWhole(): Promise<void> {
    const [found] = await project.rows(count)
    expect(found).toMatchObject({ n: BigInt(rows), d: BigInt(rows) })
    expect(String(found?.['total'])).toMatch(/^99000(\.00)?$/)
  }

  async function expectNothingVisible(): Promise<void> {
    const tables = `select count(*) as n from information_schema.tables where table_schema = 'ods'`
    expect(await project.rows(tables)).toEqual([{ n: 0n }])
  }

  test('restarted in the middle of a table: the same run asks again, goes on behind its chunks, each row is there once', async () => {
    const going = await startReading()
    await source.restart()
    const ended = await going.ended
    expect(ended.status, ended.stderr).toBe(0)
    expect(ended.stderr).toContain('trying again')
    expect(ended.stderr).toContain('goes on behind chunk')
    expectNoSecret(ended, [password])
    await expectWhole()
    expect(await project.rows('select 1 from naru.control_total where not equal')).toEqual([])
  })

  test('gone for longer than a run asks: it ends with the source named, and the next one goes on behind its chunks', async () => {
    const going = await startReading('retries: 0,')
    await source.restart()
    const ended = await going.ended
    const says = ['source "ops"', 'in interface ops.sale', 'next: naru run']
    expectRefused(ended, { status: 1, code: 'SOURCE_UNREACHABLE', says })
    await expectNothingVisible()
    expect((await project.run()).stderr).toContain('goes on behind chunk')
    await expectWhole()
  })

  test('a right that is taken away in the middle: the run stops at once and names the table', async () => {
    const going = await startReading()
    await source.execute('revoke select on sale from reader')
    const ended = await going.ended
    const says = ['source "ops"', 'sale', 'in interface ops.sale', 'next: naru run']
    expectRefused(ended, { status: 1, code: 'SOURCE_DENIED', says })
    expect(ended.stderr).not.toContain('trying again')
    expectNoSecret(ended, [password])
    await expectNothingVisible()
    await source.execute('grant select on sale to reader')
    await project.run()
    await expectWhole()
  })

  test.each<[string, (it: Source) => string]>([
    ['a column goes', () => 'alter table sale drop column note'],
    ['a type becomes another', it => it.retype('numeric(9, 2)')],
    ['its rows go', () => 'truncate table sale'],
    [
      'another table takes its name',
      () =>
        'alter table sale rename to old_sale; create table sale as select * from old_sale where id < 5; drop table old_sale',
    ],
  ])(
    'the table changes in the middle, %s: the change waits or the run is refused, never two states in one load',
    async (_what, change) => {
      const going = await startReading('retries: 0,')
      const changing = source.execute(change(source))
      const ended = await going.ended
      await changing
      if (ended.status === 0) await expectWhole()
      else {
        expect(ended.status, ended.stderr).toBe(1)
        expect(ended.stderr).toMatch(
          /\[(SOURCE_READ|SOURCE_REWRITTEN|SOURCE_\w+_GONE|SOURCE_TYPE_CHANGED|LOAD_REFUSED)\]/,
        )
        expect(ended.stderr).toContain('sale')
        await expectNothingVisible()
      }
      await source.execute(makeSale(source))
      await project.run()
      await expectWhole()
    },
  )
})
