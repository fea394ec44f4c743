import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adviseSource, type AdvicePlace, type TableAdvice } from '../../src/app/advise/advise.ts'
import { tryTechniques, type TrialReport, type TrialResult } from '../../src/app/advise/trial.ts'
import type { TechniqueAdvice } from '../../src/app/advise/techniques.ts'
import type { SourceDef } from '../../src/config/model.ts'
import { realEnv } from '../../src/core/env.ts'
import { Secret } from '../../src/core/secret.ts'
import { never } from '../../src/testing/engine.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { startNaru } from '../support/command.ts'

let database: TestDatabase
let folder: string

beforeAll(async () => {
  database = await startTestDatabase({ wal_level: 'replica' })
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-advise-'))
  const { client } = database
  await client.query(`create role reader login password 'reader'`)
  await client.query(
    `create role owner login password 'owner'; grant create, connect on database postgres to owner; grant all on schema public to owner, reader`,
  )
  await client.query(`
    create table ghost (id integer primary key, name text, updated_at timestamptz not null default now());
    create index on ghost (updated_at);
    insert into ghost select i, 'x', now() - interval '1 hour' + i * interval '1 s' from generate_series(1, 100) i;
    create table silent (id integer primary key, amount integer, updated_at timestamptz, version integer, status text);
    insert into silent select i, i, now() - interval '2 days', 1, 'done' from generate_series(1, 200) i;
    create table keyless (a integer, updated_at timestamptz);
    create unlogged table cache (id integer primary key, updated_at timestamptz);
    create table bare (id integer primary key, name text, created_at timestamptz default now());
    create table moved (id integer primary key, changed_at timestamptz default now());
    create function touch() returns trigger language plpgsql as 'begin new.changed_at := now(); return new; end';
    create trigger touched before update on moved for each row execute function touch();
    create table hidden (id integer primary key, updated_at timestamptz);
    grant select on ghost, silent, keyless, cache, bare, moved to reader`)
  await client.query('delete from ghost where id <= 7')
  await client.query(`update silent set updated_at = now(), status = 'pending' where id <= 50`)
  await client.query('update silent set amount = amount + 1 where id > 150')
  await client.query('select pg_stat_force_next_flush()')
}, 180_000)
afterAll(async () => {
  await database?.stop()
  await rm(folder, { recursive: true, force: true })
})

const source: SourceDef = {
  name: 'shop',
  adapter: 'postgres',
  options: { url: { kind: 'secret', from: 'env', name: 'SHOP_URL' } },
  tables: [],
}

function place(url: string): AdvicePlace {
  return { env: realEnv(), configDir: folder, stateDir: path.join(folder, '.naru'), secret: () => new Secret(url) }
}

const reader = (): string => database.urlWith({ user: 'reader', password: 'reader' })

async function adviceOn(table: string, url = reader()): Promise<TableAdvice> {
  const { tables } = await adviseSource(place(url), source, { name: `shop.${table}` }, never)
  return tables[0] as TableAdvice
}

function of(advice: TableAdvice, technique: string): TechniqueAdvice & { readonly line: string | null } {
  return advice.techniques.find(it => it.technique === technique) as never
}

describe('advice on PostgreSQL, with an account that may only read', () => {
  test('every technique is ranked once, and nothing is made at the source', async () => {
    const before = await database.client.query('select count(*) from pg_class')
    const advice = await adviceOn('ghost')
    expect(advice.techniques.map(it => it.rank)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(new Set(advice.techniques.map(it => it.technique)).size).toBe(8)
    expect((await database.client.query('select count(*) from pg_class')).rows).toEqual(before.rows)
  })

  test('the publication of a source is made by one statement with all of its tables', async () => {
    const { tables } = await adviseSource(place(reader()), source, { name: null }, never)
    const made = tables.flatMap(it => of(it, 'log').needs.filter(need => need.fix.includes('create publication')))
    expect(made).toHaveLength(tables.length)
    expect(new Set(made.map(it => it.fix)).size).toBe(1)
    for (const name of ['ghost', 'silent', 'moved']) expect(made[0]?.fix).toContain(`"public"."${name}"`)
  })

  test('counted deletes are ghosts of a reader by time, and its sweep is proposed', async () => {
    await expect.poll(async () => (await adviceOn('ghost')).evidence?.counters?.deletes, { timeout: 120_000 }).toBe(7n)
    const timestamp = of(await adviceOn('ghost'), 'timestamp')
    expect(timestamp.misses).toContainEqual({ kind: 'late', text: 'deletes (7 counted) until the next sweep' })
    expect(timestamp.line).toMatch(
      /^ghost: \{ technique: 'timestamp', column: 'updated_at'.*deletes: \{ sweep: '60m' \} \},$/,
    )
    expect(timestamp.hints.map(it => it.text).join()).not.toContain('no index')
  })

  test('rows that were written without a new time give silent writers away, and a technique that sees them ranks before', async () => {
    const advice = await adviceOn('silent')
    const timestamp = of(advice, 'timestamp')
    expect(timestamp.misses.find(it => it.kind === 'lost')?.text).toMatch(
      /^silent writers are suspected: 50 sampled rows/,
    )
    expect(of(advice, 'full').rank).toBeLessThan(timestamp.rank)
    expect(timestamp.hints.map(it => it.fix)).toContain(
      'create index concurrently on "public"."silent" ("updated_at");',
    )
  })

  test('of rows that one transaction wrote nothing is known: a time does not rank above the log for them', async () => {
    const { client } = database
    await client.query(`create table poured (id integer primary key, updated_at timestamptz not null);
      create index on poured (updated_at); grant select on poured to reader;
      insert into poured select i, now() - interval '1 day' + i * interval '1 s' from generate_series(1, 12000) i;
      analyze poured`)
    const advice = await adviceOn('poured')
    expect(advice.candidates[0]).toMatchObject({ column: 'updated_at', isUnseen: true })
    expect(advice.candidates[0]?.reasons.join()).not.toContain('grew with every write')
    expect(advice.candidates[0]?.doubts.join()).toContain('one transaction wrote all sampled rows')
    expect(of(advice, 'log').rank).toBeLessThan(of(advice, 'timestamp').rank)
    await client.query(`insert into poured values (12001, now())`)
    const after = await adviceOn('poured')
    expect(after.candidates[0]?.reasons.join()).toContain('in 12001 sampled rows it grew with every write')
    await client.query('drop table poured')
  })

  test('the counter of an optimistic lock is no version of the table, and a flag is found by its values', async () => {
    const advice = await adviceOn('silent')
    expect(of(advice, 'version')).toMatchObject({ possible: 'after setup', change: null })
    expect(advice.candidates.find(it => it.column === 'version')?.doubts.join()).toContain('it counts within each row')
    expect(of(advice, 'status').change).toMatchObject({ flag: { column: 'status', pending: 'pending', done: 'done' } })
    expect(of(advice, 'status').needs.map(it => it.fix)).toEqual([
      'grant create on database "postgres" to "reader";',
      'grant select, update ("status") on "public"."silent" to "reader";',
    ])
  })

  test('what the log lacks is told with the statement that mends it', async () => {
    const { possible, needs } = of(await adviceOn('ghost'), 'log')
    expect(possible).toBe('after setup')
    expect(needs.map(it => it.fix).join('\n')).toContain(`alter system set wal_level = 'logical'`)
    expect(needs.map(it => it.fix).join('\n')).toContain('alter role "reader" with replication')
  })

  test('a table without a key, an unlogged one and one without a time say what they need', async () => {
    const keyless = await adviceOn('keyless')
    expect(of(keyless, 'timestamp')).toMatchObject({ possible: 'after setup', change: null })
    expect(of(keyless, 'timestamp').needs[0]?.fix).toContain('add primary key')
    expect(
      of(await adviceOn('cache'), 'log')
        .needs.map(it => it.text)
        .join(),
    ).toContain('unlogged')
    const bare = of(await adviceOn('bare'), 'timestamp')
    expect(bare.change).toBeNull()
    expect(bare.needs[0]?.fix).toContain('create trigger set_changed_at')
    for (const statement of bare.needs[0]?.fix.split('\n') ?? []) await database.client.query(statement)
    expect(of(await adviceOn('bare'), 'timestamp')).toMatchObject({
      change: { column: 'changed_at' },
      possible: 'ready',
    })
  })

  test('a time that a trigger sets is found by the text of the trigger', async () => {
    const advice = await adviceOn('moved')
    expect(advice.candidates[0]?.reasons.join()).toContain('the source sets it with every update (touched)')
    expect(advice.evidence?.triggers).toEqual(['touched'])
  })

  test('a table that may not be read is refused by name', async () => {
    await expect(adviceOn('hidden')).rejects.toMatchObject({ code: 'ADVICE_NO_TABLE' })
  })

  test('transactions that the account cannot see make a lag necessary, and the grant is told', async () => {
    const other = await database.connect()
    await other.query('begin')
    await other.query('select 1')
    const timestamp = of(await adviceOn('ghost'), 'timestamp')
    expect(timestamp.change).toMatchObject({ lagMs: 60_000 })
    expect(timestamp.hints.map(it => it.fix)).toContain('grant pg_read_all_stats to "reader";')
    await other.query('rollback')
    await other.end().catch(() => {})
  })
})

describe('a trial on a table that others write to', () => {
  let live: TestDatabase
  const writing = { isOver: false }
  let writers: Promise<unknown>[] = []
  beforeAll(async () => {
    live = await startTestDatabase({ wal_level: 'logical', max_replication_slots: '4', max_wal_senders: '4' })
    const { client } = live
    await client.query(`
      create role owner login replication password 'owner';
      grant pg_read_all_stats to owner;
      grant create on database postgres to owner;
      create table orders (id integer primary key, amount integer, note text, updated_at timestamptz not null default now());
      alter table orders owner to owner;
      create index on orders (updated_at);
      insert into orders select i, i, repeat('long ', 20), now() - interval '1 hour' from generate_series(1, 5000) i`)
    const next = { id: 5_000, gone: 0 }
    const write = async (own: number): Promise<void> => {
      const session = await live.connect()
      while (!writing.isOver) {
        const [id, gone] = [(next.id += 1), (next.gone += 1)]
        await session.query('begin')
        await session.query('insert into orders values ($1, 0, null, now())', [id])
        await session.query('update orders set amount = amount + 1, updated_at = now() where id = $1', [4_000 + own])
        if (gone < 3_900) await session.query('delete from orders where id = $1', [gone])
        // A script that forgets the time.
        await session.query('update orders set amount = -$2::integer where id = $1', [4_500 + own, id])
        await session.query('commit')
        await new Promise(resolve => setTimeout(resolve, 5))
      }
    }
    writers = [write(1), write(2)]
  }, 180_000)
  afterAll(async () => {
    writing.isOver = true
    await Promise.all(writers)
    await live?.stop()
  })

  const owner = (): string => live.urlWith({ user: 'owner', password: 'owner' })
  const trialOf = async (install: boolean): Promise<TrialReport> => {
    const advice = await adviceOn('orders', owner())
    return tryTechniques(place(owner()), source, { advice, seconds: 3, install }, never)
  }

  test('shows ghosts and stale rows for a reader by time and none for log and trigger, and leaves nothing behind', async () => {
    const { results, left, rows } = await trialOf(true)
    const result = (technique: string): TrialResult => results.find(it => it.technique === technique) as TrialResult
    for (const technique of ['log', 'trigger']) {
      expect(result(technique), technique).toMatchObject({ lost: 0, stale: 0, ghost: 0, problem: null })
      expect(result(technique).taken).toBeGreaterThan(rows)
    }
    expect(result('timestamp')).toMatchObject({ lost: 0, columns: ['updated_at'], problem: null })
    expect(result('timestamp').ghost).toBeGreaterThan(0)
    expect(result('timestamp').stale).toBeGreaterThan(0)
    expect(left.map(it => it.technique)).toEqual(expect.arrayContaining(['full', 'status', 'event']))
    const { rows: made } = await live.client.query(`
      select slot_name as name from pg_replication_slots union all select pubname from pg_publication
      union all select nspname from pg_namespace where nspname like 'naru%'
      union all select tgname from pg_trigger where not tgisinternal`)
    expect(made).toEqual([])
  }, 180_000)

  test('without --install it only reads', async () => {
    const { results, left } = await trialOf(false)
    expect(results.map(it => it.technique)).toEqual(['timestamp'])
    expect(
      left
        .filter(it => it.why.includes('--install'))
        .map(it => it.technique)
        .sort(),
    ).toEqual(['log', 'trigger'])
  }, 180_000)

  test('a table without a key and one too large for memory are refused with the reason', async () => {
    const advice = await adviceOn('orders', owner())
    const given = { seconds: 1, install: false }
    const keyless = { ...advice, key: [] }
    await expect(tryTechniques(place(owner()), source, { ...given, advice: keyless }, never)).rejects.toMatchObject({
      code: 'TRIAL_NOT_POSSIBLE',
      message: expect.stringContaining('no key') as string,
    })
    const large = { ...advice, evidence: { ...advice.evidence, rows: 10_000_000n } as TableAdvice['evidence'] }
    await expect(tryTechniques(place(owner()), source, { ...given, advice: large }, never)).rejects.toMatchObject({
      code: 'TRIAL_NOT_POSSIBLE',
    })
  }, 180_000)
})

test('the command needs no project, and prints a table for people and JSON for machines', async () => {
  const variables = { SHOP_URL: reader() }
  const from = ['advise', 'shop.ghost', '--from', 'postgres', '--url', 'SHOP_URL']
  const people = await startNaru(folder, from, { variables }).ended
  expect(people.stderr).toBe('')
  expect(people.stdout).toContain('Table shop.ghost')
  expect(people.stdout).toContain('1. full')
  const machine = await startNaru(folder, [...from, '--json'], { variables }).ended
  const told = JSON.parse(machine.stdout) as { sources: { tables: { techniques: unknown[] }[] }[] }
  expect(told.sources[0]?.tables[0]?.techniques).toHaveLength(8)
}, 180_000)
