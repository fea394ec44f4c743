import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Connection, RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { isNaruError } from '../../src/core/errors.ts'
import {
  follow,
  items,
  others,
  refusal,
  type Followed,
} from '../../src/services/adapter/conformance-capture-support.ts'
import { never } from '../../src/services/adapter/conformance-support.ts'
import type { CapturedTable, Captures, ChangeStream } from '../../src/services/adapter/contract-capture.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'
import { purgeLog } from '../support/mariadb-log.ts'

let server: MariaDb
let client: Connection
let spillDir: string
beforeAll(async () => {
  server = await startMariaDb({ 'log-bin': 'mysqld-bin', 'server-id': '3', 'binlog-format': 'ROW' })
  client = await connectMysql(server.url())
  spillDir = mkdtempSync(path.join(os.tmpdir(), 'naru-spill-'))
})
afterAll(async () => {
  await client?.end()
  await server?.stop()
  rmSync(spillDir, { recursive: true, force: true })
})
beforeEach(async () => {
  await client.query(`drop table if exists capture_items, capture_others`)
  await client.query(`create table capture_items (id bigint primary key, name text, version bigint default 1)`)
  await client.query(`create table capture_others (id bigint primary key, note text) engine = MyISAM`)
})

const tables: readonly CapturedTable[] = [items, others]

interface Bench {
  readonly adapter: Adapter
  readonly log: Captures
  readonly from: string
  open(from?: string): Promise<ChangeStream>
  /** What comes behind `from` until now. */
  changes(stream: ChangeStream): Promise<Followed>
}

async function withLog(body: (bench: Bench) => Promise<void>, url = server.url()): Promise<void> {
  const adapter = await openMysql(url)
  const log = adapter.captures?.log as Captures
  try {
    const from = await log.install(tables, never)
    await body({
      adapter,
      log,
      from,
      open: (at = from) => log.open({ tables, from: at, spillDir }, never),
      changes: async stream => follow(log, stream, await log.head(never)),
    })
  } finally {
    await adapter.close()
  }
}

/** Runs statements in a session of their own. */
async function inSession(...statements: readonly string[]): Promise<void> {
  const session = await connectMysql(server.url())
  try {
    for (const statement of statements) await session.query(statement)
  } finally {
    await session.end()
  }
}

const lastPosition = ({ slices }: Followed): string => slices.findLast(it => it.position !== null)?.position as string
const brief = ({ events }: Followed): readonly unknown[] => events.map(({ op, row }) => [op, ...row])

describe('what the log has of a row', () => {
  test('with a minimal image, what did not change is unchanged, and a default that was not written is told', async () => {
    await withLog(async ({ open, changes }) => {
      const stream = await open()
      await inSession(
        `set binlog_row_image = 'MINIMAL'`,
        `insert into capture_items values (1, 'one', 1)`,
        `update capture_items set version = 2 where id = 1`,
        `update capture_items set id = 5, name = 'five' where id = 1`,
        `delete from capture_items where id = 5`,
      )
      assert.deepEqual(brief(await changes(stream)), [
        ['insert', '1', 'one', '1'],
        ['update', '1', undefined, '2'],
        ['delete', '1', null, null],
        ['move', '5', 'five', undefined],
        ['delete', '5', null, null],
      ])
    })
  })

  test('with an image without blobs, the text that did not change is unchanged', async () => {
    await withLog(async ({ open, changes }) => {
      const stream = await open()
      await inSession(
        `set binlog_row_image = 'NOBLOB'`,
        `insert into capture_items values (1, 'one', 1)`,
        `update capture_items set version = 2 where id = 1`,
        `update capture_items set name = null where id = 1`,
      )
      assert.deepEqual(brief(await changes(stream)), [
        ['insert', '1', 'one', '1'],
        ['update', '1', undefined, '2'],
        ['update', '1', null, '2'],
      ])
    })
  })

  test('an insert that leaves columns out has NULL where that is the default; another default stops the stream and is told before', async () => {
    await withLog(async ({ open, changes, log }) => {
      const stream = await open()
      await inSession(
        `set binlog_row_image = 'MINIMAL'`,
        `insert into capture_items (id, version) values (1, 2)`,
        `insert into capture_items (id) values (2)`,
      )
      const slice = await stream.next()
      assert.ok(!('kind' in slice))
      const error = await refusal(changes(stream))
      assert.match(String(error), /no value of "version" in the log/)
      await client.query(`set global binlog_row_image = 'MINIMAL'`)
      const problems = await log.inspect(tables, never)
      await client.query(`set global binlog_row_image = 'FULL'`)
      assert.ok(problems.some(it => it.isFatal && it.table === 'item' && /no value of version/.test(it.text)))
      assert.ok(!problems.some(it => it.isFatal && it.table === 'other'))
    })
  })
})

describe('transactions', () => {
  test('rows of a table that cannot roll back stay, those of the others do not come', async () => {
    await withLog(async ({ open, changes }) => {
      const stream = await open()
      await inSession(
        'begin',
        `insert into capture_items values (1, 'gone', 1)`,
        `insert into capture_others values (1, 'stays')`,
        'rollback',
        `insert into capture_others values (2, 'stays')`,
      )
      assert.deepEqual(
        (await changes(stream)).events.map(({ table, row }) => [table, row[0]]),
        [
          ['other', '1'],
          ['other', '2'],
        ],
      )
    })
  })

  test('a prepared transaction comes when it is committed, also by a stream that was opened in between', async () => {
    await withLog(async ({ open, changes }) => {
      const first = await open()
      await inSession(
        `xa start 'a'`,
        `insert into capture_items values (1, 'prepared', 1)`,
        `xa end 'a'`,
        `xa prepare 'a'`,
      )
      await inSession(
        `xa start 'b'`,
        `insert into capture_items values (2, 'taken back', 1)`,
        `xa end 'b'`,
        `xa prepare 'b'`,
      )
      await inSession(`insert into capture_items values (3, 'between', 1)`)
      const before = await changes(first)
      assert.deepEqual(brief(before), [['insert', '3', 'between', '1']])
      await first.close()
      const second = await open(lastPosition(before))
      await inSession(`xa rollback 'b'`, `xa commit 'a'`, `insert into capture_items values (4, 'behind', 1)`)
      const after = await changes(second)
      assert.deepEqual(brief(after), [
        ['insert', '1', 'prepared', '1'],
        ['insert', '4', 'behind', '1'],
      ])
      await second.close()
      const third = await open(lastPosition(after))
      assert.deepEqual(brief(await changes(third)), [])
      await inSession(
        `xa start 'c'`,
        `insert into capture_items values (9, 'at once', 1)`,
        `xa end 'c'`,
        `xa commit 'c' one phase`,
      )
      assert.deepEqual(brief(await changes(third)), [['insert', '9', 'at once', '1']])
    })
  })

  test('a log of statements is refused with what a person may do', async () => {
    await withLog(async ({ open, changes }) => {
      const stream = await open()
      await inSession(`set binlog_format = 'STATEMENT'`, `insert into capture_items values (1, 'unseen', 1)`)
      const error = await refusal(changes(stream))
      assert.ok(isNaruError(error, 'POSITION_LOST'), String(error))
      assert.match(error.message, /as a statement \(insert\).*binlog_format/)
    })
  })
})

describe('statements about tables', () => {
  test('a table that is made anew is emptied first; one that is dropped is told to be gone', async () => {
    await withLog(async ({ open, changes }) => {
      const stream = await open()
      await inSession(
        `insert into capture_items values (1, 'one', 1)`,
        'create or replace table capture_items (id bigint primary key, name text)',
        `insert into capture_items values (2, 'two')`,
      )
      const anew = await changes(stream)
      assert.deepEqual(
        anew.events.map(({ op, row }) => [op, row[0]]),
        [
          ['insert', '1'],
          ['truncate', null],
          ['insert', '2'],
        ],
      )
      assert.deepEqual(
        anew.schemas.map(({ columns }) => columns.map(it => it.name)),
        [['id', 'name']],
      )
      await inSession('drop table shop.`capture_items`')
      assert.deepEqual(
        (await changes(stream)).schemas.map(({ table, columns }) => [table, columns]),
        [['item', []]],
      )
      await inSession('create table if not exists capture_items (id bigint primary key, name text)')
      const again = await changes(stream)
      assert.deepEqual(
        again.events.map(({ op }) => op),
        ['truncate'],
      )
      assert.deepEqual(
        again.schemas.map(({ key }) => key),
        [['id']],
      )
    })
  })

  test('another table under the name, and rows that go with their partition, are told', async () => {
    await withLog(async ({ open, changes }) => {
      const stream = await open()
      await inSession(
        'create table capture_next like capture_items',
        'rename table capture_items to capture_before, capture_next to capture_items',
        'drop table capture_before',
      )
      const [renamed] = (await changes(stream)).schemas
      assert.match(renamed?.unseen ?? '', /^rename table/)
      await inSession(
        'alter table capture_items partition by range (id) (partition a values less than (10), partition b values less than (20))',
        `insert into capture_items values (1, 'a', 1)`,
        'alter table capture_items drop partition a',
      )
      assert.match((await changes(stream)).schemas.at(-1)?.unseen ?? '', /drop partition/)
    })
  })
})

describe('a log that cannot be gone on with', () => {
  test('files that the server removed are named', async () => {
    await withLog(async ({ open, from }) => {
      await purgeLog(client)
      const error = await refusal(open(from))
      assert.ok(isNaruError(error, 'POSITION_LOST'), String(error))
      assert.match(
        error.message,
        /its log begins with mysqld-bin\.\d+ .*what stood between mysqld-bin\.\d+:\d+ and there is gone/,
      )
    })
  })

  test('the log of another server, and a place behind its end, are refused', async () => {
    await withLog(async ({ open, from }) => {
      await rejectsWith('POSITION_LOST', open(from.replace('server 3', 'server 4')))
      await rejectsWith('POSITION_LOST', open(from.replace(/:\d+/, ':900000000')))
      await rejectsWith('POSITION_LOST', open(from.replace(/gtid .*/, 'gtid 0-3-999999')))
      await rejectsWith(
        'POSITION_LOST',
        open(from.replace(/log \d+/, 'log 12345')).then(it => it.next()),
      )
    })
  })

  test('a server that was killed goes on where it was', async () => {
    await withLog(async ({ open, changes }) => {
      const first = await open()
      await inSession(`insert into capture_items values (1, 'before', 1)`)
      const before = await changes(first)
      await client.end()
      await server.restart()
      client = await connectMysql(server.url())
      const error = await refusal(
        (async () => {
          for (;;) await first.next()
        })(),
      )
      assert.ok(isNaruError(error, 'SOURCE_UNREACHABLE'), String(error))
      await first.close()
      await inSession(`insert into capture_items values (2, 'after', 1)`)
      assert.deepEqual(brief(await changes(await open(lastPosition(before)))), [['insert', '2', 'after', '1']])
    })
  })
})

describe('who may read the log', () => {
  test('another reader with our number ends the stream with a word, and is not fought', async () => {
    const adapter = await openMysql(server.url(), { serverId: 4242 })
    const log = adapter.captures?.log as Captures
    const from = await log.install(tables, never)
    const stream = await log.open({ tables, from, spillDir }, never)
    const file = from.split(':')[0] as string
    const tool = spawn('mariadb-binlog', [
      '--no-defaults',
      '--read-from-remote-server',
      '--host=127.0.0.1',
      `--port=${server.port}`,
      '--user=root',
      '--stop-never',
      '--stop-never-slave-server-id=4242',
      file,
    ])
    try {
      const error = await refusal(
        (async () => {
          for (;;) await stream.next()
        })(),
      )
      assert.ok(isNaruError(error, 'CAPTURE_HELD'), String(error))
    } finally {
      tool.kill()
      await adapter.close()
    }
  })

  test('a stream that has ended opens no session to say its lag, which would keep the process alive', async () => {
    // The server may still keep sessions of readers that were killed before.
    const sessions = async (): Promise<readonly number[]> =>
      (await client.query<RowDataPacket[]>('select id from information_schema.processlist'))[0].map(it => it['id'])
    const before = await sessions()
    await withLog(async ({ open }) => {
      const stream = await open()
      await stream.close()
      await rejectsWith('CANCELLED', stream.lag(never))
      const made = async (): Promise<readonly number[]> => (await sessions()).filter(id => !before.includes(id))
      await expect.poll(made).toEqual([])
    })
  })

  test('an account with the least privileges reads; one without them is told which it lacks', async () => {
    await withLog(async () => {
      await client.query(`create or replace user reader identified by 'x'`)
      await client.query(`grant select on shop.capture_items to reader; grant select on shop.capture_others to reader`)
      const adapter = await openMysql(server.url('reader', 'x'))
      const own = adapter.captures?.log as Captures
      const problems = (await own.inspect(tables, never)).filter(it => it.isFatal)
      assert.deepEqual(
        problems.map(({ fix }) => fix),
        [`grant replication slave on *.* to 'reader'@'%';`, `grant binlog monitor on *.* to 'reader'@'%';`],
      )
      await rejectsWith('CAPTURE_NOT_READY', own.install(tables, never))
      for (const statement of own.script(tables).install) await client.query(statement)
      const from = await own.install(tables, never)
      const stream = await own.open({ tables, from, spillDir }, never)
      await inSession(`insert into capture_items values (1, 'seen', 1)`)
      const { events } = await follow(own, stream, await own.head(never))
      assert.equal(events.length, 1)
      assert.ok((await stream.lag(never)).bytes !== null)
      await adapter.close()
    })
  })
})
