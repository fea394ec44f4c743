import assert from 'node:assert/strict'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPostgres, startTestDatabase, type TestDatabase } from '../../../../testing/postgres/database.ts'
import { logicalSettings, logSystem } from '../../../../testing/postgres/log.ts'
import { rejectsWith } from '../../../../testing/suite/rejects.ts'
import { eventsOf, inTime, withCapture, type CaptureSystem } from '../../conformance-capture-support.ts'
import { int64, never, shapeOf, text } from '../../conformance-support.ts'
import type { CapturedTable, ChangeStream, SchemaChange } from '../../contract-capture.ts'

// Tables whose rows lie in others: partitions, each with an identity of its own, and tables that inherit.

let database: TestDatabase
let system: CaptureSystem
beforeAll(async () => {
  database = await startTestDatabase(logicalSettings)
  system = logSystem(database)
})
afterAll(() => database.stop())

const run = (statement: string): Promise<unknown> => database.client.query(statement)

const parts: CapturedTable = {
  name: 'part',
  ...shapeOf(
    'parts',
    [
      ['id', int64],
      ['code', int64],
      ['note', text],
    ],
    ['id'],
  ),
}
const partitioned = `drop table if exists parts, kids cascade;
  create table parts (id bigint not null, code bigint not null, note text, primary key (id)) partition by range (id);
  alter table parts alter column note set storage external;
  create table parts_1 partition of parts for values from (0) to (100); create unique index parts_code on parts_1 (code);`
const partedSystem = (more: string): CaptureSystem => ({
  ...system,
  createTable: () => run(partitioned + more).then(() => undefined),
})

/** The next word of a stream that a table must be read again. */
function unseenOf(open: ChangeStream): Promise<SchemaChange> {
  return inTime('a table that must be read again', async () => {
    for (;;) {
      const came = await open.next()
      if ('kind' in came && came.unseen !== undefined) return came
    }
  })
}

describe('a partition with another replica identity than its table', () => {
  test('a long value that did not change is not taken for NULL, though the table promises whole old rows', () =>
    withCapture(
      partedSystem('alter table parts replica identity full'),
      async ({ stream, catchUp }) => {
        await run(`insert into parts values (1, 1, repeat('x', 9000))`)
        await run('update parts set id = 2 where id = 1')
        const { slices } = await catchUp(await stream())
        const last = slices.flatMap(eventsOf).at(-1)
        assert.deepEqual([last?.op, last?.row[0], last?.row[2]], ['move', '2', undefined])
      },
      [parts],
    ))

  test('an old row that comes without its key: the table must be read again, and is refused until it can be told', () =>
    withCapture(
      partedSystem(''),
      async ({ captures, tables, stream, catchUp }) => {
        await run(`insert into parts values (1, 1, 'a'), (2, 2, 'b')`)
        const open = await stream()
        await catchUp(open)
        await run('alter table parts_1 replica identity using index parts_code; delete from parts where id = 1')
        const told = await unseenOf(open)
        expect([told.table, told.key, told.columns.map(it => it.name)]).toEqual([
          'part',
          ['id'],
          ['id', 'code', 'note'],
        ])
        await open.close()
        const problems = await captures.inspect(tables, never)
        expect(problems.filter(it => it.isFatal)).toEqual([
          expect.objectContaining({
            table: 'part',
            text: expect.stringContaining('the replica identity of its partition "public.parts_1" holds code'),
            fix: 'alter table "public"."parts_1" replica identity full;',
          }),
        ])
        await rejectsWith('CAPTURE_NOT_READY', captures.install(tables, never), 'parts_1')
        await run('alter table parts_1 replica identity full')
        await captures.install(tables, never)
      },
      [parts],
    ))
})

/** Tables of a stream with the statements that make them, and what befalls each. */
const plain = (name: string): string => `create table ${name} (id bigint primary key, code bigint, note text)`
const befalls: Readonly<Record<string, readonly [make: string, then: string, why: string]>> = {
  parts: [
    'select 1',
    'alter table parts_1 replica identity using index parts_code',
    'the replica identity of its partition "public.parts_1" holds code',
  ],
  parents: [
    plain('parents'),
    'create table kids (primary key (id)) inherits (parents)',
    '"public.kids" inherits from it',
  ],
  anew: [
    plain('anew'),
    'alter table anew drop column code, add column code bigint default 5',
    'column "code" was dropped and made anew',
  ],
  rewritten: [
    plain('rewritten'),
    'alter table rewritten alter column code type bigint using code * 10',
    'the values of column "code" were written anew',
  ],
  unlogged: [plain('unlogged'), 'alter table unlogged set unlogged', 'it is unlogged'],
}
const names = Object.keys(befalls)
const asked = names.map((name): CapturedTable => ({ ...parts, name, remote: name }))
const dropped = `drop table if exists kids, ${names.join(', ')} cascade; drop publication if exists parts_own`

test('what the log does not tell of a table while it is read: it is told, and the table must be read again', async () => {
  await run(`${dropped}; ${partitioned} ${names.map(name => befalls[name]?.[0]).join('; ')};
    create publication parts_own for all tables with (publish_via_partition_root = true)`)
  await withCapture(
    {
      ...system,
      createTable: () => Promise.resolve(),
      open: () => openPostgres(database.url, { slot: 'parts_own', publication: 'parts_own' }),
    },
    async ({ captures, tables, stream, catchUp }) => {
      const open = await stream()
      await catchUp(open)
      for (const name of names) await run(befalls[name]?.[1] as string)
      const told = new Map<string, string>()
      while (told.size < names.length) {
        const { table, unseen = '' } = await unseenOf(open)
        told.set(table, unseen)
      }
      for (const name of names) expect(told.get(name)).toContain(befalls[name]?.[2])
      await open.close()
      for (const name of ['parts', 'parents', 'unlogged'])
        await rejectsWith(
          'CAPTURE_NOT_READY',
          captures.install(
            tables.filter(it => it.name === name),
            never,
          ),
          name,
        )
    },
    asked,
  )
  await run(dropped)
})

test('a table with a deferrable key is refused: the server takes it for none, and would refuse the updates of its application', async () => {
  await run(`${dropped}; create table anew (id bigint primary key deferrable, code bigint, note text)`)
  const adapter = await system.open()
  const found = await adapter.captures!.log!.inspect(
    asked.filter(it => it.name === 'anew'),
    never,
  )
  expect(found.filter(it => it.isFatal)).toEqual([
    expect.objectContaining({ table: 'anew', text: expect.stringContaining('or a deferrable one') }),
  ])
  await adapter.close()
})

describe('a publication of the user', () => {
  test.each([
    [
      `create publication parts_own for table parts with (publish = 'insert, update', publish_via_partition_root = true)`,
      'leaves out changes: delete, truncate',
      `alter publication "parts_own" set (publish = 'insert, update, delete, truncate');`,
    ],
    [
      'create publication parts_own for all tables',
      'gives its changes as those of its partitions',
      'alter publication "parts_own" set (publish_via_partition_root = true);',
    ],
  ])('%s is refused, for it does not tell all', async (statement, text, fix) => {
    await run(`${partitioned} drop publication if exists parts_own; ${statement}`)
    const adapter = await openPostgres(database.url, { slot: 'parts_own', publication: 'parts_own' })
    const log = adapter.captures!.log!
    try {
      const fatal = (await log.inspect([parts], never)).filter(it => it.isFatal)
      expect(fatal).toEqual([expect.objectContaining({ text: expect.stringContaining(text), fix })])
      await rejectsWith('CAPTURE_NOT_READY', log.install([parts], never), text)
      await run(fix)
      await log.install([parts], never)
    } finally {
      await log.remove(never)
      await adapter.close()
      await run('drop publication parts_own')
    }
  })

  test('for all tables that tells changes as those of partitions from now on ends the stream by the name of the table', async () => {
    const spillDir = await system.spillDir()
    await run(`${partitioned} create publication parts_own for all tables with (publish_via_partition_root = true)`)
    const adapter = await openPostgres(database.url, { slot: 'parts_own', publication: 'parts_own' })
    const log = adapter.captures!.log!
    try {
      const open = await log.open({ tables: [parts], from: await log.install([parts], never), spillDir }, never)
      await open.next()
      await run('alter publication parts_own set (publish_via_partition_root = false); insert into parts values (1, 1)')
      const goesOn = async (): Promise<never> => {
        for (;;) await open.next()
      }
      await rejectsWith('STREAM_TABLE_LOST', goesOn(), 'gives its changes as those of its partitions now')
      await open.close()
    } finally {
      await log.remove(never)
      await adapter.close()
      await run('drop publication parts_own')
    }
  })
})
