import assert from 'node:assert/strict'
import { afterAll, beforeAll, describe, test } from 'vitest'
import {
  imageOf,
  inTime,
  withCapture,
  type CaptureSystem,
  type Event,
} from '../../src/services/adapter/conformance-capture-support.ts'
import { int64, shapeOf, text } from '../../src/services/adapter/conformance-support.ts'
import type { CapturedTable } from '../../src/services/adapter/contract-capture.ts'
import { logicalSettings, logSystem } from '../../src/testing/postgres/log.ts'
import { startPostgresServer, type PostgresServer } from '../servers/postgres.ts'

/** How long the writers write. */
const RACE_MS = 6_000
const WRITERS = 8

const accounts: CapturedTable = {
  name: 'account',
  ...shapeOf(
    'accounts',
    [
      ['id', int64],
      ['note', text],
      ['version', int64],
    ],
    ['id'],
  ),
}

/** Every version of every key, as triggers of the source saw it; a change of the key is the end of one and the start of another. */
const history = `
  drop table if exists history;
  create table history (seq bigserial primary key, id bigint, version bigint, is_gone boolean);
  create or replace function note_version() returns trigger language plpgsql as $$ begin
    if tg_op = 'DELETE' or (tg_op = 'UPDATE' and old.id <> new.id) then insert into history (id, version, is_gone) values (old.id, null, true); end if;
    if tg_op <> 'DELETE' then insert into history (id, version, is_gone) values (new.id, new.version, false); end if;
    return null; end $$;
  create trigger note_version after insert or update or delete on accounts for each row execute function note_version()`

for (const version of ['Debian 15', 'npm 18'] as const) {
  describe(`PostgreSQL from ${version}, under ${WRITERS} writers`, () => {
    let server: PostgresServer
    let target: PostgresServer
    let system: CaptureSystem
    beforeAll(async () => {
      const settings = { ...logicalSettings, logical_decoding_work_mem: '64kB' }
      server = await startPostgresServer(version, { settings })
      target = await startPostgresServer(version)
      system = logSystem(server)
    })
    afterAll(async () => {
      await server.stop()
      await target.stop()
    })

    test('applying the slices naively gives the rows of a subscription of PostgreSQL, and every version of every key', () =>
      withCapture(
        {
          ...system,
          createTable: async () => {
            await server.client.query('drop table if exists accounts cascade')
            await server.client.query(
              'create table accounts (id bigint primary key, note text, version bigint not null)',
            )
            await server.client.query(history)
          },
        },
        async ({ stream, catchUp, session }) => {
          await target.client.query('create table accounts (id bigint primary key, note text, version bigint not null)')
          await server.client.query('create publication oracle for table accounts')
          await target.client.query(
            `create subscription oracle connection '${server.url}' publication oracle with (streaming = on)`,
          )
          const events: Event[] = []
          const open = await stream()
          const end = performance.now() + RACE_MS
          const writing = Promise.all(
            Array.from({ length: WRITERS }, async (_, i) => {
              const one = await session()
              await write(statement => one.execute(statement), i, end)
            }),
          )
          const over = new AbortController()
          const reading = (async () => {
            while (!over.signal.aborted) events.push(...(await catchUp(open)).events)
          })()
          await writing
          over.abort()
          await reading
          events.push(...(await catchUp(open)).events)

          const list = 'select id::text, note, version::text from accounts order by accounts.id'
          const expected = await rowsOf(server, list)
          await inTime('the subscription', async () => {
            while (JSON.stringify(await rowsOf(target, list)) !== JSON.stringify(expected)) {
              await new Promise(resolve => void setTimeout(resolve, 100))
            }
          })
          const image = [...imageOf(events, 'account').values()].toSorted((a, b) => Number(a[0]) - Number(b[0]))
          assert.deepEqual(image, await rowsOf(target, list))
          assert.ok(events.length > 1_000, `${events.length} changes only`)

          const wanted = groupBy(
            await rowsOf(server, 'select id::text, version::text from history order by history.id, seq'),
            row => row[0],
          )
          const came = groupBy(events, it => it.row[0])
          assert.deepEqual([...came.keys()].toSorted(), [...wanted.keys()].toSorted())
          for (const [id, versions] of wanted) {
            assert.deepEqual(
              came.get(id)?.map(({ op, row }) => (op === 'delete' ? null : row[2])),
              versions.map(row => row[1]),
              `the versions of ${id}`,
            )
          }
          await target.client.query('drop subscription oracle')
          await server.client.query('drop publication oracle')
        },
        [accounts],
      ))
  })
}

async function rowsOf(server: PostgresServer, query: string): Promise<readonly (readonly (string | null)[])[]> {
  const { rows } = await server.client.query<(string | null)[]>({ text: query, rowMode: 'array' })
  return rows
}

/** One writer: inserts, updates, deletes, other keys, large and long transactions, parts of which are rolled back. */
async function write(execute: (statement: string) => Promise<void>, writer: number, end: number): Promise<void> {
  let seed = writer * 7919 + 1
  const next = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return (seed >> 8) % below
  }
  // Keys are locked in their order, so that no two writers wait for each other.
  const change = async (ids: readonly number[]): Promise<void> => {
    for (const id of ids) {
      const what = next(10)
      if (what === 0) await execute(`delete from accounts where id = ${id}`)
      else if (what === 1)
        await execute(
          `update accounts set id = id + 1000, version = version + 1 where id = ${id} and not exists (select from accounts where id = ${id + 1000})`,
        )
      else
        await execute(
          `insert into accounts values (${id}, repeat(md5('${seed}'), ${1 + next(200)}), 1) on conflict (id) do update set version = accounts.version + 1, note = case when ${next(2)} = 0 then accounts.note else excluded.note end`,
        )
    }
  }
  const keys = (count: number): readonly number[] =>
    [...new Set(Array.from({ length: count }, () => writer * 10_000 + next(80) * (next(4) === 0 ? 1 : 2)))].toSorted(
      (a, b) => a - b,
    )
  const shared = (): readonly number[] => [100_000 + next(20)]
  while (performance.now() < end) {
    await execute('begin')
    await change(keys(1 + next(next(6) === 0 ? 60 : 4)))
    if (next(4) === 0) {
      await execute('savepoint part')
      await change(keys(3))
      await execute(next(2) === 0 ? 'rollback to savepoint part' : 'release savepoint part')
    }
    if (next(12) === 0) await new Promise(resolve => void setTimeout(resolve, next(600)))
    // One key that all of them write, last: who holds it waits for nobody.
    await change(shared().slice(0, 1))
    await execute(next(10) === 0 ? 'rollback' : 'commit')
  }
}

function groupBy<T>(all: readonly T[], keyOf: (one: T) => string | null | undefined): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const one of all) groups.set(String(keyOf(one)), [...(groups.get(String(keyOf(one))) ?? []), one])
  return groups
}
