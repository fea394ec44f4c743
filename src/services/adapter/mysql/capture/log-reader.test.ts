import assert from 'node:assert/strict'
import { describe, expect, test } from 'vitest'
import type { SchemaChange } from '../../contract-capture.ts'
import type { ChangeSlice } from '../../../../core/change-slice.ts'
import { isNaruError } from '../../../../core/errors.ts'
import { EVENT } from '../../../../systems/mysql/binlog/events.ts'
import { EventReader, type LogMessage } from '../../../../systems/mysql/binlog/event-reader.ts'
import { ProtocolError } from '../../../../systems/mysql/protocol.ts'
import { logSample } from '../../../../testing/mysql/log-sample.ts'
import { eventsOf } from '../../conformance-capture-support.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import type { CatalogColumn } from '../catalog.ts'
import type { Target } from '../target.ts'
import { statementOf } from './ddl.ts'
import { logError } from './errors.ts'
import { keepsValues } from './kept-values.ts'
import { LogReader } from './log-reader.ts'
import type { KnownTable } from './plan.ts'
import { comparePlaces, parsePosition, positionText } from './position.ts'
import { PreparedTransactions } from './prepared.ts'
import { SliceBuilder } from './slice-builder.ts'

const target = { source: 'shop', address: 'here', zeroDates: 'reject', rowBytesMax: 1_000_000, password: 'p' } as Target
const signal = new AbortController().signal
const names = ['id', ...'abcdefghijklmnopqrstuvwxy']
const asked: CapturedTable = {
  name: 'sample',
  remote: 'sample',
  key: ['id'],
  columns: names.map(name => ({ name, type: { kind: 'text' }, nullable: true, personal: false })),
}
/** What the log names itself is not asked of the catalog. */
const known: KnownTable = {
  asked,
  schema: 'shop',
  relation: 'sample',
  columns: [],
  key: [],
  isVersioned: false,
  nullDefaults: new Set(names),
  seenAt: null,
}

/** The events of the sample, each without the four bytes at the beginning of the file. */
function sampleEvents(): readonly Buffer[] {
  const events: Buffer[] = []
  for (let at = 4; at < logSample.length;) {
    const length = logSample.readUInt32LE(at + 9)
    events.push(logSample.subarray(at, at + length))
    at += length
  }
  return events
}

interface Read {
  readonly reader: LogReader
  readonly builder: SliceBuilder
  readonly slices: ChangeSlice[]
  readonly told: SchemaChange[]
}

function newReader(): Read {
  const builder = new SliceBuilder()
  const slices: ChangeSlice[] = []
  const told: SchemaChange[] = []
  const from = { file: 'log.000001', offset: 4, server: 5, born: 0, gtids: '', since: null }
  const reader = new LogReader({
    target,
    from,
    builder,
    prepared: new PreparedTransactions(),
    tables: {
      find: (schema, relation) => (schema === 'shop' && relation === 'sample' ? known : null),
      named: () => [known],
      lookAgain: async () => null,
    },
    charsets: {
      nameOf: id => (id === 63 ? 'binary' : id === 8 ? 'latin1' : 'utf8mb4'),
      translateOf: async name =>
        name === 'latin1' ? (bytes, at, length) => Buffer.from(bytes.toString('latin1', at, at + length)) : null,
    },
    flush: () => slices.push(builder.take(null, null)),
    tell: change => told.push(change),
    dumpFrom: () => Promise.reject(new ProtocolError('the server sends no log twice')),
  })
  return { reader, builder, slices, told }
}

async function read({ reader }: Read, messages: readonly LogMessage[]): Promise<void> {
  for (const message of messages) await reader.read(message, signal)
}

const event = (bytes: Buffer): LogMessage => ({ kind: 'event', bytes })

describe('the events of the log', () => {
  test('become changes in order, with the values of every type as the log says that they are', async () => {
    const all = sampleEvents()
    const made = newReader()
    // The end of a prepared transaction asks the server again.
    const upTo = all.findIndex(bytes => bytes[4] === EVENT.xaPrepare)
    await read(made, all.slice(0, upTo).map(event))
    const changes = eventsOf(made.builder.take('here', null))
    expect(changes.map(({ op, row }) => `${op} ${row[0]}`)).toEqual([
      'insert 1',
      'insert 2',
      'delete 1',
      'move 11',
      'delete 2',
      'move 12',
      'update 11',
      'update 12',
      'insert 5',
      'update 5',
      'delete 5',
      'delete 11',
    ])
    expect(changes[0]?.row).toEqual([
      '1',
      '255',
      '-5',
      '18446744073709551615',
      '-1234567.8901',
      '1.5',
      '2.5',
      '5',
      '2024',
      '2024-02-29',
      '12:34:56.789',
      '2024-02-29 12:34:56.789012',
      '2024-02-29 12:34:56.78+00',
      'ab',
      'n'.repeat(300),
      '???',
      'é',
      'b',
      'x,z',
      '{"a": 1}',
      '\\xdeadbeef',
      `\\x${'80'.repeat(400)}`,
      // Without the catalog these are the bytes that the log has.
      expect.anything(),
      expect.anything(),
      `-1.5${'0'.repeat(29)}`,
      expect.stringMatching(/^\\x0{8}01/),
    ])
    expect(changes[6]?.row.slice(0, 3)).toEqual(['11', '7', undefined])
  })

  test('are found however the socket cuts them', () => {
    const events = sampleEvents()
    const frames = events.map((bytes, i) => {
      const head = Buffer.from([0, 0, 0, i & 0xff, 0])
      head.writeUIntLE(bytes.length + 1, 0, 3)
      return Buffer.concat([head, bytes])
    })
    const stream = Buffer.concat(frames)
    for (const size of [1, 3, 7, 19, 100, 1000, stream.length]) {
      const reader = new EventReader(1_000_000, () => true)
      const found: Buffer[] = []
      for (let at = 0; at < stream.length; at += size) {
        reader.push(stream.subarray(at, at + size))
        for (let message = reader.take(); message !== null; message = reader.take()) {
          assert.ok(message.kind === 'event')
          found.push(Buffer.from(message.bytes))
        }
      }
      assert.deepEqual(found, [...events])
    }
  })

  test('that are changed in any place end with an error of ours, in little time and memory', async () => {
    const events = sampleEvents()
    let seed = 11
    const next = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
    let refused = 0
    for (let run = 0; run < 300; run++) {
      const place = next(events.length)
      const changed = Buffer.from(events[place] as Buffer)
      for (let i = next(4); i >= 0; i--) changed[next(changed.length)] = next(3) === 0 ? 0xff : next(256)
      const cut = next(5) === 0 ? changed.subarray(0, next(changed.length)) : changed
      // Most changes of a length are caught at once: those behind it are what is looked for.
      if (cut.length >= 13) cut.writeUInt32LE(cut.length, 9)
      const before = process.cpuUsage()
      try {
        const made = newReader()
        await read(
          made,
          events.map((bytes, i) => event(i === place ? cut : bytes)),
        )
        eventsOf(made.builder.take('here', null))
      } catch (error) {
        const ours = logError(error, target, 'here')
        assert.ok(isNaruError(ours) && ours.code !== 'INTERNAL', String(error))
        assert.ok(ours.code !== 'SOURCE_READ', String((error as Error).stack))
        refused++
      }
      const { user, system } = process.cpuUsage(before)
      assert.ok(user + system < 2_000_000, 'two seconds of the processor')
    }
    expect(refused).toBeGreaterThan(100)
  })

  test('over the limit are of one row, which is set aside by its key: one with several rows ends the stream by name', async () => {
    const events = sampleEvents()
    const kinds: readonly number[] = [EVENT.writeRows1, EVENT.updateRows1, EVENT.deleteRows1]
    const places = events.flatMap((bytes, i) => (kinds.includes(bytes[4] as number) ? [i] : []))
    expect(places.length).toBeGreaterThan(2)
    for (const place of places.slice(0, 3)) {
      const bytes = events[place] as Buffer
      const before = events.slice(0, place).map(event)
      // The end of a row lies in what is left of the event, and more comes behind it.
      const several: LogMessage = { kind: 'skipped', head: bytes, size: 3_000_000 }
      const error = await read(newReader(), [...before, several]).catch(it => logError(it, target, 'here'))
      expect(error).toMatchObject({ code: 'POSITION_LOST', message: expect.stringContaining('several rows') })
    }
    const first = places[0] as number
    const made = newReader()
    await read(made, events.slice(0, first).map(event))
    made.builder.take(null, null)
    await read(made, [{ kind: 'skipped', head: (events[first] as Buffer).subarray(0, 200), size: 3_000_000 }])
    expect(eventsOf(made.builder.take('here', null)).map(({ op, row }) => `${op} ${row[0]}`)).toEqual(['delete 1'])
  })

  test('a checksum that does not agree is an error', async () => {
    const made = newReader()
    const [format, ...rest] = sampleEvents() as [Buffer, ...Buffer[]]
    const checked = Buffer.from(format)
    checked[checked.length - 5] = 1
    await assert.rejects(read(made, [event(checked), ...rest.map(event)]), ProtocolError)
  })
})

describe('statements of the log', () => {
  const query = (text: string): { text: string; database: string } => ({ text, database: 'shop' })
  test.each([
    ['TRUNCATE TABLE `a``b`', { kind: 'truncate', schema: 'shop', table: 'a`b' }],
    ['/* why */ truncate other . t -- now', { kind: 'truncate', schema: 'other', table: 't' }],
    ['rollback to savepoint `a`', { kind: 'rollback to' }],
    ['ROLLBACK', { kind: 'rollback' }],
    ["XA COMMIT X'61',X'',1", { kind: 'xa', verb: 'commit' }],
    ['replace into t values (1)', { kind: 'rows', verb: 'replace' }],
    ['create view v as select 1', { kind: 'other' }],
    [`set statement max_statement_time = 9, sql_mode = 'for' for delete from t`, { kind: 'rows', verb: 'delete' }],
    ['analyze format=json update t set a = 1', { kind: 'rows', verb: 'update' }],
    ['/*M!100500 (select */ f())', { kind: 'rows', verb: 'select' }],
    ['create table t (a int) select 1', { kind: 'rows', verb: 'create … select' }],
    ['/*!50001 truncate table*/ `t`', { kind: 'truncate', schema: 'shop', table: 't' }],
    ['analyze table t', { kind: 'other' }],
  ])('%s', (text, expected) => {
    assert.deepEqual(statementOf(query(text)), expected)
  })

  test.each([
    ['create table if not exists t (a int)', { created: { schema: 'shop', table: 't', ifMissing: true } }],
    ['CREATE OR REPLACE TABLE `x`.`t` (a int)', { created: { schema: 'x', table: 't', ifMissing: false } }],
    [
      'drop table if exists a, `b` /* generated by server */',
      {
        dropped: [
          { schema: 'shop', table: 'a' },
          { schema: 'shop', table: 'b' },
        ],
      },
    ],
    ['alter online table t add column c int', { altered: { schema: 'shop', table: 't' }, unseen: null }],
    ['alter table t truncate partition p', { unseen: 'alter table t truncate partition p' }],
    ['alter table t drop column `partition x`', { unseen: null }],
    ['rename table a to b', { unseen: 'rename table a to b' }],
    ['alter table t rename to u', { unseen: 'alter table t rename to u' }],
    ['alter table t rename column a to b', { unseen: null }],
    ['rename tables a to b', { unseen: 'rename tables a to b' }],
    ['alter table t rename u, add column c int', { unseen: 'alter table t rename u, add column c int' }],
    [`create table t (\`select\` int comment 'select')`, { created: { schema: 'shop', table: 't', ifMissing: false } }],
    ['set statement lock_wait_timeout = 9 for alter table t add c int', { altered: { schema: 'shop', table: 't' } }],
  ])('%s', (text, expected) => {
    expect(statementOf(query(text))).toMatchObject({ kind: 'shape', ...expected })
  })
})

describe('columns whose values an ALTER TABLE may change', () => {
  const another = (name: string): object => ({ name, isAnother: true })
  const sameName = (name: string): object => ({ name, isAnother: false })
  test.each([
    ['drop column a, drop `b c`, add column d int', [another('a'), another('b c')]],
    ['drop primary key, drop index i, drop foreign key f, drop constraint c', []],
    ['rename column a to b, rename index i to j, rename key k to l', [another('a'), another('b')]],
    ['change column if exists a b int first, change c c int', [another('a'), another('b'), sameName('c')]],
    [`modify a varchar(9) default 'drop column b' comment 'it''s', alter column c drop default`, [sameName('a')]],
    ['convert to character set utf8mb4', [sameName('*')]],
  ])('%s', (parts, touched) => {
    expect(statementOf({ text: `alter table t ${parts}`, database: 'shop' })).toMatchObject({ touched })
  })

  const column = (nativeType: string, more: object = {}): CatalogColumn =>
    ({ nativeName: /^\w+/.exec(nativeType)?.[0], nativeType, nullable: true, charset: null, ...more }) as CatalogColumn
  const word = (nativeType: string, charset = 'utf8mb4'): CatalogColumn => column(nativeType, { charset })
  test.each([
    [column('int(11)'), column('bigint(20)'), true],
    [column('bigint(20)'), column('int(11)'), false],
    [column('int(10) unsigned'), column('int(11)'), false],
    [column('int(10) unsigned'), column('bigint(20)'), true],
    [column('int(11)'), column('int(11)', { nullable: false }), false],
    [word('varchar(9)'), word('varchar(10)'), true],
    [word('varchar(10)'), word('varchar(9)'), false],
    [word('varchar(9)', 'utf8mb3'), word('varchar(9)'), true],
    [word('varchar(9)'), word('varchar(9)', 'latin1'), false],
    [word('varchar(9)'), word('text'), true],
    [word('varchar(9)'), word('tinytext'), false],
    [word('longtext'), word('text'), false],
    [word('text'), column('blob'), false],
    [word(`enum('a','b')`), word(`enum('a','b','c')`), true],
    [word(`enum('a','b')`), word(`enum('b','a')`), false],
    [column('datetime(6)', { timeDigits: 6 }), column('datetime', { timeDigits: 0 }), false],
    [column('datetime', { timeDigits: 0 }), column('datetime(3)', { timeDigits: 3 }), true],
    [column('decimal(9,2)'), column('decimal(10,2)'), false],
    [column('int(11)'), column('longblob'), false],
    [word(`enum('a','b')`), column('blob'), false],
    [column('varbinary(9)'), column('blob'), true],
    [column('blob'), column('longblob'), true],
    [column('int(11)', { generated: true }), column('int(11)', { generated: true }), false],
  ])('%j to %j', (before, now, isKept) => {
    assert.equal(keepsValues(before, now), isKept)
  })
})

describe('positions', () => {
  test('are read back as they were written, and lie in the order of files and offsets', () => {
    const all = [
      'a.b-bin.000009:400 server 1 log 1700000000 gtid 0-1-5,2-1-9',
      'a.b-bin.000010:4 server 1 log 1700000000 gtid ',
      'a.b-bin.1000000:77 server 1 log 1700000000 gtid 0-1-5 since a.b-bin.000009:12',
    ].map(text => ({ text, position: parsePosition(text) }))
    for (const { text, position } of all) assert.equal(position === null ? null : positionText(position), text)
    for (let i = 1; i < all.length; i++) {
      assert.ok(comparePlaces(all[i - 1]?.position as never, all[i]?.position as never) < 0)
    }
    assert.equal(parsePosition('0/16B3748'), null)
  })
})
