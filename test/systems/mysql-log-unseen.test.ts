import assert from 'node:assert/strict'
import { describe, expect, onTestFinished, test } from 'vitest'
import { realEnv } from '../../src/core/env.ts'
import { isNaruError } from '../../src/core/errors.ts'
import { readOptions } from '../../src/core/implementation.ts'
import { Secret } from '../../src/core/secret.ts'
import { follow, refusal, type Followed } from '../../src/services/adapter/conformance-capture-support.ts'
import { never } from '../../src/services/adapter/conformance-support.ts'
import type { Captures } from '../../src/services/adapter/contract-capture.ts'
import { mysql } from '../../src/services/adapter/mysql/index.ts'
import { openAdapter } from '../../src/services/adapter/mysql/open.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { startWatching } from '../support/cutting.ts'
import { asked, brief, logBench, type LogUse } from '../support/mariadb-log.ts'

// What a reader of the log could take for something else, or not see at all: each is exact, or an error with a name. The log
// of this server is encrypted, its files are as small as they may be, it tells no case of names apart, and it leaves a
// database out.

const bench = logBench(
  { 'max-binlog-size': '4096', 'lower-case-table-names': '1', 'binlog-ignore-db': 'elsewhere' },
  { isEncrypted: true },
)

const int = { kind: 'int', bits: 32 } as const
const text = { kind: 'text' } as const
let made = 0

/** A new table and a reader of it; `T` in statements is its name. */
async function table(
  columns = '(id int primary key, a int, v text)',
  shape: Parameters<typeof asked>[1] = { id: int, a: int, v: text },
  key: readonly string[] = ['id'],
  options: Readonly<Record<string, unknown>> = {},
): Promise<LogUse & { readonly name: string; does(...statements: readonly string[]): Promise<void> }> {
  made += 1
  const name = `table_${made}`
  const does = (...statements: readonly string[]): Promise<void> =>
    bench.inSession(...statements.map(it => it.replaceAll(/\bT\b/g, name).replaceAll('T_', `${name}_`)))
  await does(`create table T ${columns}`)
  return { ...(await bench.reader([asked(name, shape, key)], options)), name, does }
}

const unseen = ({ schemas }: Followed): readonly (string | undefined)[] => schemas.map(it => it.unseen)

describe('rows that a session wrote as a statement', () => {
  const makesFunction =
    'create function T_f() returns int deterministic begin insert into T values (1, 1, 1); return 1; end'
  test.each([
    ['an insert', [`insert into T values (1, 1, 'a')`], 'insert'],
    [
      'behind settings of its own',
      [`set statement max_statement_time = 9 for insert into T values (1, 1, 'a')`],
      'insert',
    ],
    ['that is analyzed', [`analyze format = json insert into T values (1, 1, 'a')`], 'insert'],
    ['in a block', [`begin not atomic insert into T values (1, 1, 'a'); end`], 'insert'],
    ['of a query that calls a function', ['select T_f()'], 'select'],
    ['of a new table that a query fills', ['drop table T', 'create table T select 1 as id, 1 as a'], 'create … select'],
  ])('%s: the stream stops and names it', async (_, statements, verb) => {
    const it = await table()
    await it.does(makesFunction, `set binlog_format = 'STATEMENT'`, ...statements)
    const error = await refusal(it.changes())
    assert.ok(isNaruError(error, 'POSITION_LOST'), String(error))
    expect(error.message).toContain(`wrote rows as a statement (${verb})`)
  })

  test('a new table that a query fills comes with its rows where rows are logged', async () => {
    const it = await table()
    await it.does('drop table T', `create table T (id int primary key) select 1 as id, 2 as a, 'x' as v`)
    expect(brief(await it.changes())).toEqual([
      ['truncate', null, null, null],
      ['insert', '1', '2', 'x'],
    ])
  })
})

describe('a table that changed while nobody read', () => {
  test('has its rows from before under the names that they had', async () => {
    const it = await table()
    await it.does(
      `insert into T values (1, 10, 'x')`,
      'alter table T add column b int first, add column c int after id',
      `insert into T (id, a, v, b, c) values (2, 20, 'y', 7, 8)`,
      'alter table T modify v text first',
      `insert into T (id, a, v, b, c) values (3, 30, 'z', 7, 8)`,
      'alter table T drop column b',
      `update T set a = 21 where id = 2`,
    )
    expect(brief(await it.changes())).toEqual([
      ['insert', '1', '10', 'x'],
      ['insert', '2', '20', 'y'],
      ['insert', '3', '30', 'z'],
      ['update', '2', '21', 'y'],
    ])
  })

  test('without a key, its rows go and come as they were', async () => {
    const it = await table('(a int, b int)', { a: int, b: int }, [])
    await it.does(
      'insert into T values (1, 10)',
      'alter table T add column c int first',
      'insert into T values (7, 2, 20)',
      'alter table T modify b int first',
      'update T set b = 11 where a = 1',
      'delete from T where a = 2',
    )
    expect(brief(await it.changes())).toEqual([
      ['insert', '1', '10'],
      ['insert', '2', '20'],
      ['delete', '1', '10'],
      ['move', '1', '11'],
      ['delete', '2', '20'],
    ])
  })

  const numbers: Parameters<typeof table> = ['(id int primary key, a int, b int)', { id: int, a: int, b: int }]
  const words: Parameters<typeof table> = ['(id int primary key, v varchar(20))', { id: int, v: text }]
  const moment: Parameters<typeof table> = [
    '(id int primary key, d datetime(6))',
    { id: int, d: { kind: 'timestamp', zoned: false } },
  ]
  const computed: Parameters<typeof table> = [
    '(id int primary key, w varchar(9), v text as (w) virtual)',
    { id: int, v: text },
  ]
  test.each([
    ['two columns took the name of each other', numbers, ['alter table T rename column a to b, rename column b to a']],
    ['the same in the older words', numbers, ['alter table T change a b int, change b a int']],
    ['a column was dropped and made anew', numbers, ['alter table T drop column a', 'alter table T add column a int']],
    ['a text became shorter', words, [`set sql_mode = ''`, 'alter table T modify v varchar(2)']],
    ['NULL became a value', words, [`set sql_mode = ''`, 'alter table T modify v varchar(20) not null']],
    ['letters went with a charset', words, [`set sql_mode = ''`, 'alter table T convert to character set latin1']],
    ['a time lost its fractions', moment, ['alter table T modify d datetime']],
    ['another table took its name', numbers, ['create table T_n like T', 'rename tables T to T_o, T_n to T']],
    [
      'a partition went',
      numbers,
      [
        'alter table T partition by range (id) (partition p values less than (10))',
        'alter table T truncate partition p',
      ],
    ],
    ['rows went with a unique index', numbers, ['alter ignore table T add unique (b)']],
    [
      'a table became a partition',
      numbers,
      [
        'alter table T partition by range (id) (partition p values less than (10))',
        'create table T_n (id int primary key, a int, b int)',
        'alter table T convert table T_n to partition q values less than (20)',
      ],
    ],
    [
      'behind a name that holds the mark of a text',
      numbers,
      [`alter table T add column \`it's\` int, drop column a, add column a int comment 'a'`],
    ],
    [
      'behind a text that ends with a backslash',
      numbers,
      [
        `set sql_mode = 'NO_BACKSLASH_ESCAPES'`,
        String.raw`alter table T add column c int comment '\', drop column a, add column a int comment 'a'`,
      ],
    ],
    ['what a column is computed of', computed, [`set sql_mode = ''`, 'alter table T modify w varchar(2)']],
  ] as const)('is told that its rows may be others: %s', async (_, shape, statements) => {
    const it = await table(...shape)
    await it.does('insert into T (id) values (1)', ...statements)
    expect(unseen(await it.changes())).toContainEqual(expect.stringMatching(/^(alter|rename)/))
  })

  test('while it is followed, what surely keeps every value is not', async () => {
    const it = await table(...words)
    const stream = await it.open()
    const after = async (statement: string): Promise<readonly (string | undefined)[]> => {
      await it.does(statement)
      return unseen(await follow(it.log, stream, await it.log.head(never)))
    }
    for (const statement of [
      'alter table T modify v varchar(40)',
      'alter table T modify v text first',
      'alter table T modify id bigint',
      `alter table T modify v mediumtext comment 'drop column v'`,
      'alter table T add index (v(9)), alter column v set default null',
    ]) {
      expect(await after(statement)).toEqual([undefined])
    }
    expect(await after('alter table T modify v varchar(9)')).toEqual([expect.stringContaining('modify v varchar(9)')])
    await stream.close()
  })

  test('a statement about another table whose name begins like it is none about it', async () => {
    const it = await table()
    await it.does(
      'create table T_log (id int primary key)',
      'rename table T_log to T_old',
      `insert into T values (1, 1, '')`,
    )
    const { schemas, events } = await it.changes()
    expect([schemas.length, events.length]).toEqual([0, 1])
  })

  test.each([
    ['set statement lock_wait_timeout = 9 for truncate table T'],
    ['/*!50001 truncate */ /* why */ T'],
    ['create or replace table T (id int primary key, a int, v text)'],
  ])('is empty behind %s', async statement => {
    const it = await table()
    await it.does(`insert into T values (1, 1, '')`, statement, `insert into T values (2, 2, '')`)
    expect((await it.changes()).events.map(({ op }) => op)).toEqual(['insert', 'truncate', 'insert'])
  })

  test('is empty behind a statement that spells it otherwise, where names have no case', async () => {
    const it = await table()
    await it.does(`insert into T values (1, 1, '')`, `truncate SHOP.${it.name.toUpperCase()}`)
    expect((await it.changes()).events.map(({ op }) => op)).toEqual(['insert', 'truncate'])
  })

  test.each([
    ['a statement', ['alter table T add system versioning', 'alter table T drop system versioning']],
    [
      'another table under its name',
      ['create table T_n (id int primary key) with system versioning', 'create or replace table T like T_n'],
    ],
  ])(
    'stops the stream once it keeps its own history, by %s: old versions would come as rows',
    async (_, statements) => {
      const it = await table()
      await it.does(`insert into T values (1, 1, '')`, ...statements, 'delete from T')
      const error = await refusal(it.changes())
      assert.ok(isNaruError(error, 'POSITION_LOST'), String(error))
      expect(error.message).toContain('SYSTEM VERSIONED')
    },
  )

  test('lost a column behind settings of the statement', async () => {
    const it = await table()
    await it.does('set statement lock_wait_timeout = 9 for alter table T drop column v')
    expect((await it.changes()).schemas.map(({ columns }) => columns.map(({ name }) => name))).toEqual([['id', 'a']])
  })
})

test('rows that come without the names of their columns are refused: they would come by their places', async () => {
  const it = await table()
  await it.does(`set global binlog_row_metadata = 'NO_LOG'`, `insert into T values (1, 10, 'x')`)
  try {
    const error = await refusal(it.changes())
    assert.ok(isNaruError(error, 'POSITION_LOST'), String(error))
    expect(error.message).toMatch(/without the names of their columns.*binlog_row_metadata = FULL/)
    const [problem] = await it.log.inspect([], never)
    expect(problem).toMatchObject({ isFatal: true, fix: expect.stringContaining(`binlog_row_metadata = 'FULL'`) })
    await rejectsWith('CAPTURE_NOT_READY', it.log.install([], never))
  } finally {
    await it.does(`set global binlog_row_metadata = 'FULL'`)
  }
})

describe('what the log does not have is told before', () => {
  test('rows that a foreign key changes, and statements from a database that is left out', async () => {
    const it = await table()
    await it.does(
      'create table T_p (id int primary key)',
      'alter table T add foreign key (a) references T_p (id) on delete set null',
    )
    const problems = await it.log.inspect([asked(it.name, { id: int }, ['id'])], never)
    expect(problems.map(({ text, isFatal }) => [isFatal, text])).toEqual([
      [false, expect.stringMatching(/leaves databases out of its log: a TRUNCATE/)],
      [false, expect.stringMatching(/foreign keys of .* is not in the log/)],
    ])
  })

  test('all that a replica takes from its own source and does not log: it is refused, also behind a position', async () => {
    const it = await table()
    await it.does(
      `change master 'up' to master_host = '127.0.0.1', master_port = 1, master_user = 'nobody'`,
      `start slave 'up' sql_thread`,
    )
    try {
      const error = await refusal(it.changes())
      assert.ok(isNaruError(error, 'CAPTURE_NOT_READY'), String(error))
      expect(error.message).toContain('log_slave_updates is off')
      await rejectsWith('CAPTURE_NOT_READY', it.log.install([], never))
    } finally {
      await it.does(`stop slave 'up'`, `reset slave 'up' all`)
    }
  })
})

describe('the files of the log', () => {
  test('a new one that has no changes yet is read to its end, and gone on from', async () => {
    const it = await table()
    await it.does(`insert into T values (1, 1, '')`, 'flush binary logs')
    expect(brief(await it.changes()).length).toBe(1)
    expect(brief(await it.changes())).toEqual([])
    await it.does('flush binary logs', `insert into T values (2, 2, '')`)
    expect(brief(await it.changes()).length).toBe(1)
    await it.does('flush binary logs')
    await bench.server.restart()
    await it.does(`insert into T values (3, 3, '')`)
    expect(brief(await it.changes())).toEqual([['insert', '3', '3', '']])
  })

  test('a transaction many times their size comes whole, and what it took back does not', async () => {
    const it = await table()
    await it.does(
      'begin',
      `insert into T select seq, seq, repeat('x', 100) from seq_1_to_300`,
      'savepoint s',
      'delete from T',
      'rollback to s',
      'update T set a = a + 1',
      'commit',
    )
    const { events, slices } = await it.changes()
    expect(events.length).toBe(600)
    expect(slices.reduce((sum, { transactions }) => sum + transactions.ids.length, 0)).toBe(1)
  })

  test('transactions of several domains and servers come in the order of the log, also by a reader that begins among them', async () => {
    const it = await table()
    for (const [i, [domain, server]] of [
      [7, 3],
      [2, 9],
      [0, 3],
      [7, 11],
      [2, 3],
    ].entries()) {
      await it.does(
        `set gtid_domain_id = ${domain}, server_id = ${server}`,
        `insert into T values (${i}, ${domain}, '')`,
      )
      if (i % 2 === 1) expect((await it.changes()).events.length).toBe(2)
    }
    expect(brief(await it.changes())).toEqual([['insert', '4', '2', '']])
  })

  test('what a transaction took back though it stands in the log stops the stream', async () => {
    const it = await table()
    await it.does(
      'create table T_m (id int primary key) engine = MyISAM',
      'begin',
      `insert into T values (1, 1, '')`,
      'savepoint s',
      `insert into T values (2, 2, '')`,
      'insert into T_m values (1)',
      'rollback to s',
      'commit',
    )
    const error = await refusal(it.changes())
    expect(String(error)).toMatch(/took back a part of its rows that stands in the log/)
  })
})

describe('a change that cannot be taken leaves no older version behind', () => {
  test('a value that no type holds', async () => {
    const shape = { id: int, d: { kind: 'date' } } as const
    const it = await table('(id int primary key, d date)', shape)
    await it.does(
      `insert into T values (1, '2024-01-01'), (2, '2024-01-02')`,
      `set sql_mode = ''`,
      `update T set d = '0000-00-00' where id = 1`,
      `insert into T values (3, '2024-00-01'), (4, '2024-01-04')`,
    )
    const { events, rejects } = await it.changes()
    expect(events.map(({ op, row }) => [op, ...row])).toEqual([
      ['insert', '1', '2024-01-01'],
      ['insert', '2', '2024-01-02'],
      ['delete', '1', null],
      ['delete', '3', null],
      ['insert', '4', '2024-01-04'],
    ])
    expect(rejects.map(({ reject }) => reject.key)).toEqual([{ id: '1' }, { id: '3' }])
  })

  const limit = { maxValueBytes: 1024 * 1024 }
  const large = (letter: string, bytes: number): string => `repeat('${letter}', ${bytes})`
  const sizes = ({ events }: Followed): readonly unknown[] => events.map(({ op, row }) => [op, row[0], row[1]?.length])

  test.each([
    ['', []],
    [', also packed', ['set global log_bin_compress = on']],
  ])('a row over the limit, however far over it%s', async (_, settings) => {
    await bench.inSession(...settings)
    const it = await table('(id int primary key, v longtext)', { id: int, v: text }, ['id'], limit)
    await it.does(
      `insert into T values (1, 'x'), (2, 'y'), (3, 'z')`,
      `update T set v = ${large('l', 1_500_000)} where id = 1`,
      `update T set v = ${large('l', 4_000_000)} where id = 2`,
      `update T set v = 'again' where id = 1`,
      `delete from T where id = 2`,
      `insert into T values (4, ${large('l', 5_000_000)}), (5, ${large('f', 1_000_000)})`,
    )
    await bench.inSession('set global log_bin_compress = off')
    const followed = await it.changes()
    expect(sizes(followed)).toEqual([
      ['insert', '1', 1],
      ['insert', '2', 1],
      ['insert', '3', 1],
      ['delete', '1', undefined],
      ['delete', '2', undefined],
      ['update', '1', 5],
      ['delete', '2', undefined],
      ['delete', '4', undefined],
      ['insert', '5', 1_000_000],
    ])
    expect(followed.rejects.map(({ reject }) => [reject.reason, reject.key])).toEqual([
      ['VALUE_TOO_LARGE', { id: '1' }],
      ['VALUE_TOO_LARGE', { id: '2' }],
      ['VALUE_TOO_LARGE', { id: '2' }],
      ['VALUE_TOO_LARGE', { id: '4' }],
    ])
  })

  test('without a key, each row over the limit is told when it comes and when it goes, and no value is cut', async () => {
    const it = await table('(a int, v longtext)', { a: int, v: text }, [], limit)
    await it.does(
      `insert into T values (1, 'x')`,
      `insert into T values (2, ${large('l', 1_500_000)})`,
      `update T set v = 'y' where a = 2`,
      `update T set v = ${large('l', 3_000_000)} where a = 1`,
      `delete from T where a = 1`,
    )
    const followed = await it.changes()
    expect(followed.events.map(({ op, row }) => [op, row[0], row[1]?.length])).toEqual([
      ['insert', '1', 1],
      ['move', '2', 1],
    ])
    expect(followed.rejects.map(({ reject }) => [reject.reason, reject.key])).toEqual(
      Array.from({ length: 4 }, () => ['VALUE_TOO_LARGE', null]),
    )
  })
})

test('a connection that is half open ends with an error, and one without changes does not', async () => {
  const it = await table()
  const line = await startWatching(bench.server.port)
  const real = realEnv()
  // 30 s of silence are 5 here; the server gives a sign of life every 2.
  const after: typeof real.clock.after = (ms, then) => real.clock.after(ms === 30_000 ? 5_000 : ms, then)
  const given = { url: { kind: 'secret', from: 'env', name: 'SHOP_URL' } }
  const adapter = await openAdapter({
    source: 'shop',
    options: readOptions(mysql.options, given, 'source "shop"'),
    secret: () => new Secret(bench.server.url().replace(String(bench.server.port), String(line.port))),
    configDir: bench.folder,
    stateDir: bench.folder,
    env: { ...real, clock: { ...real.clock, after } },
  })
  onTestFinished(async () => {
    await adapter.close()
    await line.stop()
  })
  const tables = [asked(it.name, { id: int }, ['id'])]
  const log = adapter.captures?.log as Captures
  const stream = await log.open({ tables, from: it.from, spillDir: bench.folder }, never)
  for (let signs = 0; signs < 3; signs++) await stream.next()
  line.hush()
  const error = await refusal(
    (async () => {
      for (;;) await stream.next()
    })(),
  )
  assert.ok(isNaruError(error, 'SOURCE_UNREACHABLE'), String(error))
  expect(error.message).toMatch(/sent nothing/)
})
