import assert from 'node:assert/strict'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Client } from 'pg'
import type { ColumnDef, ColumnType } from '../../../../core/types.ts'
import { readFrom } from '../../../../testing/capture.ts'
import { openPostgres, startTestDatabase, type TestDatabase } from '../../../../testing/postgres/database.ts'
import type { Adapter } from '../../contract.ts'
import type { CapturedTable, Captures, SchemaChange } from '../../contract-capture.ts'
import { triggerNames } from './names.ts'

// A table that takes another shape under its triggers.

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

const text: ColumnType = { kind: 'text' }
const column = (name: string, type: ColumnType = text): ColumnDef => ({ name, type, nullable: true, personal: false })
const narrow: CapturedTable = {
  name: 'flight',
  remote: 'flight',
  columns: [{ ...column('id', { kind: 'int', bits: 32 }), nullable: false }, column('name')],
  key: ['id'],
}
const wide: CapturedTable = { ...narrow, columns: [...narrow.columns, column('gate')] }

beforeEach(async () => {
  await captures.remove(never)
  await client.query(
    `drop table if exists flight cascade; create table flight (id integer primary key, name varchar(5))`,
  )
})

test('what a writer writes while a column is taken up comes without it, and what is written then with it', async () => {
  const from = await captures.install([narrow], never)
  await client.query(`alter table flight add gate text default 'there'`)
  const writer = await database.connect()
  await writer.query(`begin; insert into flight values (1, 'old', 'A')`)
  const taken = untilTaken()
  await untilWaiting()
  await writer.query(`update flight set gate = 'B'; commit`)
  await taken
  await client.query(`insert into flight values (2, 'new', 'C')`)
  const { events } = await readFrom(captures, { tables: [wide], from })
  assert.deepEqual(
    events.map(({ op, row }) => [op, row[0], row[2]]),
    [
      ['insert', '1', undefined],
      ['update', '1', undefined],
      ['insert', '2', 'C'],
    ],
  )
})

const others = {
  'a column of another type': [`alter table flight alter name type varchar(20)`, /was character varying\(5\) and is/],
  'a column dropped and made anew': [`alter table flight drop name, add name varchar(5)`, /dropped and made anew/],
  'values that were written anew': [
    `insert into flight values (1, 'a'); alter table flight alter name type varchar(5) using upper(name), alter id type integer using id + 1`,
    /values of column "name" were written anew/,
  ],
} as const

test.each(Object.entries(others))(
  '%s is told before the changes behind it, in a session and between two',
  async (_, [what, says]) => {
    const from = await captures.install([narrow], never)
    const stream = await captures.open({ tables: [narrow], from, spillDir: '/' }, never)
    await stream.next()
    await client.query(what)
    await client.query(`insert into flight values (7, 'b')`)
    assert.match((await firstSchema(stream)).unseen ?? '', says)
    await stream.close()
    const followed = { ...narrow, isFollowed: true }
    await captures.install([followed], never)
    const again = await captures.open({ tables: [followed], from, spillDir: '/' }, never)
    const told = await again.next()
    assert.match('kind' in told ? (told.unseen ?? '') : '', says)
    await again.close()
    // Taken up where it is to be read again.
    await captures.install([narrow], never)
    await client.query(`insert into flight values (8, 'c')`)
    const { events } = await readFrom(captures, { tables: [followed], from })
    assert.deepEqual(events.map(({ row }) => row[1]).slice(-2), [undefined, 'c'])
  },
)

test('a column that is gone is told before the changes without it, and one with its name may have any type', async () => {
  const from = await captures.install([narrow], never)
  await client.query(`insert into flight values (1, 'a'); alter table flight drop name; insert into flight values (2)`)
  const stream = await captures.open({ tables: [narrow], from, spillDir: '/' }, never)
  const told = await stream.next()
  assert.deepEqual('kind' in told ? told.columns.map(({ name }) => name) : null, ['id'])
  await stream.close()
  const [id] = narrow.columns as [ColumnDef]
  await captures.install([{ ...narrow, columns: [id] }], never)
  await client.query(`alter table flight add name point; insert into flight values (3, '(1,2)')`)
  const { events } = await readFrom(captures, { tables: [{ ...narrow, columns: [id] }], from })
  assert.deepEqual(
    events.map(({ row }) => row[0]),
    ['1', '2', '3'],
  )
})

test('writers behind a long transaction do not wait for a column to be taken up', async () => {
  const from = await captures.install([narrow], never)
  await client.query(`alter table flight add gate text`)
  const long = await database.connect()
  await long.query(`begin; insert into flight values (1, 'a', 'A')`)
  const refused = assert.rejects(captures.install([wide], never), { code: 'SOURCE_READ', message: /lock timeout/ })
  await untilWaiting()
  await client.query(`set statement_timeout = '20s'`)
  await client.query(`insert into flight values (2, 'b', 'B'); set statement_timeout = 0`)
  await refused
  await long.query(`commit`)
  await captures.install([wide], never)
  await client.query(`insert into flight values (3, 'c', 'C')`)
  const { events } = await readFrom(captures, { tables: [wide], from })
  assert.deepEqual(events.map(({ row }) => [row[0], row[2]]).toSorted(), [
    ['1', undefined],
    ['2', undefined],
    ['3', 'C'],
  ])
})

test('a column that is left out and asked for again comes with its values all along', async () => {
  await client.query(`alter table flight add gate text`)
  const from = await captures.install([wide], never)
  await captures.install([narrow], never)
  await client.query(`insert into flight values (1, 'a', 'A')`)
  await captures.install([wide], never)
  await client.query(`insert into flight values (2, 'b', 'B')`)
  const { events } = await readFrom(captures, { tables: [wide], from })
  assert.deepEqual(
    events.map(({ row }) => row[2]),
    ['A', 'B'],
  )
})

test('triggers that are disabled for a while before a column is taken up are found', async () => {
  const from = await captures.install([narrow], never)
  await client.query(`alter table flight add gate text`)
  const other = await database.connect()
  await other.query(`begin; alter table flight disable trigger all; insert into flight values (1, 'lost')`)
  const taken = Promise.allSettled([captures.install([wide], never)])
  await untilWaiting()
  await other.query(
    Object.values(triggerNames)
      .map(name => `alter table flight enable always trigger "${name}";`)
      .join(' ') + ' commit',
  )
  await taken
  await assert.rejects(readFrom(captures, { tables: [wide], from }), /dropped, changed, or disabled/)
})

test('a table that is packed anew is the same one', async () => {
  const from = await captures.install([narrow], never)
  const followed = { ...narrow, isFollowed: true }
  await client.query(`insert into flight values (1, 'a')`)
  await client.query(`vacuum full flight`)
  await captures.install([followed], never)
  await client.query(`alter table flight alter name set not null, alter name set statistics 7`)
  const { events, schemas } = await readFrom(captures, { tables: [followed], from })
  assert.equal(events.length, 1)
  assert.deepEqual(schemas, [])
})

test('a column that became another one is told, also when another column is taken up meanwhile', async () => {
  const from = await captures.install([narrow], never)
  await client.query(`alter table flight drop name, add name varchar(5), add gate text`)
  const followed = { ...wide, isFollowed: true }
  await captures.install([followed], never)
  const { schemas } = await readFrom(captures, { tables: [followed], from })
  assert.match(schemas[0]?.unseen ?? '', /dropped and made anew/)
})

test('a key that the table does not have is refused, and no writer is', async () => {
  const from = await captures.install([narrow], never)
  await client.query(`alter table flight add gate text`)
  const keyed = { ...wide, key: ['id', 'code'] }
  const gone = { code: 'SOURCE_COLUMN_GONE', message: /"flight".* "code"/ }
  await assert.rejects(captures.install([keyed], never), gone)
  await client.query(`insert into flight values (1, 'a', 'A')`)
  const { events } = await readFrom(captures, { tables: [narrow], from })
  assert.equal(events.length, 1)
})

test('a table that changed between two sessions and is dropped then is told as gone', async () => {
  const from = await captures.install([narrow], never)
  await client.query(`alter table flight drop name, add name varchar(5)`)
  const tables = [{ ...narrow, isFollowed: true }]
  const stream = await captures.open({ tables, from, spillDir: '/' }, never)
  await client.query(`drop table flight`)
  assert.deepEqual((await firstSchema(stream)).columns, [])
  await stream.close()
})

test('values of a table with parts that were written anew are told, and a part that is packed anew is the same', async () => {
  await client.query(`
    drop table flight; create table flight (id integer primary key, name text) partition by range (id);
    create table flight_low partition of flight for values from (0) to (100)`)
  const followed = { ...narrow, isFollowed: true }
  const from = await captures.install([narrow], never)
  await client.query(`insert into flight values (1, 'a')`)
  await client.query(`vacuum full flight_low`)
  const same = await readFrom(captures, { tables: [followed], from })
  assert.deepEqual(same.schemas, [])
  await client.query(`alter table flight alter name type text using upper(name)`)
  const { schemas } = await readFrom(captures, { tables: [followed], from })
  assert.match(schemas[0]?.unseen ?? '', /written anew/)
})

test('a column that nobody asks for refuses no value in its new type', async () => {
  const from = await captures.install([narrow], never)
  const [id] = narrow.columns as [ColumnDef]
  const thin = { ...narrow, columns: [id] }
  await client.query(`alter table flight alter name type varchar(20)`)
  await captures.install([thin], never)
  await client.query(`insert into flight values (1, 'a longer name')`)
  const { events } = await readFrom(captures, { tables: [thin], from })
  assert.equal(events.length, 1)
})

test('keys that a session of a writer shows as one text are two keys', async () => {
  await client.query(`drop table flight; create table flight (id float8 primary key, name text)`)
  const floats = {
    ...narrow,
    columns: [{ ...column('id', { kind: 'float', bits: 64 }), nullable: false }, column('name')],
  }
  const from = await captures.install([floats], never)
  await client.query(`insert into flight values (1.00000001, 'a')`)
  await client.query(`set extra_float_digits = -15; update flight set id = 1.00000002; reset extra_float_digits`)
  const { events } = await readFrom(captures, { tables: [floats], from })
  assert.deepEqual(
    events.map(({ op }) => op),
    ['insert', 'delete', 'move'],
  )
})

test('a part that comes under a part of a table is found', async () => {
  await client.query(`
    drop table flight; create table flight (id integer primary key, name text) partition by range (id);
    create table flight_low partition of flight for values from (0) to (100) partition by range (id);
    create table flight_other (id integer primary key, name text); insert into flight_other values (7, 'x')`)
  const from = await captures.install([narrow], never)
  await client.query(`alter table flight_low attach partition flight_other for values from (0) to (50)`)
  await assert.rejects(readFrom(captures, { tables: [narrow], from }), /dropped, changed, or disabled/)
})

/** Until a session waits for a lock. */
async function untilWaiting(): Promise<void> {
  await expect
    .poll(async () => (await client.query(`select from pg_locks where not granted`)).rowCount, { timeout: 30_000 })
    .toBe(1)
}

/** Takes the column up, as often as it gives way to a writer. */
async function untilTaken(): Promise<void> {
  for (;;) {
    const [taken] = await Promise.allSettled([captures.install([wide], never)])
    if (taken.status === 'fulfilled') return
    if (!/lock timeout/.test(String(taken.reason))) throw taken.reason
  }
}

async function firstSchema(stream: { next(): Promise<object> }): Promise<SchemaChange> {
  for (;;) {
    const next = await stream.next()
    if ('kind' in next) return next as SchemaChange
  }
}
