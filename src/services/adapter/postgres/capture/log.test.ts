import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isNaruError } from '../../../../core/errors.ts'
import { openPostgres, type TestDatabase } from '../../../../testing/postgres/database.ts'
import { logSystem } from '../../../../testing/postgres/log.ts'
import { postgresSystem } from '../../../../testing/postgres/system.ts'
import { rejectsWith } from '../../../../testing/suite/rejects.ts'
import {
  eventsOf,
  follow,
  inTime,
  items,
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

const documents: CapturedTable = {
  name: 'doc',
  ...shapeOf(
    'docs',
    [
      ['id', int64],
      ['body', text],
      ['title', text],
    ],
    ['id'],
  ),
}

/** Random letters: they do not compress, so that the server keeps them beside their row. */
const long = (letters: number): string =>
  `(select string_agg(md5(n::text || random()::text), '') from generate_series(1, ${letters / 32}) n)`

describe('values', () => {
  test('a long value that did not change is marked as such, and is not taken for NULL', () =>
    withCapture(
      system,
      async ({ stream, catchUp }) => {
        await run(`insert into docs values (1, ${long(64_000)}, 'a'), (2, null, 'a')`)
        await run(`update docs set title = 'b'`)
        const { events } = await catchUp(await stream())
        assert.equal(events[0]?.row[1]?.length, 64_000)
        assert.deepEqual(
          events.slice(2).map(({ row }) => row),
          [
            ['1', undefined, 'b'],
            ['2', null, 'b'],
          ],
        )
      },
      [documents],
    ))

  test('with a full replica identity the old row has the long value', () =>
    withCapture(
      {
        ...system,
        createTable: table =>
          run(`${create(table)}; alter table ${table.remote} replica identity full`).then(() => undefined),
      },
      async ({ stream, catchUp }) => {
        await run(`insert into docs values (1, ${long(64_000)}, 'a')`)
        await run(`update docs set title = 'b'; update docs set id = 2; delete from docs`)
        const { events } = await catchUp(await stream())
        assert.deepEqual(
          events.map(({ op, row }) => [op, row[0], row[1]?.length, row[2]]),
          [
            ['insert', '1', 64_000, 'a'],
            ['update', '1', 64_000, 'b'],
            ['delete', '1', undefined, null],
            ['move', '2', 64_000, 'b'],
            ['delete', '2', undefined, null],
          ],
        )
      },
      [documents],
    ))

  test.each([
    ['as text', () => true],
    ['in binary form', (native: string) => BINARY.test(native)],
  ])(
    'the hardest values of every type equal what the server prints, %s; what no type holds is told',
    async (_, wanted) => {
      await run('drop table if exists hard, hard_log; drop schema if exists odd cascade')
      const hard = await postgresSystem(database).createHardTable()
      const natives = await one(
        `select string_agg(attname || ' ' || format_type(atttypid, -1), ',') from pg_attribute where attrelid = 'hard'::regclass and attnum > 0`,
      )
      const kept = new Set(
        (natives ?? '')
          .split(',')
          .filter(it => wanted(it.slice(it.indexOf(' ') + 1)))
          .map(it => it.split(' ')[0]),
      )
      const columns = hard.columns.filter(it => it.name === 'id' || kept.has(it.name))
      const table: CapturedTable = { name: 'hard', remote: 'hard_log', columns, key: ['id'] }
      await withCapture(
        { ...system, createTable: () => run(`create table hard_log (like hard including all)`).then(() => undefined) },
        async ({ stream, catchUp }) => {
          await run('insert into hard_log select * from hard order by id')
          const { events, rejects } = await catchUp(await stream())
          const rows = new Map(events.map(it => [it.row[0], it]))
          const normal = (c: number, value: string | null | undefined): unknown =>
            value != null && columns[c]?.type.kind === 'float' ? Number(value) + 0 : (value ?? null)
          for (const row of hard.rows) {
            const expected = columns.map(({ name }) => row[hard.columns.findIndex(it => it.name === name)])
            assert.deepEqual(
              rows.get(row[0] as string)?.row.map((value, c) => normal(c, value)),
              expected.map((value, c) => normal(c, value)),
            )
          }
          const told = new Set(rejects.map(({ reject }) => reject.key?.['id']))
          for (const id of told) assert.equal(rows.get(id as string)?.op, 'delete')
          if (kept.size === hard.columns.length - 1)
            assert.deepEqual(
              hard.unfit.filter(id => !told.has(id)),
              [],
            )
          else assert.ok(told.size > 0)
        },
        [table],
      )
    },
    180_000,
  )

  test('a row over the limit is told and becomes a delete, in a transaction of any size', () =>
    withCapture(
      logSystem(database, { maxValueBytes: 20_000 }),
      async ({ stream, catchUp }) => {
        await run(`insert into docs values (1, 'x', 'a'), (2, 'x', 'a')`)
        await run(
          `update docs set body = ${long(96_000)} where id = 1; insert into docs values (3, ${long(3_200_000)}, 'big')`,
        )
        await run(
          `begin; insert into docs select n, 'small', 'a' from generate_series(10, 5000) n; insert into docs values (9, ${long(320_000)}, 'big'); commit`,
        )
        const { events, rejects } = await catchUp(await stream())
        assert.deepEqual(
          rejects.map(({ reject }) => [reject.reason, reject.key]),
          [
            ['VALUE_TOO_LARGE', { id: '1' }],
            ['VALUE_TOO_LARGE', { id: '3' }],
            ['VALUE_TOO_LARGE', { id: '9' }],
          ],
        )
        assert.match(rejects[0]?.reject.detail ?? '', /96000 of them in "body"; the limit is 20000/)
        assert.deepEqual(
          events.filter(({ op }) => op === 'delete').map(({ row }) => row),
          ['1', '3', '9'].map(id => [id, null, null]),
        )
        assert.equal(events.length, 2 + 2 + 4_992)
      },
      [documents],
    ))
})

const BINARY =
  /^(bool|bytea|bigint|smallint|integer|text|character|json|real|double|date|time without|timestamp|interval|uuid|numeric)/

describe('transactions', () => {
  test('large ones are held in files while they are open, apart from each other, and without what was rolled back', () =>
    withCapture(system, async ({ captures, tables, from, session, catchUp }) => {
      const [a, b, gone] = [await session(), await session(), await session()]
      const spillDir = await system.spillDir()
      const open = await captures.open({ tables, from, spillDir, heldBytes: 300_000, sliceBytes: 100_000 }, never)
      try {
        for (const it of [a, b, gone]) await it.execute('begin')
        for (let i = 0; i < 4; i++) {
          await a.execute(
            `insert into capture_items select n, repeat('a', 50), 1 from generate_series(${i * 2000 + 1}, ${i * 2000 + 2000}) n`,
          )
          await gone.execute(
            `insert into capture_items select n, repeat('g', 50), 1 from generate_series(${50_001 + i * 2000}, ${52_000 + i * 2000}) n`,
          )
          await b.execute('savepoint part')
          await b.execute(
            `insert into capture_items select n, repeat('b', 50), 1 from generate_series(${20_001 + i * 2000}, ${22_000 + i * 2000}) n`,
          )
          if (i % 2 === 1) await b.execute('rollback to savepoint part')
        }
        // They are open still, and the server has sent most of them.
        let files = 0
        const head = await captures.head(never)
        const early = await follow(captures, open, head)
        assert.deepEqual(early.events, [])
        files = (await readdir(spillDir)).length
        assert.ok(files > 0, 'nothing was spilled')
        await gone.execute('rollback')
        await b.execute('commit')
        await a.execute('commit')
        const { events, slices } = await catchUp(open)
        const ids = events.map(({ row }) => Number(row[0]))
        assert.equal(ids.length, 12_000)
        assert.ok(ids.slice(0, 4000).every(id => (id > 20_000 && id <= 22_000) || (id > 24_000 && id <= 26_000)))
        assert.deepEqual(
          ids.slice(4000),
          Array.from({ length: 8000 }, (_, i) => i + 1),
        )
        assert.equal(slices.flatMap(it => [...it.transactions.ids]).length, 2)
        assert.ok(slices.filter(it => it.position === null).length > 4)
      } finally {
        await open.close()
      }
      assert.deepEqual(await readdir(spillDir), [])
    }))

  test('messages of the application come in their place, once', () =>
    withCapture(system, async ({ insert, stream, catchUp }) => {
      await insert(items, ['1', 'a', '1'])
      await run(
        `begin; insert into capture_items values (2, 'b', 1); select pg_logical_emit_message(true, 'who', 'anna'); insert into capture_items values (3, 'c', 1); commit`,
      )
      await run(`select pg_logical_emit_message(false, 'now', 'free')`)
      const first = await stream()
      const { slices } = await catchUp(first)
      const told = slices.flatMap(it =>
        it.messages.map(({ order, prefix, content }) => [
          prefix,
          Buffer.from(content).toString(),
          eventsOf(it).filter(e => e.order < order).length,
        ]),
      )
      assert.deepEqual(
        told.map(it => it.slice(0, 2)),
        [
          ['who', 'anna'],
          ['now', 'free'],
        ],
      )
      const at = slices.findLast(({ position }) => position !== null)?.position as string
      const ofNow = slices.find(it => it.messages.some(({ prefix }) => prefix === 'now'))?.position as string
      await first.close()
      const again = await catchUp(await stream(ofNow))
      assert.deepEqual(
        again.slices.flatMap(it => it.messages),
        [],
      )
      assert.ok(at.length > 0)
    }))
})

describe('a position that was lost', () => {
  test('R6: a slot that was made anew, one that somebody else read, and one that is gone are named with the gap', () =>
    withCapture(system, async ({ insert, from, stream }) => {
      await insert(items, ['1', 'a', '1'])
      await run(`select pg_replication_slot_advance('naru_ops', pg_current_wal_lsn())`)
      await rejectsWith('POSITION_LOST', stream(from), 'made anew, or somebody else has read it; changes from')
      await run(`select pg_drop_replication_slot('naru_ops')`)
      await rejectsWith('POSITION_LOST', stream(from), 'is gone; changes from')
      await run(`select pg_create_logical_replication_slot('naru_ops', 'pgoutput')`)
      await rejectsWith('POSITION_LOST', stream(from), 'made anew')
    }))

  test('a publication that was made anew did not see everything', () =>
    withCapture(system, async ({ from, stream }) => {
      await run(`drop publication naru_ops; create publication naru_ops for table capture_items, capture_others`)
      await rejectsWith('POSITION_LOST', stream(from), 'publication "naru_ops" is gone or was made anew')
      await run('drop publication naru_ops')
    }))

  test('another server, another history, and a log that ends before it', () =>
    withCapture(system, async ({ from, stream }) => {
      const [, id, line, publication] = from.split(':') as string[]
      await rejectsWith('POSITION_LOST', stream(`pg:1${id?.slice(1)}:${line}:${publication}:0/1`), 'of the server')
      await rejectsWith(
        'POSITION_LOST',
        stream(`pg:${id}:${line}:${publication}:FFFF/0`),
        'restored from an older copy',
      )
      await rejectsWith('POSITION_LOST', stream(from.replace(`:${line}:`, ':9:')), 'timeline 9')
    }))

  test('log that the server has thrown away', () =>
    withCapture(system, async ({ from, insert, stream }) => {
      await run(`alter system set max_slot_wal_keep_size = '1MB'`)
      await run('select pg_reload_conf()')
      try {
        for (let i = 0; i < 5; i++) {
          await insert(items, [String(i), 'a', '1'])
          await run('select pg_switch_wal()')
        }
        await run('checkpoint')
        assert.equal(await one(`select wal_status from pg_replication_slots where slot_name = 'naru_ops'`), 'lost')
        await rejectsWith('POSITION_LOST', stream(from), 'thrown away')
      } finally {
        await run('alter system reset max_slot_wal_keep_size')
        await run('select pg_reload_conf()')
      }
    }))

  test('a table that left the publication stops the next stream, by name', () =>
    withCapture(system, async ({ from, stream }) => {
      await run('alter publication naru_ops drop table capture_others')
      await rejectsWith('CAPTURE_NOT_READY', stream(from), 'table "other"')
    }))
})

describe('the source is safe', () => {
  test('R1: the slot is never further than what was confirmed', () =>
    withCapture(system, async ({ insert, captures, stream }) => {
      const open = await stream()
      for (let i = 1; i <= 20; i++) await insert(items, [String(i), 'a', '1'])
      const head = await captures.head(never)
      const before = await one(`select confirmed_flush_lsn from pg_replication_slots where slot_name = 'naru_ops'`)
      let last: string | null = null
      while (last === null || captures.compare(last, head) < 0) {
        const came = await inTime('a slice', () => open.next())
        if (!('kind' in came)) last = came.position ?? last
        assert.equal(
          await one(`select confirmed_flush_lsn from pg_replication_slots where slot_name = 'naru_ops'`),
          before,
        )
      }
      await open.confirm(last)
      await until(
        async () =>
          (await one(`select confirmed_flush_lsn from pg_replication_slots where slot_name = 'naru_ops'`)) ===
          last?.split(':')[4],
        open,
      )
    }))

  test('what was written without a commit is on its way as well once somebody waits for where the log ends', () =>
    withCapture(system, async ({ captures }) => {
      await run(`begin; select pg_logical_emit_message(false, 'other', 'of nobody'); rollback`)
      assert.equal(await one('select pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()'), 'true')
      const head = (await captures.head(never)).split(':')[4]
      await expect.poll(() => one(`select pg_current_wal_flush_lsn() >= '${head}'`), { timeout: 3000 }).toBe('true')
    }))

  test('R19: a second reader is told which process reads the slot', () =>
    withCapture(system, async ({ captures, tables, from, stream }) => {
      await stream()
      const pid = await one(`select active_pid from pg_replication_slots where slot_name = 'naru_ops'`)
      const request = { tables, from, spillDir: await system.spillDir() }
      await rejectsWith(
        'CAPTURE_HELD',
        captures.open(request, never),
        `process ${pid} of the server, application "naru"`,
      )
    }))

  test('a quiet database on a busy server does not hold its log', () =>
    withCapture(system, async ({ stream }) => {
      await run('create database busy')
      const busy = await database.connect(database.urlWith({ database: 'busy' }))
      const open = await stream()
      await busy.query('create table noise as select n, md5(n::text) from generate_series(1, 20000) n')
      const before = await one('pg_current_wal_lsn()')
      await until(
        async () =>
          (await one(
            `select confirmed_flush_lsn >= '${before}' from pg_replication_slots where slot_name = 'naru_ops'`,
          )) === 'true',
        open,
      )
      await busy.end()
      await run('drop database busy')
    }))

  test('what the slot keeps on the disk is told, also while no stream is open; one that is gone is not made anew', () =>
    withCapture(system, async ({ captures, tables, from, stream }) => {
      const open = await stream()
      await run(`insert into capture_others select n, repeat('x', 200) from generate_series(1, 20000) n`)
      assert.ok(((await open.lag(never)).kept ?? 0n) > 1_000_000n)
      await open.close()
      const lag = await captures.lag?.(from, never)
      assert.ok((lag?.kept ?? 0n) > 1_000_000n && (lag?.bytes ?? 0n) > 1_000_000n)
      await captures.remove(never)
      assert.match((await captures.lag?.(from, never))?.trouble ?? '', /is gone/)
      await captures.install(
        tables.map(it => ({ ...it, isFollowed: true })),
        never,
      )
      assert.equal(await one(`select count(*) from pg_replication_slots where slot_name = 'naru_ops'`), '0')
      await rejectsWith('POSITION_LOST', stream(from), 'is gone; changes from')
    }))

  test('a slow consumer stops the server and is not cut off by it', async () => {
    await run(`alter system set wal_sender_timeout = '3s'`)
    await run('select pg_reload_conf()')
    try {
      await withCapture(system, async ({ stream, catchUp }) => {
        const open = await stream()
        await run(`insert into capture_others select n, repeat('x', 500) from generate_series(1, 60000) n`)
        await inTime('the first slice', () => open.next())
        await new Promise(resolve => void setTimeout(resolve, 7_000))
        const before = await one(`select sent_lsn < pg_current_wal_lsn() from pg_stat_replication`)
        const { events } = await catchUp(open)
        assert.equal(before, 'true')
        assert.ok(events.length > 50_000)
      })
    } finally {
      await run('alter system reset wal_sender_timeout')
      await run('select pg_reload_conf()')
    }
  })

  test('R17: a connection that is half open ends with an error, and not with silence', async () => {
    const proxy = await startProxy(Number(new URL(database.url).port))
    const slow = logSystem({ ...database, url: database.urlWith({ port: proxy.port }) }, { streamTimeout: '2s' })
    await withCapture(system, async ({ tables, from }) => {
      const adapter = await slow.open()
      const captures = adapter.captures?.log
      assert.ok(captures !== undefined)
      const open = await captures.open({ tables, from, spillDir: await system.spillDir() }, never)
      await inTime('a sign of life', () => open.next())
      proxy.hold()
      const error = await refusal(
        inTime('the end', async () => {
          for (;;) await open.next()
        }),
      )
      assert.ok(isNaruError(error, 'SOURCE_UNREACHABLE'), String(error))
      await proxy.stop()
      await open.close()
      await adapter.close()
    })
  })

  test('R7: stopped a hundred times, wherever it was and with transactions open across it, it goes on exactly there', () =>
    withCapture(system, async ({ captures, tables, from }) => {
      const [long, short] = [await database.connect(), await database.connect()]
      const wanted: string[] = []
      // Every fourth transaction stays open over the three after it: it begins before them and comes behind them.
      const writeFour = async (i: number): Promise<void> => {
        await long.query(`begin; insert into capture_others values (${i}, 'long')`)
        for (let k = 1; k < 4; k++) {
          await short.query(`insert into capture_others values (${i + k}, repeat('s', ${(i * 7) % 300}))`)
          wanted.push(String(i + k))
        }
        await long.query('commit')
        wanted.push(String(i))
      }
      for (let i = 0; i < 300; i += 4) await writeFour(i)
      let head = await captures.head(never)
      const seen: string[] = []
      let [at, stops] = [from, 0]
      while (captures.compare(at, head) < 0) {
        const open = await captures.open(
          { tables, from: at, spillDir: await system.spillDir(), sliceBytes: 200, lingerMs: 0 },
          never,
        )
        // Some slices are kept and not confirmed, some are read and not kept: those come again.
        for (let n = 0; n <= stops % 4 && captures.compare(at, head) < 0; n++) {
          const came = await inTime('a slice', () => open.next())
          if ('kind' in came || came.position === null) continue
          seen.push(...eventsOf(came).map(({ row }) => row[0] as string))
          at = came.position
          if (stops % 3 === 0) await open.confirm(at)
        }
        if (stops % 5 === 0 && captures.compare(at, head) < 0) await inTime('one that is lost', () => open.next())
        await open.close()
        stops++
        await until(
          async () => (await one(`select active from pg_replication_slots where slot_name = 'naru_ops'`)) === 'false',
        )
        // How much a slice holds is up to the server's pace: there is always something left to be stopped at.
        if (captures.compare(at, head) >= 0 && stops < 100) {
          await writeFour(wanted.length)
          head = await captures.head(never)
        }
      }
      await Promise.all([long.end(), short.end()])
      assert.deepEqual(seen, wanted)
      assert.ok(stops >= 100, `${stops} stops`)
    }))

  test('R5: a connection that is cut at any byte loses nothing and gives nothing twice', () =>
    withCapture(system, async ({ insert, captures, tables, from }) => {
      for (let i = 1; i <= 60; i++) await insert(items, [String(i), `name ${i} ${'x'.repeat(2_000)}`, '1'])
      const head = await captures.head(never)
      const seen: string[] = []
      let [at, cuts] = [from, 0]
      for (let cut = 1; captures.compare(at, head) < 0; cut++) {
        const proxy = await startProxy(Number(new URL(database.url).port), 8_000 + cut * 997)
        const adapter = await openPostgres(database.urlWith({ port: proxy.port }))
        try {
          const open = await adapter.captures!.log!.open(
            { tables, from: at, spillDir: await system.spillDir(), sliceBytes: 5_000 },
            never,
          )
          for (;;) {
            const came = await open.next()
            assert.ok(!('kind' in came))
            if (came.position === null) continue
            seen.push(...eventsOf(came).map(({ row }) => row[0] as string))
            at = came.position
            if (captures.compare(at, head) >= 0) break
          }
          await open.close()
        } catch (error) {
          if (!isNaruError(error) || error.retry !== 'later') throw error
          if (seen.length > 0) cuts++
        } finally {
          await adapter.close()
          await proxy.stop()
        }
        assert.ok(cut < 400)
        await until(
          async () => (await one(`select active from pg_replication_slots where slot_name = 'naru_ops'`)) === 'false',
        )
      }
      assert.ok(cuts > 3, `${cuts} cuts`)
      assert.deepEqual(
        seen,
        Array.from({ length: 60 }, (_, i) => String(i + 1)),
      )
    }))
})

interface Proxy {
  readonly port: number
  /** Nothing passes from here on, and nobody is told. */
  hold(): void
  stop(): Promise<void>
}

/** A proxy in front of the server, which cuts a connection after so many bytes. */
async function startProxy(target: number, bytesMax = Infinity): Promise<Proxy> {
  const sockets = new Set<net.Socket>()
  let isHeld = false
  const server = net.createServer(client => {
    const upstream = net.connect(target, '127.0.0.1')
    let bytes = 0
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => [client.destroy(), upstream.destroy()])
    }
    client.on('data', data => !isHeld && upstream.write(data))
    upstream.on('data', data => {
      bytes += data.length
      if (bytes > bytesMax) {
        client.write(data.subarray(0, Math.max(0, data.length - (bytes - bytesMax))))
        client.destroySoon()
        upstream.destroy()
      } else if (!isHeld) client.write(data)
    })
  })
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    hold: () => (isHeld = true),
    stop: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise(resolve => void server.close(() => resolve()))
    },
  }
}
