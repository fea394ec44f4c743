// The table of the benchmark of logs, the changes to it, and the project that follows it.

/** Every transaction of `changes` changes: half inserts, four tenths updates of rows of any age, a tenth deletes. */
export function transaction(first, changes, rows) {
  const [inserts, updates] = [Math.ceil(changes / 2), Math.ceil(changes * 0.4)]
  const deletes = changes - inserts - updates
  const from = rows + first
  return [
    `insert into flight ${flights(`${from + 1}`, `${from + inserts}`)}`,
    `update flight set delay = delay + 1, fare = fare + 1.5, changed_at = now()
      where flight_id in (select (g.i::bigint * 7919 + ${first}) % ${from + inserts} + 1 from generate_series(1, ${updates}) g(i))`,
    `delete from flight where flight_id > ${from} and flight_id <= ${from + deletes}`,
  ].join(';\n')
}

/** Rows of numbers, short texts, times and an amount. */
export function flights(from, to) {
  return `select i, timestamp '2001-01-01' + i % 5000000 * interval '1 minute', i % 90 - 20, i % 2500,
    (array['ATL', 'ORD', 'DFW', 'LAX', 'ICN'])[1 + i % 5], (array['SEA', 'BOS', 'JFK', 'PUS', 'GMP', 'CJU'])[1 + i % 6],
    timestamptz '2001-01-02' + i % 5000000 * interval '1 second', i % 100000 / 100.0 from generate_series(${from}, ${to}) i`
}

export const create = `create table flight (flight_id bigint primary key, date timestamp not null, delay integer not null,
  distance integer not null, origin text not null, destination text not null, changed_at timestamptz not null,
  fare numeric(10,2) not null)`

/** The same columns as the adapter is asked for them. */
export const columns = [
  ['flight_id', { kind: 'int', bits: 64 }],
  ['date', { kind: 'timestamp', zoned: false }],
  ['delay', { kind: 'int', bits: 32 }],
  ['distance', { kind: 'int', bits: 32 }],
  ['origin', { kind: 'text' }],
  ['destination', { kind: 'text' }],
  ['changed_at', { kind: 'timestamp', zoned: true }],
  ['fare', { kind: 'decimal', precision: 10, scale: 2 }],
].map(([name, type]) => ({ name, type, nullable: false, personal: false }))

/** `memory` is what the engine may take of it. */
export const config = memory => `import { defineConfig, duckdb, env, ods, pg, t } from 'naru'

const columns = { flight_id: t.big(), date: t.timestamp(), delay: t.int(), distance: t.int(), origin: t.text(),
  destination: t.text(), changed_at: t.timestamptz(), fare: t.decimal(10, 2) }
const ops = pg('ops', {
  url: env('URL'),
  schema: { flight: { key: ['flight_id'], columns } },
  changes: { flight: { technique: 'log' } },
})
const flight = ods.entity('flight', { key: 'flight_id', columns }).from(ops.flight, r => ({ ...r }))
export default defineConfig({
  name: 'bench',
  engine: duckdb({ path: 'bench.duckdb'${memory === undefined ? '' : `, memory: '${memory}'`} }),
  models: { flight: ods.export('flight', flight) },
})
`
