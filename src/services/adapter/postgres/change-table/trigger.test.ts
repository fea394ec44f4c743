import assert from 'node:assert/strict'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Client } from 'pg'
import { isNaruError } from '../../../../core/errors.ts'
import { readFrom } from '../../../../testing/capture.ts'
import { openPostgres, startTestDatabase, type TestDatabase } from '../../../../testing/postgres/database.ts'
import type { ColumnDef, ColumnType } from '../../../../core/types.ts'
import { follow, type Event } from '../../conformance-capture-support.ts'
import type { Adapter } from '../../contract.ts'
import type { CapturedTable, Captures } from '../../contract-capture.ts'

let database: TestDatabase
let client: Client
let adapter: Adapter
let captures: Captures
const never = new AbortController().signal

beforeAll(async () => {
  database = await startTestDatabase()
  client = database.client
  adapter = await openPostgres(database.url)
  captures = adapter.captures?.trigger as Captures
}, 180_000)
afterAll(async () => {
  await adapter?.close()
  await database?.stop()
})

const column = (name: string, type: ColumnType, nullable = true): ColumnDef => ({
  name,
  type,
  nullable,
  personal: false,
})
const flight: CapturedTable = {
  name: 'flight',
  remote: 'flight',
  columns: [
    column('id', { kind: 'int', bits: 32 }, false),
    column('name', { kind: 'text' }),
    column('price', { kind: 'decimal', precision: 12, scale: 2 }),
  ],
  key: ['id'],
}
const crew: CapturedTable = { ...flight, name: 'crew', remote: 'ops.crew member' }
const tables = [flight, crew]

beforeEach(async () => {
  await captures.remove(never)
  await client.query(`
    drop table if exists flight, flight_old cascade; drop schema if exists ops cascade; create schema ops;
    create table flight (id integer primary key, name text, price numeric(12,2), hidden text);
    create table ops."crew member" (id integer primary key, name text, price numeric(12,2))`)
})

describe('changes that triggers write', () => {
  test('every kind of change is told once, in order, with exact values', async () => {
    const from = await captures.install(tables, never)
    await client.query(`insert into flight values (1, 'a', 1.10), (2, 'b', null)`)
    await client.query(
      `begin; update flight set name = 'A' where id = 1; insert into ops."crew member" values (7, 'x', -0.01); delete from flight where id = 2; commit`,
    )
    await client.query(`update flight set id = 3 where id = 1`)
    await client.query(`truncate flight`)
    const { events } = await readFrom(captures, { tables, from })
    assert.deepEqual(
      events.map(({ table, op, row }) => [table, op, ...row]),
      [
        ['flight', 'insert', '1', 'a', '1.10'],
        ['flight', 'insert', '2', 'b', null],
        ['flight', 'update', '1', 'A', '1.10'],
        ['crew', 'insert', '7', 'x', '-0.01'],
        ['flight', 'delete', '2', null, null],
        ['flight', 'delete', '1', null, null],
        ['flight', 'move', '3', 'A', '1.10'],
        ['flight', 'truncate', null, null, null],
      ],
    )
    assert.equal(events[2]?.transaction, events[4]?.transaction)
    assert.notEqual(events[1]?.transaction, events[2]?.transaction)
  })

  test('rows that a foreign key or a conflict changes are seen', async () => {
    await client.query(`drop table if exists kind; create table kind (id integer primary key); insert into kind values (1), (2);
      alter table flight add kind integer references kind on update cascade on delete cascade`)
    const from = await captures.install([flight], never)
    await client.query(`insert into flight values (1, 'a', null, null, 1), (2, 'b', null, null, 2)`)
    await client.query(`update kind set id = 7 where id = 1; delete from kind where id = 2`)
    await client.query(`insert into flight values (1, 'x') on conflict (id) do update set name = 'c'`)
    await client.query(`insert into flight values (1, 'x') on conflict do nothing; delete from kind`)
    const { events } = await readFrom(captures, { tables: [flight], from })
    assert.deepEqual(
      events.map(({ op, row }) => [op, row[0], row[1]]),
      [
        ['insert', '1', 'a'],
        ['insert', '2', 'b'],
        ['update', '1', 'a'],
        ['delete', '2', null],
        ['update', '1', 'c'],
        ['delete', '1', null],
      ],
    )
  })

  test('a key in other letters is another key, also where a collation takes both for one', async () => {
    await client.query(`
      drop collation if exists any_case cascade;
      create collation any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      alter table flight drop constraint flight_pkey; alter table flight alter name type text collate any_case;
      alter table flight add primary key (name)`)
    const named = { ...flight, key: ['name'] }
    const from = await captures.install([named], never)
    await client.query(`insert into flight values (1, 'a')`)
    await client.query(`update flight set name = 'A'`)
    const { events } = await readFrom(captures, { tables: [named], from })
    assert.deepEqual(
      events.map(({ op, row }) => [op, row[1]]),
      [
        ['insert', 'a'],
        ['delete', 'a'],
        ['move', 'A'],
      ],
    )
  })

  test('keys that move along, or are exchanged, in one statement leave the rows that the table has', async () => {
    await client.query(
      `alter table flight drop constraint flight_pkey; alter table flight add primary key (id) deferrable`,
    )
    const from = await captures.install(tables, never)
    await client.query(`insert into flight values (1, 'a'), (2, 'b'), (3, 'c')`)
    await client.query(`update flight set id = id + 1`)
    await client.query(`update flight set id = case id when 2 then 3 when 3 then 2 else id end`)
    const { events } = await readFrom(captures, { tables, from })
    assert.deepEqual(replay(events), await rowsOf('flight'))
  })

  test('a transaction that is long open delays nobody, and comes when it commits, whole and in the order of its rows', async () => {
    const from = await captures.install(tables, never)
    const long = await database.connect()
    const stuck = await database.connect()
    await long.query(`begin; insert into ops."crew member" values (1, 'old', 0)`) // takes the lower number
    await stuck.query(`begin; insert into ops."crew member" values (99, 'never', 0)`)
    await client.query(`insert into flight values (1, 'first')`) // a higher number, on the row that the long one changes next
    const first = await readFrom(captures, { tables, from })
    assert.deepEqual(
      first.events.map(it => it.row[1]),
      ['first'],
    )
    await client.query(`update flight set name = 'second' where id = 1`)
    await long.query(`update flight set name = 'third' where id = 1; commit`)
    await client.query(`update flight set name = 'fourth' where id = 1`)
    const second = await readFrom(captures, { tables, from: first.position })
    const names = second.events.filter(it => it.table === 'flight').map(it => it.row[1])
    assert.deepEqual(names, ['second', 'third', 'fourth'])
    await stuck.query('rollback')
    const third = await readFrom(captures, { tables, from: second.position })
    assert.deepEqual(third.events, [])
  })

  test('writers beside each other: every version once, in the order of each row, whatever the slices, reopened anywhere', async () => {
    const from = await captures.install(tables, never)
    await client.query(`insert into flight select i, '0', 0 from generate_series(1, 20) i`)
    const writers = await Promise.all(Array.from({ length: 6 }, () => database.connect()))
    const over = { is: false }
    const work = writers.map(async (writer, w) => {
      for (let i = 0; i < 60; i++) {
        await writer.query('begin')
        const ids = [1 + ((i * 7 + w) % 20), 1 + ((i * 3 + w * 5) % 20)].sort((a, b) => a - b)
        for (const id of ids)
          await writer.query(`update flight set price = price + 1, name = '${w}.${i}' where id = ${id}`)
        await writer.query((i + w) % 9 === 0 ? 'rollback' : 'commit')
      }
    })
    const all = Promise.all(work).finally(() => (over.is = true))
    let position = from
    const seen = []
    while (!over.is) {
      const read = await readFrom(captures, { tables, from: position, sliceBytes: 2_000, confirms: true })
      seen.push(...read.events)
      position = read.position
    }
    await all
    seen.push(...(await readFrom(captures, { tables, from: position })).events)
    const versions = new Map<string, number>()
    for (const { row } of seen) {
      const [id, price] = [row[0] as string, Number(row[2])]
      assert.equal(price, (versions.get(id) ?? -1) + 1, `row ${id}`)
      versions.set(id, price)
    }
    assert.deepEqual(replay(seen), await rowsOf('flight'))
  }, 180_000)

  test('a transaction larger than a slice comes in parts, of which the last has the position', async () => {
    const from = await captures.install(tables, never)
    await client.query(`begin; insert into flight select i, repeat('x', 100), i from generate_series(1, 5000) i;
      insert into ops."crew member" select i, 'y', i from generate_series(1, 5000) i; commit`)
    await client.query(`insert into flight values (0, 'after')`)
    const { events, slices } = await readFrom(captures, { tables, from, sliceBytes: 100_000 })
    assert.equal(events.length, 10_001)
    assert.ok(slices.length > 5)
    assert.ok(slices.slice(0, 4).every(it => it.position === null))
    assert.deepEqual(
      events.slice(0, 10_000).map(it => Number(it.row[0])),
      [...range(5000), ...range(5000)],
    )
    assert.equal(events[10_000]?.row[1], 'after')
  })

  test('a stream that is opened again at each position of another gives the rest, and nothing twice', async () => {
    const from = await captures.install(tables, never)
    for (let i = 0; i < 12; i++)
      await client.query(`insert into flight select ${i} * 10 + j, repeat('x', 500) from generate_series(1, 5) j`)
    const whole = await readFrom(captures, { tables, from, sliceBytes: 3_000 })
    assert.ok(whole.slices.length > 6)
    let given = 0
    const stream = await captures.open({ tables, from, sliceBytes: 3_000, spillDir: '/' }, never)
    const positions = [from]
    const counts = [0]
    while (given < 60) {
      const slice = await stream.next()
      assert.ok(!('kind' in slice))
      given += slice.tables.reduce((sum, it) => sum + it.rows.rows, 0)
      positions.push(slice.position as string)
      counts.push(given)
    }
    await stream.close()
    for (const [i, position] of positions.entries()) {
      const rest = await readFrom(captures, { tables, from: position, to: whole.position })
      assert.deepEqual(
        rest.events.map(it => it.row[0]),
        whole.events.slice(counts[i]).map(it => it.row[0]),
      )
    }
  })

  test('what was confirmed does not wait for us, though its space waits for a vacuum', async () => {
    const from = await captures.install(tables, never)
    await client.query(`insert into flight select i, repeat('x', 500) from generate_series(1, 2000) i`)
    const stream = await captures.open({ tables, from, spillDir: '/' }, never)
    const waiting = async (): Promise<bigint> => (await stream.lag(never)).bytes as bigint
    assert.ok((await waiting()) > 1_000_000n)
    const head = await captures.head(never)
    await follow(captures, stream, head, { confirms: true })
    await expect.poll(waiting, { timeout: 60_000 }).toBe(0n)
    // A row at the end of the file keeps the server from giving the space before it back.
    await client.query(`insert into flight values (3000, 'more')`)
    await client.query(`vacuum naru_capture.flight`)
    const left = await waiting()
    assert.ok(left > 0n && left < 100_000n, String(left))
    await stream.close()
  }, 180_000)

  test('writers need no right of ours, and sessions that replicate are seen', async () => {
    await client.query(
      `drop role if exists clerk; create role clerk login password 'c'; grant insert, update on flight to clerk; grant select on flight to clerk`,
    )
    const from = await captures.install(tables, never)
    const clerk = await database.connect(database.urlWith({ user: 'clerk', password: 'c' }))
    await clerk.query(`insert into flight values (1, 'by the clerk')`)
    await client.query(
      `set session_replication_role = replica; insert into flight values (2, 'copied'); reset session_replication_role`,
    )
    const { events } = await readFrom(captures, { tables, from })
    assert.deepEqual(
      events.map(it => it.row[1]),
      ['by the clerk', 'copied'],
    )
    await client.query(`revoke all on flight from clerk; drop role clerk`)
  })
})

describe('a change table that is not as it was', () => {
  const faults = {
    'a disabled trigger': [`alter table flight disable trigger "0_naru_insert"`, /disabled: 0_naru_insert/],
    'a trigger that was disabled for a while': [
      `alter table flight disable trigger "0_naru_update"; alter table flight enable always trigger "0_naru_update"`,
      /dropped, changed, or disabled for a while/,
    ],
    'a dropped trigger': [`drop trigger "0_naru_delete" on flight`, /dropped, changed/],
    'a renamed table': [`alter table flight rename to flight_old`, /is called "public.flight_old" now/],
    'a table made anew': [
      `drop table flight cascade; create table flight (id integer primary key, name text, price numeric(12,2))`,
      /was made anew/,
    ],
    'a dropped change table': [`drop table naru_capture.flight`, /change table of "flight" is gone/],
    'a changed function': [
      `create or replace function naru_capture.flight() returns trigger language plpgsql as 'begin return null; end'`,
      /dropped, changed/,
    ],
  } as const
  test.each(Object.entries(faults))(
    '%s is found at the next poll, and when the stream is opened; a repair loses the position',
    async (_, [damage, says]) => {
      const from = await captures.install(tables, never)
      const stream = await captures.open({ tables, from, spillDir: '/' }, never)
      await stream.next()
      await client.query(damage)
      await assert.rejects(
        async () => {
          for (;;) await stream.next()
        },
        error => isNaruError(error, 'CAPTURE_NOT_READY') && says.test(error.message),
      )
      await stream.close()
      await assert.rejects(
        captures.open({ tables, from, spillDir: '/' }, never),
        error => isNaruError(error, 'CAPTURE_NOT_READY') && says.test(error.message),
      )
      if (/rename/.test(damage)) await client.query(`alter table flight_old rename to flight`)
      await captures.install(tables, never)
      if (/rename/.test(damage)) return
      await assert.rejects(captures.open({ tables, from, spillDir: '/' }, never), error =>
        isNaruError(error, 'POSITION_LOST'),
      )
    },
  )

  test('a column that is added is told behind the changes before it', async () => {
    const from = await captures.install(tables, never)
    const stream = await captures.open({ tables, from, spillDir: '/' }, never)
    await stream.next()
    await client.query(`insert into flight values (1, 'before')`)
    await client.query(`alter table flight add column gate text; insert into flight values (2, 'after')`)
    const read = await follow(captures, stream, await captures.head(never), { confirms: false })
    const told = read.schemas[0] ?? (await nextSchema(stream))
    assert.ok(told.columns.some(it => it.name === 'gate'))
    assert.ok(read.events.some(it => it.row[1] === 'before'))
    await stream.close()
  })

  test('a second stream is refused with its holder', async () => {
    const from = await captures.install(tables, never)
    const stream = await captures.open({ tables, from, spillDir: '/' }, never)
    await assert.rejects(
      captures.open({ tables, from, spillDir: '/' }, never),
      error => isNaruError(error, 'CAPTURE_HELD') && /session \d+ of postgres/.test(error.message),
    )
    await stream.close()
    await (await captures.open({ tables, from, spillDir: '/' }, never)).close()
  })

  test('what is confirmed is deleted, and an earlier position is refused then', async () => {
    const from = await captures.install(tables, never)
    await client.query(`insert into flight select i from generate_series(1, 12000) i`)
    const { position } = await readFrom(captures, { tables, from })
    const stream = await captures.open({ tables, from: position, spillDir: '/' }, never)
    await stream.confirm(position)
    for (let left = '1'; left !== '0';) {
      left = (await client.query<{ n: string }>(`select count(*)::text as n from naru_capture.flight`)).rows[0]
        ?.n as string
    }
    await stream.close()
    await assert.rejects(
      captures.open({ tables, from, spillDir: '/' }, never),
      error => isNaruError(error, 'POSITION_LOST') && /deleted/.test(error.message),
    )
    assert.deepEqual((await readFrom(captures, { tables, from: position })).events, [])
  })

  test('what is removed of some tables leaves the others their place, and does not come back for who followed it', async () => {
    const from = await captures.install(tables, never)
    await captures.remove(never, ['flight'])
    await client.query(`insert into flight values (1, 'unseen'); insert into ops."crew member" values (7, 'seen')`)
    await assert.rejects(
      captures.install([{ ...flight, isFollowed: true }, crew], never),
      error => isNaruError(error, 'POSITION_LOST') && /no change table any more of "flight"/.test(error.message),
    )
    const { events } = await readFrom(captures, { tables: [crew], from })
    assert.deepEqual(
      events.map(it => it.row[1]),
      ['seen'],
    )
    await captures.remove(never, ['ops.crew member'])
    assert.equal((await client.query(`select from pg_namespace where nspname = 'naru_capture'`)).rowCount, 0)
  })

  test('changes of one owner are refused to another, until it lets go', async () => {
    for (const captures of [adapter.captures?.trigger, adapter.captures?.event] as Captures[]) {
      const of = (owner: string): readonly CapturedTable[] => tables.map(it => ({ ...it, owner }))
      await captures.install(of('one'), never)
      await captures.install(of('one'), never)
      const [problem] = await captures.inspect(of('two'), never)
      await assert.rejects(captures.install(of('two'), never), error => isNaruError(error, 'CAPTURE_NOT_READY'))
      await client.query(/: (update .*;)$/.exec(problem?.fix ?? '')?.[1] ?? '')
      await captures.install(of('two'), never)
      await assert.rejects(captures.install(of('one'), never), /belong to two/)
      await captures.remove(never)
    }
  })

  test('what the script shows is what install runs, and removing leaves nothing behind', async () => {
    const { install, remove } = captures.script(tables)
    for (const statement of install) await client.query(statement)
    const from = await captures.head(never)
    assert.equal(captures.compare(await captures.install(tables, never), from) >= 0, true)
    await client.query(`insert into flight values (1)`)
    assert.equal((await readFrom(captures, { tables, from })).events.length, 1)
    for (const statement of remove) await client.query(statement)
    await captures.install(tables, never)
    await captures.remove(never)
    await captures.remove(never)
    const { rows } = await client.query(
      `select 1 from pg_trigger where not tgisinternal union all select 1 from pg_namespace where nspname = 'naru_capture'`,
    )
    assert.deepEqual(rows, [])
  })
})

async function nextSchema(stream: { next(): Promise<object> }): Promise<{ readonly columns: readonly ColumnDef[] }> {
  for (;;) {
    const next = await stream.next()
    if ('kind' in next) return next as never
  }
}

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i + 1)

/** The rows that changes leave: text by id. */
function replay(events: readonly Event[]): Record<string, string> {
  const rows = new Map<string, string>()
  for (const { op, row } of events) {
    if (op === 'truncate') rows.clear()
    else if (op === 'delete') rows.delete(row[0] as string)
    else rows.set(row[0] as string, `${row[1]} ${row[2]}`)
  }
  return Object.fromEntries([...rows].sort(([a], [b]) => Number(a) - Number(b)))
}

async function rowsOf(table: string): Promise<Record<string, string>> {
  const { rows } = await client.query<{ id: string; text: string }>(
    `select id::text, concat(coalesce(name, 'null'), ' ', coalesce(price::text, 'null')) as text from ${table} order by flight.id`,
  )
  return Object.fromEntries(rows.map(row => [row.id, row.text]))
}
