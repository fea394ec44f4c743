import assert from 'node:assert/strict'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import type { ColumnType } from '../../../core/types.ts'
import { goodsProcedures } from '../../../testing/postgres/procedures.ts'
import { openPostgres, startTestDatabase, type TestDatabase } from '../../../testing/postgres/database.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import { batchOf, type TestValue } from '../../../testing/suite/batches.ts'
import { never, shapeOf } from '../conformance-support.ts'
import { writesPromises } from '../conformance-writes.ts'
import type { TableShape } from '../contract.ts'
import type { TableWriter, WriteMode, Written, WritesTables } from '../contract-writes.ts'

const int32: ColumnType = { kind: 'int', bits: 32 }
const int64: ColumnType = { kind: 'int', bits: 64 }
const text: ColumnType = { kind: 'text' }

let database: TestDatabase
const ending: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  database = await startTestDatabase()
})
afterAll(() => database.stop())
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

describe('what every adapter that writes keeps', () => {
  for (const promise of writesPromises) {
    test(promise.name, () =>
      promise.check({
        open: () => openPostgres(database.url),
        execute: async statement => {
          await database.client.query(statement)
        },
        procedures: goodsProcedures,
      }),
    )
  }
})

describe('call', () => {
  const pair = shapeOf(
    'pair',
    [
      ['id', int64],
      ['name', text],
    ],
    [],
  )

  test('a function is called as well, its names looked up where the account looks them up', async () => {
    await sql(`create table seen (id bigint, name text);
      create function see(bigint, text default 'none') returns setof text language plpgsql as
      $$ begin insert into seen values ($1, $2); return query select 'one' union all select 'two'; end $$`)
    const written = await write('call', { ...pair, remote: 'see' }, [
      [1, 'a'],
      [2, null],
    ])
    assert.equal(written.called, 2n)
    const [id] = pair.columns
    await write('call', { remote: 'see', key: [], columns: [id as (typeof pair.columns)[number]] }, [[3]])
    assert.deepEqual(await sql('select * from seen order by id'), [
      ['1', 'a'],
      ['2', null],
      ['3', 'none'],
    ])
    await sql('drop function see; drop table seen')
  })

  test('what takes no NULL, or a narrower type, refuses the row when it is staged', async () => {
    await sql(`create function strictly(int, text) returns void strict language sql as 'select'`)
    const calling = await writer('call', { ...pair, remote: 'strictly' })
    await rejectsWith('WRITE_VALUE', calling.stage('a', batches(pair, [[1, null]]), never), 'NULL')
    await rejectsWith('WRITE_VALUE', calling.stage('a', batches(pair, [[2n ** 40n, 'a']]), never), 'integer')
    await calling.discard(never)
    await sql('drop function strictly')
  })

  test('what cannot be told apart, gives back, or may not be called is refused with what there is', async () => {
    const of = (remote: string): Promise<TableWriter> => writer('call', { ...pair, remote })
    await sql(`create function twice(bigint, text) returns void language sql as 'select';
      create function twice(bigint, varchar) returns void language sql as 'select';
      create procedure back(inout bigint, text) language sql as 'select 1::bigint';
      create procedure "odd.name"(bigint, text) language sql as 'select';
      create role caller login password 'caller'; grant create on schema public to caller;
      revoke execute on procedure "odd.name" from public`)
    await rejectsWith('WRITE_TARGET', of('twice'), 'twice(bigint,character varying)')
    await rejectsWith('WRITE_TARGET', of('back'), 'gives values back')
    const url = database.url.replace(/\/\/[^@]*@/, '//caller:caller@')
    await rejectsWith('SOURCE_DENIED', writer('call', { ...pair, remote: 'odd.name' }, 'own', url), 'EXECUTE')
    await sql(`drop function twice(bigint, text); drop function twice(bigint, varchar); drop procedure back;
      drop procedure "odd.name"; revoke create on schema public from caller; drop role caller`)
  })

  test('a trigger of the target finds the tables that it names without their schema', async () => {
    await sql(`create table audited (id bigint, name text); create table audit (id bigint);
      create function note() returns trigger language plpgsql as $$ begin insert into audit values (new.id); return new; end $$;
      create trigger noted after insert on audited for each row execute function note()`)
    await write('insert', { ...pair, remote: 'audited' }, [[7, 'a']])
    assert.deepEqual(await sql('select * from audit'), [['7']])
    await sql('drop table audited, audit; drop function note')
  })
})

describe('replace', () => {
  const parents = shapeOf(
    'parents',
    [
      ['id', int32],
      ['name', text],
    ],
    ['id'],
  )

  test('the table keeps its identity: rights, views, indexes and triggers', async () => {
    await sql(`create table kept (id int primary key, name text); create index kept_name on kept (name);
      create view over_kept as select name from kept; create role kept_reader; grant select on kept to kept_reader;
      insert into kept values (1, 'old')`)
    const before = await sql(`select oid, relacl::text from pg_class where relname = 'kept'`)
    await write('replace', { ...parents, remote: 'kept' }, [[1, 'new']])
    assert.deepEqual(await sql(`select oid, relacl::text from pg_class where relname = 'kept'`), before)
    assert.deepEqual(await sql('select * from over_kept'), [['new']])
    await sql('drop table kept cascade; drop role kept_reader')
  })

  test('rows that other tables refer to stay in place: nothing cascades, and what goes is refused', async () => {
    await sql(`create table parents (id int primary key, name text, note text default 'none');
      create table children (parent int references parents on delete cascade);
      insert into parents values (1, 'a', 'mine'), (2, 'b', 'mine'), (3, 'c', 'mine'); insert into children values (1), (2)`)
    const written = await write('replace', parents, [
      [1, 'a'],
      [2, 'new'],
      [4, 'd'],
    ])
    assert.deepEqual([written.deleted, written.inserted], [3n, 3n])
    assert.deepEqual(await sql('select id, name, note from parents order by id'), [
      ['1', 'a', 'none'],
      ['2', 'new', 'none'],
      ['4', 'd', 'none'],
    ])
    assert.deepEqual(await sql('select parent from children order by 1'), [['1'], ['2']])
    await sql(`alter table parents drop constraint parents_pkey cascade`)
    await sql(`create unique index on parents (name); alter table children add name text references parents (name)`)
    await rejectsWith('WRITE_TARGET', writer('replace', parents), 'other tables refer')
    await sql('drop table children, parents')
  })

  test('values that swap between rows of a unique column are no conflict', async () => {
    await sql(
      `create table swapped (id int primary key, name text unique); insert into swapped values (1, 'a'), (2, 'b')`,
    )
    await write('replace', { ...parents, remote: 'swapped' }, [
      [1, 'b'],
      [2, 'a'],
    ])
    assert.deepEqual(await sql('select name from swapped order by id'), [['b'], ['a']])
    await sql('drop table swapped')
  })
})

describe('columns that the database fills', () => {
  test('an identity takes the value that is written, and the next row of another program gets a free number', async () => {
    await sql(`create table counted (id bigint generated always as identity primary key, serial_no serial, name text)`)
    const shape = shapeOf(
      'counted',
      [
        ['id', int64],
        ['name', text],
      ],
      ['id'],
    )
    await write('insert', shape, [
      [5n, 'a'],
      [9n, 'b'],
    ])
    await sql(`insert into counted (name) values ('c')`)
    assert.deepEqual(await sql('select id, serial_no from counted order by id'), [
      ['5', '1'],
      ['9', '2'],
      ['10', '3'],
    ])
    await sql('drop table counted')
  })

  test('a computed column, and one that must have a value, are refused before a row is sent', async () => {
    await sql(
      `create table computed (id int primary key, twice int generated always as (id * 2) stored, must text not null)`,
    )
    const twice = shapeOf(
      'computed',
      [
        ['id', int32],
        ['twice', int32],
      ],
      ['id'],
    )
    await rejectsWith('WRITE_TARGET', writer('insert', twice), 'computed by the database')
    const id = { ...twice, columns: twice.columns.slice(0, 1) }
    await rejectsWith('WRITE_TARGET', writer('insert', id), '"must" must have a value')
    await sql('drop table computed')
  })

  test('views, and tables that the account may not write', async () => {
    await sql(`create table plain (id int primary key); create view looks as select * from plain;
      create role looker login password 'secret'; grant select on plain to looker; grant create on schema public to looker`)
    const shape = shapeOf('plain', [['id', int32]], ['id'])
    await rejectsWith('WRITE_TARGET', writer('insert', { ...shape, remote: 'looks' }), 'a view')
    const url = database.urlWith({ user: 'looker', password: 'secret' })
    await rejectsWith('SOURCE_DENIED', writer('insert', shape, 'x', url), 'INSERT')
    await rejectsWith('SOURCE_DENIED', writer('replace', shape, 'x', url), 'DELETE')
    await sql('drop table plain cascade; drop owned by looker; drop role looker')
  })
})

describe('values and the columns that take them', () => {
  /** The type of the target, the type of the value, values that arrive as they are, and values that are refused. */
  const cases: readonly (readonly [string, ColumnType, readonly TestValue[], readonly TestValue[]])[] = [
    ['smallint', int64, [32_767n, -32_768n], [32_768n]],
    ['varchar(3)', text, ['', 'abc', '한국어'], ['abcd', 'abc ']],
    ['char(3)', text, ['', 'abc'], ['abcd', 'a ']],
    [
      'numeric(5,2)',
      { kind: 'decimal', precision: 10, scale: 4 },
      [1_230_000n, -9_999_900n],
      [1_230_001n, 99_999_900n],
    ],
    ['integer', { kind: 'decimal', precision: 12, scale: 2 }, [500n], [501n, 999_999_999_900n]],
    ['real', { kind: 'float', bits: 64 }, [0.5, Infinity, Number.NaN], [0.1, 1e300]],
    ['double precision', int64, [2n ** 53n], [2n ** 53n + 1n, 2n ** 63n - 1n]],
    ['timestamp(3)', { kind: 'timestamp', zoned: false }, [1_000n], [1_001n]],
    [
      'jsonb',
      { kind: 'json' },
      ['{"a": [1.00, ":"]}', '"\\u00e9"'],
      ['{"a": 1, "a": 2}', '{"b": {"c": 1, "c": 1}}', '"\\u0000"'],
    ],
    ['public.feeling', text, ['sad'], ['angry', '']],
    ['public.small', int64, [9n], [10n]],
    ['int[]', text, ['{1,2}'], ['{1, 2}', 'x']],
    ['inet', text, ['10.0.0.0/8'], ['10.0.0.0/08', '10.0.0.256']],
    ['uuid', text, ['01234567-89ab-cdef-0123-456789abcdef'], ['01234567-89AB-cdef-0123-456789abcdef']],
    ['numeric', { kind: 'decimal', precision: 38, scale: 38 }, [1n], []],
    ['bigint not null', int64, [1n], [null]],
  ]

  for (const [native, type, good, bad] of cases) {
    test(`${native} takes what it holds and refuses the rest by row and column`, async () => {
      await sql(`drop table if exists taken; drop type if exists feeling; drop domain if exists small;
        create type feeling as enum ('sad', 'glad'); create domain small as int check (value < 10);
        create table taken (id int primary key, v ${native})`)
      const shape = shapeOf(
        'taken',
        [
          ['id', int32],
          ['v', type],
        ],
        ['id'],
      )
      await write(
        'insert',
        shape,
        good.map((value, i) => [i, value]),
      )
      for (const value of bad) {
        const one = await writer('upsert', shape)
        const rows = [...Array.from({ length: 20 }, (_, i) => [i + 100, good[0] ?? null]), [777, value]]
        const problem = one.stage('a', batches(shape, rows as Rows), never)
        await rejectsWith('WRITE_VALUE', problem, native.includes('not null') ? 'NULL' : 'id = 777')
        await one.discard(never)
      }
      assert.equal((await sql('select count(*) from taken'))[0]?.[0], String(good.length))
    })
  }

  const never2: readonly (readonly [string, ColumnType])[] = [
    ['timestamptz', { kind: 'timestamp', zoned: false }],
    ['timestamp', { kind: 'timestamp', zoned: true }],
    ['text', { kind: 'bytes' }],
    ['bytea', text],
    ['int', text.kind === 'text' ? { kind: 'bool' } : text],
    ['double precision', { kind: 'decimal', precision: 5, scale: 2 }],
    ['inet', { kind: 'uuid' }],
  ]
  for (const [native, type] of never2) {
    test(`${native} is no place for ${type.kind}`, async () => {
      await sql(`drop table if exists taken; create table taken (v ${native})`)
      await rejectsWith('WRITE_TARGET', writer('insert', shapeOf('taken', [['v', type]], [])), '"v"')
    })
  }

  test('text that is no UTF-8 is refused by its column', async () => {
    await sql('drop table if exists taken; create table taken (v text)')
    const shape = shapeOf('taken', [['v', text]], [])
    const one = await writer('insert', shape)
    await rejectsWith('WRITE_VALUE', one.stage('a', batches(shape, [['ok'], [new Uint8Array([0xff])]]), never), 'row 2')
    await one.discard(never)
  })
})

describe('a write that breaks', () => {
  const rows = shapeOf(
    'broken',
    [
      ['id', int32],
      ['name', text],
    ],
    ['id'],
  )

  test('a target that changes between staging and publishing is refused, and the next call begins anew', async () => {
    await sql('drop table if exists broken; create table broken (id int primary key, name text)')
    const one = await writer('insert', rows, 'changed')
    await one.stage('a', batches(rows, [[1, 'long']]), never)
    await sql('alter table broken alter name type varchar(2)')
    await rejectsWith('WRITE_TARGET', one.publish({ missed: 'refuse' }, never), 'changed')
    await one.close()
    const two = await writer('insert', rows, 'changed')
    assert.deepEqual(two.staged, [])
    await rejectsWith('WRITE_VALUE', two.stage('a', batches(rows, [[1, 'long']]), never), 'name')
    await two.stage('a', batches(rows, [[1, 'no']]), never)
    assert.equal((await two.publish({ missed: 'refuse' }, never)).inserted, 1n)
    await two.discard(never)
    await sql('drop table broken')
  })

  test('two publishes of one id apply it once', async () => {
    await sql('drop table if exists broken; create table broken (id int, name text)')
    const keyless = { ...rows, key: [] }
    const [first, second] = [await writer('insert', keyless, 'both'), await writer('insert', keyless, 'both')]
    await first.stage('a', batches(rows, [[1, 'a']]), never)
    const both = await Promise.all([first, second].map(one => one.publish({ missed: 'refuse' }, never)))
    assert.deepEqual(both[0], both[1])
    assert.deepEqual(await sql('select count(*) from broken'), [['1']])
    await first.discard(never)
    await sql('drop table broken')
  })

  test('a stage that nobody touched for weeks is removed by the next write, a younger one is not', async () => {
    await sql('drop table if exists broken; create table broken (id int primary key, name text)')
    for (const id of ['older', 'younger']) {
      const one = await writer('insert', rows, id)
      await one.stage('a', batches(rows, [[1, 'a']]), never)
      await one.close()
    }
    await sql(`update naru_units_older set touched = now() - interval '15 days'`)
    await sql('create table naru_units_of_somebody (x int)')
    const next = await writer('insert', rows, 'next')
    assert.equal(await next.removeAbandoned(14 * 86_400_000, never), 1)
    await next.discard(never)
    const left = await sql(`select relname from pg_class where relname ~ '^naru_' and relkind = 'r' order by 1`)
    assert.deepEqual(left.flat(), ['naru_stage_younger', 'naru_units_of_somebody', 'naru_units_younger'])
    await sql('drop table broken, naru_stage_younger, naru_units_younger, naru_units_of_somebody')
  })

  test('a server that is cut off in the middle of a unit keeps nothing of it', async () => {
    await sql('drop table if exists broken; create table broken (id int primary key, name text)')
    const one = await writer('insert', rows, 'cut')
    await one.stage('a', batches(rows, [[1, 'a']]), never)
    async function* cutting(): AsyncGenerator<ReturnType<typeof batchOf>> {
      yield* batches(rows, [[2, 'b']])
      await sql(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'naru'`)
      for (let i = 0; i < 200; i++)
        yield* batches(
          rows,
          Array.from({ length: 500 }, (_, n) => [n, 'x'.repeat(1_000)]),
        )
    }
    await rejectsWith('SOURCE_UNREACHABLE', one.stage('b', cutting(), never))
    const again = await writer('insert', rows, 'cut')
    assert.deepEqual(again.staged, [{ unit: 'a', rows: 1n }])
    await again.discard(never)
    await sql('drop table broken')
  })

  test('a source that fails, and a cancelled write, leave the writer and the stage as they were', async () => {
    await sql('drop table if exists broken; create table broken (id int primary key, name text)')
    const one = await writer('insert', rows, 'cancelled')
    const stop = new AbortController()
    async function* endless(): AsyncGenerator<ReturnType<typeof batchOf>> {
      for (let i = 0; ; i++) {
        if (i === 50) stop.abort()
        yield* batches(rows, [[i, 'a']])
      }
    }
    await rejectsWith('CANCELLED', one.stage('a', endless(), stop.signal))
    const again = await writer('insert', rows, 'cancelled')
    assert.deepEqual(again.staged, [])
    await again.discard(never)
    await sql('drop table broken')
  })
})

type Rows = readonly (readonly (TestValue | number)[])[]

async function sql(statement: string): Promise<string[][]> {
  const result = await database.client.query<string[]>({ text: statement, rowMode: 'array' })
  // Several statements have several results, which the driver gives as a list.
  const rows = Array.isArray(result) ? [] : result.rows
  return rows.map(row => row.map(value => (value === null ? (null as unknown as string) : String(value))))
}

async function writer(mode: WriteMode, shape: TableShape, id = 'own', url = database.url): Promise<TableWriter> {
  const adapter = await openPostgres(url)
  ending.push(() => adapter.close())
  return (adapter.writes as WritesTables).openWriter({ id, ...shape, mode, create: false }, never)
}

async function write(mode: WriteMode, shape: TableShape, rows: Rows): Promise<Written> {
  const one = await writer(mode, shape)
  await one.stage('all', batches(shape, rows), never)
  const written = await one.publish({ missed: 'refuse' }, never)
  await one.discard(never)
  return written
}

/** Whole numbers of an integer column may be given as numbers. */
async function* batches({ columns }: TableShape, rows: Rows): AsyncGenerator<ReturnType<typeof batchOf>> {
  const valueOf = (value: TestValue | number | undefined, type: ColumnType): TestValue =>
    typeof value === 'number' && type.kind === 'int' ? BigInt(value) : (value as TestValue)
  yield batchOf(
    columns,
    columns.map(({ type }, c) => rows.map(row => valueOf(row[c], type))),
  )
}
