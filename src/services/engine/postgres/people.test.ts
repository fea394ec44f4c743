import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ident, rawSql, sql } from '../../../core/sql.ts'
import { postgresOpening, startEngineServer, type EngineServer } from '../../../testing/postgres/engine.ts'
import type { Cell, Engine } from '../contract.ts'
import { openEngine } from './open.ts'

const never = new AbortController().signal
let server: EngineServer
let url: string
let people: Engine

beforeAll(async () => {
  server = await startEngineServer()
  url = await server.database()
  const writer = await openEngine(postgresOpening(url))
  await writer.transaction(never, async tx => {
    for (const schema of ['ods', 'naru']) await tx.execute(sql`create schema ${ident(schema)}`)
    await tx.execute(sql`create table ods.person (id integer, name text, city text)`)
    await tx.execute(sql`insert into ods.person values (1, 'canary', 'Seoul'), (2, null, 'Busan')`)
    await tx.execute(sql`create view ods.everyone as select * from ods.person`)
    await tx.execute(sql`create table ods.left_the_config as select * from ods.person`)
    await tx.execute(sql`create table ods."odd "" name" (a numeric(9, 2), "B c" timestamptz[], p ods.person)`)
    await tx.execute(
      sql`insert into ods."odd "" name" values (1.5, array[timestamptz '2001-01-01 00:00:00+00'], row(1, 'canary', 'x'))`,
    )
    await tx.execute(sql`create table public.own as select * from ods.person`)
    await tx.execute(sql`create sequence public.numbers`)
    await tx.execute(sql`create sequence ods.numbers`)
    await tx.execute(
      sql`create function public.peek() returns text immutable as 'select max(name) from ods.person' language sql`,
    )
    await tx.execute(
      sql`create function public.same(text, text) returns boolean immutable as 'select true' language sql`,
    )
    await tx.execute(sql`create operator public.=== (function = public.same, leftarg = text, rightarg = text)`)
    await tx.execute(sql`analyze ods.person`)
  })
  await writer.close()
  const masked = [
    ...['person', 'everyone'].map(table => ({ schema: 'ods', table, columns: ['name', 'no_such_column'] })),
    { schema: 'ods', table: 'odd " name', columns: ['p'] },
  ]
  people = await openEngine({ ...postgresOpening(url), access: 'people', masked, closed: ['ods'] })
}, 180_000)
afterAll(async () => {
  await people.close()
  await server.stop()
})

async function read(text: string): Promise<readonly (readonly Cell[])[]> {
  const rows: (readonly Cell[])[] = []
  for await (const page of (await people.query(rawSql(text), never)).pages) rows.push(...page)
  return rows
}

const masked = [
  [1, '***', 'Seoul'],
  [2, null, 'Busan'],
]

describe('what people read', () => {
  test.each<[string, readonly (readonly Cell[])[]]>([
    ['select * from ods.person order by id', masked],
    ['table ods.person order by 1 -- with a comment', masked],
    ['select * from ods.person order by 1 desc limit 1', masked.slice(1)],
    ['with p as (select name from ods.everyone) select count(*), max(name) from p', [[2n, '***']]],
    ['with recursive p(n) as (select 1 union all select n + 1 from p where n < 3) select max(n) from p', [[3]]],
    ['with person as (select 7 as id) select person.id, p.name from person, ods.person p where p.id = 1', [[7, '***']]],
    [`select upper(city) from ods.person where name = 'canary'`, []],
    [`select person.name || ods.person.city from ods.person where person.id = 1`, [['***Seoul']]],
    ['select p from ods.person p order by p.id limit 1', [['(1,***,Seoul)']]],
    ['select to_json(p)::text from ods.person p where id = 1', [['{"id":1,"name":"***","city":"Seoul"}']]],
    ['select a.name from ods.person a join ods.everyone b using (id) where b.id = 1', [['***']]],
    [
      'select (select max(x.name) from ods.person x where x.id = p.id) from ods.person p order by p.id',
      [['***'], [null]],
    ],
    ['select city from ods.person union select city from ods.everyone order by 1', [['Busan'], ['Seoul']]],
    ['select a, "B c"::text, p from ods."odd "" name"', [['1.50', '{"2001-01-01 00:00:00+00"}', '***']]],
    [
      `select table_name from information_schema.tables where table_schema = 'ods' and table_name = 'person'`,
      [['person']],
    ],
    ['values (1), (2)', [[1], [2]]],
    ['select count(*) from generate_series(1, 3) order by random()', [[3n]]],
  ])('%s', async (query, rows) => {
    expect(await read(query)).toEqual(rows)
  })
})

/** Statements that write, lock, look past the masks, leave the database, or change what the session may do. */
const hostile = [
  // more than one statement, or none that reads
  'select 1; select 2',
  `select 1; insert into ods.person values (3, 'x', 'y')`,
  '/* a */ select 1 /* b */; rollback',
  '; drop table ods.person',
  `insert into ods.person values (3, 'x', 'y')`,
  'delete from ods.person',
  `update ods.person set name = 'x'`,
  'truncate ods.person',
  'merge into ods.person using ods.everyone e on false when matched then delete',
  'with d as (delete from ods.person returning *) select * from d',
  `with i as (insert into ods.person values (3, 'x', 'y') returning *) select * from i`,
  'drop table ods.person',
  'create table ods.x (a integer)',
  'create temporary table x (a integer)',
  'select x into y from ods.person',
  'select * into temporary y from ods.person',
  'explain analyze delete from ods.person',
  'call public.peek()',
  `do $$ begin delete from ods.person; end $$`,
  'vacuum ods.person',
  'listen x',
  'declare c cursor for select 1',
  'prepare p as select 1',
  'select $1',
  // locks
  'select * from ods.person for update',
  'select * from ods.person for no key update',
  'select * from ods.person for share',
  'select * from ods.person p for key share of p skip locked',
  'select * from (select * from ods.person for update nowait) x',
  'lock table ods.person',
  'select pg_advisory_lock(1)',
  'select pg_try_advisory_xact_lock(1)',
  // what the session may do
  'set role postgres',
  'set session authorization postgres',
  'reset role',
  'set transaction read write',
  'set default_transaction_read_only = off',
  `select set_config('transaction_read_only', 'off', false)`,
  `select set_config('role', 'postgres', false)`,
  'begin read write',
  'commit',
  'rollback to savepoint x',
  // files, programs, other servers
  `copy ods.person to '/tmp/naru-out'`,
  `copy (select * from ods.person) to program 'cat > /tmp/naru-out'`,
  `copy ods.person from program 'cat /etc/passwd'`,
  'copy ods.person to stdout',
  `select pg_read_file('/etc/passwd')`,
  `select pg_read_binary_file('/etc/passwd')`,
  `select * from pg_ls_dir('.')`,
  `select * from pg_stat_file('.')`,
  `select pg_file_write('x', 'y', false)`,
  `select lo_import('/etc/passwd')`,
  `select lo_export(1, '/tmp/naru-out')`,
  `select lo_get(1)`,
  `select lo_from_bytea(0, 'x')`,
  `select * from dblink('dbname=postgres', 'select 1') as t(a integer)`,
  'create extension dblink',
  `load 'x'`,
  // what is not theirs to read
  'select * from ods.left_the_config',
  'select * from public.own',
  'select * from own',
  'select * from pg_authid',
  'select * from pg_stat_activity',
  'select query from pg_stat_get_activity(null)',
  'select most_common_vals::text from pg_stats',
  'select * from pg_statistic',
  'select * from information_schema.views',
  'select * from information_schema.user_mapping_options',
  `select query_to_xml('select * from public.own', true, true, '')`,
  `select table_to_xml('public.own'::regclass, true, true, '')`,
  `select database_to_xml(true, true, '')`,
  `select * from ts_stat('select to_tsvector(name) from public.own')`,
  `select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, name::tsquery from public.own')`,
  'select public.peek()',
  `select name operator(public.===) 'x' from ods.person`,
  `select pg_get_viewdef('ods.everyone'::regclass)`,
  `select pg_get_ruledef(oid) from (select 1::oid as oid) x`,
  `select current_setting('data_directory')`,
  'select * from pg_settings',
  'select * from ods.numbers',
  // what has an effect
  `select nextval('public.numbers')`,
  `select setval('public.numbers', 7)`,
  'select pg_sleep(1)',
  `select pg_notify('x', 'y')`,
  'select pg_terminate_backend(pg_backend_pid())',
  'select pg_cancel_backend(1)',
  'select pg_reload_conf()',
  `select pg_logical_emit_message(true, 'x', 'y')`,
  'select pg_export_snapshot()',
  'select pg_switch_wal()',
]

describe('what is refused', () => {
  test.each(hostile)('%s', async query => {
    const refused = await read(query).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: expect.stringMatching(/^(SQL_NOT_ALLOWED|ENGINE_SQL)$/) })
    expect((refused as Error).message).not.toContain('canary')
  })

  test('what passed every look would still be read-only by the rules of the server', async () => {
    const engine = await openEngine({ ...postgresOpening(url), access: 'people', masked: [], closed: [] })
    try {
      const statement = sql`insert into ods.person values (3, 'x', 'y')`
      await expect(engine.transaction(never, tx => tx.execute(statement))).rejects.toThrow(/read-only transaction/)
      const back = engine.transaction(never, async tx => {
        await tx.rows(sql`select 1`)
        await tx.execute(sql`set transaction read write`)
      })
      await expect(back).rejects.toThrow(/before any query/)
    } finally {
      await engine.close()
    }
  })

  test('nothing that was asked left a trace: schemas, tables and rows are as they were', async () => {
    const schemas = await server.run(url, `select nspname from pg_namespace where nspname ~ '^(ods|naru)' order by 1`)
    expect(schemas.map(row => row['nspname'])).toEqual(['naru', 'naru_sql', 'ods'])
    expect(await server.run(url, 'select name from ods.person order by id')).toEqual([
      { name: 'canary' },
      { name: null },
    ])
    expect(await server.run(url, `select last_value, is_called from public.numbers`)).toEqual([
      { last_value: '1', is_called: false },
    ])
    expect(await server.run(url, 'select count(*)::int as n from pg_largeobject_metadata')).toEqual([{ n: 0 }])
  })
})
