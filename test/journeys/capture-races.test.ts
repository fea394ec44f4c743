import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { env, pg, source, t } from '../../src/index.ts'
import { realEnv, type Env } from '../../src/core/env.ts'
import type { Handle } from '../../src/config/handle.ts'
import { database as databaseSource } from '../../src/config/source.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { broken, differencesOf, race, raceTable, type Bug, type Differences, type Race } from '../support/races.ts'
import { makeStore, type Store } from '../support/store.ts'

// Several writers write into one table while every technique that reads it is run again and again. At the end one more run:
// each copy equals the table, but for what its technique says that it does not see, and that must show.

const columns = { id: t.int(), body: t.text(), rev: t.big(), at: t.timestamptz(), state: t.text() }
const schema = { race: { key: ['id'], columns } } as const
/** Longer than the time by which a horizon stays behind the clock: runs that begin later read changes and no longer all. */
const lateMs = 10_500
const runsMs = 13_000
/** Runs of each reader that have to begin so late; on a machine that is busy the writers go on until they did. */
const lateRuns = 3

let database: TestDatabase
const open: Store[] = []
beforeAll(async () => (database = await startTestDatabase()))
afterAll(() => database.stop())
afterEach(async () => {
  for (const store of open.splice(0)) await store.remove()
})

type Changes = NonNullable<Parameters<typeof pg<'shop', typeof schema>>[1]['changes']>['race']
type Deletes = 'keep' | { readonly sweep: '0ms' | '3s' }

type Name = 'full' | 'timestamp' | 'version' | 'combined'
const techniques: Readonly<Record<Name, (deletes: Deletes) => Changes>> = {
  full: () => ({ technique: 'full' }),
  timestamp: deletes => ({ technique: 'timestamp', column: 'at', deletes }),
  version: deletes => ({ technique: 'version', column: 'rev', deletes }),
  combined: deletes => ({
    technique: 'combined',
    timestamp: { column: 'at' },
    version: { column: 'rev' },
    deletes,
  }),
}

function modelOf(change: Changes, bug: Bug | null): Record<string, Handle> {
  const changes = { race: change as NonNullable<Changes> }
  if (bug === null) return { shop: pg('shop', { url: env(database.url), schema, changes }) }
  return { shop: source('shop', broken(bug, 'postgres'), { path: database.url, schema, changes }) }
}

interface Reader {
  readonly name: Name
  readonly store: Store
  readonly bug: Bug | null
  runs: number
  lateRuns: number
  stopped: string | null
}

async function readerOf(name: Name, deletes: Deletes, bug: Bug | null = null): Promise<Reader> {
  const store = await makeStore('select 1', () => modelOf(techniques[name](deletes), bug))
  open.push(store)
  return { name, store, bug, runs: 0, lateRuns: 0, stopped: null }
}

/** Runs of all readers while writers write, and one run more. */
async function follow(readers: readonly Reader[], silent: number): Promise<Race> {
  await database.client.query(raceTable)
  const running = { isOver: false }
  const { clock } = realEnv()
  const lateAt = clock.monotonicMs() + lateMs
  const goesOn = (): boolean => readers.some(it => it.stopped === null && it.lateRuns < lateRuns)
  const writing = race(database, { writers: 5, ms: runsMs, goesOn, silent }).finally(() => (running.isOver = true))
  const reading = readers.map(async reader => {
    while (!running.isOver && reader.stopped === null) {
      const isLate = clock.monotonicMs() > lateAt
      await runOf(reader)
      if (isLate) reader.lateRuns += 1
    }
  })
  const done = await writing
  await Promise.all(reading)
  for (const reader of readers) await runOf(reader)
  return done
}

async function runOf(reader: Reader): Promise<void> {
  if (reader.stopped !== null) return
  try {
    await reader.store.run()
    reader.runs += 1
  } catch (error) {
    reader.stopped = (error as { code?: string }).code ?? String(error)
  }
}

/** The last run of a technique that sweeps. */
async function sweep(reader: Reader): Promise<void> {
  reader.store.configure(modelOf(techniques[reader.name]({ sweep: '0ms' }), reader.bug))
  await runOf(reader)
}

async function compared({ store }: Reader): Promise<Differences> {
  const { rows } = await database.client.query<{ id: number; body: string }>('select id, body from race')
  const copy = await store.rows('select id, body from staging.shop_race')
  return differencesOf(
    new Map(rows.map(row => [row.id, row.body])),
    new Map(copy.map(row => [Number(row['id']), String(row['body'])])),
  )
}

const nothing = { missing: [], stale: [], ghosts: [] }

describe('behind several writers, with transactions that stay open', () => {
  test('no technique loses an insert or an update; deletes are ghosts until a sweep, as they say', async () => {
    const names = Object.keys(techniques) as Name[]
    const readers = await Promise.all(names.map(name => readerOf(name, 'keep')))
    const { commits } = await follow(readers, 0)
    expect(commits).toBeGreaterThan(50)
    for (const reader of readers) {
      expect(reader.stopped, reader.name).toBeNull()
      expect(reader.runs, reader.name).toBeGreaterThan(1)
      const { missing, stale } = await compared(reader)
      expect({ [reader.name]: { missing, stale } }).toEqual({ [reader.name]: { missing: [], stale: [] } })
    }
    await database.client.query('delete from race where id in (select id from race order by id limit 3)')
    for (const reader of readers) {
      await runOf(reader)
      const { ghosts, ...lost } = await compared(reader)
      expect({ [reader.name]: lost }).toEqual({ [reader.name]: { missing: [], stale: [] } })
      if (reader.name === 'full') {
        expect(ghosts).toEqual([])
        continue
      }
      expect(ghosts.length, reader.name).toBeGreaterThan(0)
      await sweep(reader)
      expect({ [reader.name]: await compared(reader) }).toEqual({ [reader.name]: nothing })
    }
  }, 240_000)

  test('silent updates are stale, or stop the table, as they say; full and the sweep of combined find them', async () => {
    const readers = [
      await readerOf('full', 'keep'),
      await readerOf('timestamp', { sweep: '3s' }),
      await readerOf('version', { sweep: '3s' }),
      await readerOf('combined', { sweep: '3s' }),
    ]
    const { silent } = await follow(readers, 0.3)
    await database.client.query(`update race set body = 'silent at last' where at < now() - interval '8 seconds'`)
    const { rows } = await database.client.query<{ id: number }>(`select id from race where body = 'silent at last'`)
    expect(rows.length).toBeGreaterThan(0)
    for (const reader of readers) {
      await sweep(reader)
      const { missing, stale, ghosts } = await compared(reader)
      if (reader.name === 'version') {
        expect(reader.stopped).toBe('VERSION_REPEATED')
        continue
      }
      expect({ [reader.name]: { missing, ghosts } }).toEqual({ [reader.name]: { missing: [], ghosts: [] } })
      if (reader.name === 'timestamp') {
        expect(stale.length).toBeGreaterThan(0)
        const told = new Set([...silent, ...rows.map(row => row.id)])
        expect(stale.filter(id => !told.has(id))).toEqual([])
      } else expect({ [reader.name]: stale }).toEqual({ [reader.name]: [] })
    }
  }, 240_000)

  test('a reader that goes on from its view, and not from its horizon, is caught, whatever its technique', async () => {
    let names: readonly Name[] = ['timestamp', 'version', 'combined']
    // On a busy machine a reader may by chance come between the transactions that stay open.
    for (let round = 0; names.length > 0 && round < 5; round++) {
      const readers = await Promise.all(names.map(name => readerOf(name, 'keep', 'no horizon')))
      await follow(readers, 0)
      for (const reader of readers) {
        expect(reader.stopped, reader.name).toBeNull()
        const { missing, stale } = await compared(reader)
        if (missing.length + stale.length > 0) names = names.filter(name => name !== reader.name)
      }
    }
    expect(names).toEqual([])
  }, 400_000)
})

const marks = { id: t.big(), rev: t.big(), at: t.text() }
const ties = { tie: { key: ['id'], columns: marks } } as const

// R2 itself: ties.test.ts.
describe('a thousand rows with one time or number', () => {
  const rows = 1_000
  const changes = {
    timestamp: { tie: { technique: 'timestamp', column: 'at', lag: '0s', deletes: 'keep' } },
    version: { tie: { technique: 'version', column: 'rev', overlap: 0, deletes: 'keep' } },
  } as const

  const insert = (from: number, to: number): string =>
    `with recursive n(v) as (select ${from} union all select v + 1 from n where v < ${to})
     insert into tie select v, 7, '2026-01-01 12:00:00' from n where v <= ${to}`

  async function idsAfter(k: number, technique: keyof typeof changes): Promise<number> {
    const store = await makeStore(
      'create table tie (id integer primary key, rev integer not null, at text not null)',
      at => ({ shop: brokenTies(at, changes[technique]) }),
    )
    open.push(store)
    store.execute(insert(1, k))
    await store.run({ env: noon })
    store.execute(insert(k + 1, rows))
    await store.run({ env: noon })
    const [row] = await store.rows('select count(*) as n from staging.shop_tie')
    return Number(row?.['n'])
  }

  test.each(['timestamp', 'version'] as const)('%s: a reader that takes > for >= is caught', async technique => {
    expect(await idsAfter(499, technique)).toBe(499)
  })
})

/** An adapter of one's own has no times that are text: this one has, as it reads SQLite. */
function brokenTies(path: string, given: object): Handle {
  const own = broken('behind', 'sqlite')
  const options = { path, schema: ties, changes: given } as never
  return databaseSource('shop', own, options, { own, stamps: ['text'] })
}

const real = realEnv()
const noon: Env = {
  ...real,
  clock: { ...real.clock, nowMicros: () => BigInt(Date.parse('2026-01-01T12:00:00Z')) * 1000n },
}
