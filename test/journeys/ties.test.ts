import { afterEach, describe, expect, test } from 'vitest'
import { realEnv } from '../../src/core/env.ts'
import { sqlite, t } from '../../src/index.ts'
import { SimulatedReader, SimulatedSource, simulated } from '../../src/capture/source.test.support.ts'
import { makeStore, type Store } from '../support/store.ts'

// R2: a thousand rows with one time, or one number. Whoever goes on with `>` loses the rest of those that he met; whoever does not
// remember where he was takes them twice. So a run comes at every place among them.

const open: Store[] = []
afterEach(async () => {
  for (const store of open.splice(0)) await store.remove()
})

const rows = 1_000
const stamp = '2026-01-01 12:00:00'
const columns = { id: t.big(), rev: t.big(), at: t.text() }
const techniques = {
  timestamp: { technique: 'timestamp', column: 'at', lag: '0s', deletes: 'keep' },
  version: { technique: 'version', column: 'rev', overlap: 0, deletes: 'keep' },
  combined: {
    technique: 'combined',
    timestamp: { column: 'at', lag: '0s' },
    version: { column: 'rev', overlap: 0 },
    deletes: 'keep',
  },
} as const
type Name = keyof typeof techniques
const names = Object.keys(techniques) as readonly Name[]

const tableOf = (name: string): string =>
  `create table ${name} (id integer primary key, rev integer not null, at text not null);`
const insert = (name: string, from: number, to: number): string =>
  `with recursive n(v) as (select ${from} union all select v + 1 from n where v < ${to})
   insert into ${name} select v, 7, '${stamp}' from n where v <= ${to};`

/** The source's clock stands at the time of the rows. */
const real = realEnv()
const nowMicros = BigInt(Date.parse('2026-01-01T12:00:00Z')) * 1000n
const noon = { ...real, clock: { ...real.clock, nowMicros: () => nowMicros } }

/** A table for each place at which a run comes, in one project: two runs try them all. */
async function countsAfter(name: Name, stops: readonly number[]): Promise<readonly number[]> {
  const tables = stops.map((_, i) => `tie_${i}`)
  const schema = Object.fromEntries(tables.map(table => [table, { key: ['id'], columns }]))
  const changes = Object.fromEntries(tables.map(table => [table, techniques[name]]))
  const store = await makeStore(tables.map(tableOf).join('\n'), path => ({
    shop: sqlite('shop', { path, chunkRows: 100, schema, changes } as never),
  }))
  open.push(store)
  store.execute(stops.map((k, i) => insert(tables[i] as string, 1, k)).join('\n'))
  await store.run({ env: noon })
  store.execute(stops.map((k, i) => insert(tables[i] as string, k + 1, rows)).join('\n'))
  const second = await store.run({ env: noon })
  expect(second.rowsStaged).toBe(stops.reduce((sum, k) => sum + rows - k, 0))
  const counted = await store.rows(
    tables.map(table => `select '${table}' as t, count(*) as n from staging.shop_${table}`).join(' union all '),
  )
  const counts = new Map(counted.map(row => [row['t'], Number(row['n'])]))
  return tables.map(table => counts.get(table) ?? 0)
}

describe('a thousand rows with one time or number', () => {
  const stops = [0, 1, 100, 999, 1_000]

  test.each(names)('R2: by %s the plan finds all, wherever among them a run came: behind every row', name => {
    for (let k = 0; k <= rows; k++) {
      const [source, reader] = [new SimulatedSource(), new SimulatedReader(simulated[name](true), false)]
      const write = (from: number, to: number): void => {
        for (let id = from; id <= to; id++) source.tie(id)
      }
      write(1, k)
      reader.read(source)
      write(k + 1, rows)
      reader.read(source)
      expect([k, reader.copy.size]).toEqual([k, rows])
    }
  })

  test.each(['timestamp', 'version'] as const)(
    'R2: by %s all arrive once, wherever among them a run came: at each end of a chunk',
    async name => {
      expect(await countsAfter(name, stops)).toEqual(stops.map(() => rows))
    },
    120_000,
  )
})
