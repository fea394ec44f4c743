// Rows of the two projects, as SQL that the engine itself runs.

const scattered = (keys, rows, round) =>
  `select distinct cast(1 + ((cast(g.i as bigint) * 7919 + ${round} * 104729) * 15485863) % ${rows} as bigint) as k from generate_series(1, ${keys}) g(i)`
const recent = (keys, rows, round) =>
  `select cast(${rows} - g.i - ${round} * ${keys} as bigint) as k from generate_series(1, ${keys}) g(i)`
const keysOf = (order, keys, rows, round) => (order === 'recent' ? recent : scattered)(keys, rows, round)

const texts = Array.from({ length: 8 }, (_, i) => `note_${i + 1}`)

/** One wide table of orders with a dimension of customers, a fact and a summary by state. */
export function wide(rows) {
  const customers = Math.max(10, Math.floor(rows / 50))
  const order = (id, more) => `
    select cast(${id} as bigint) as id, cast(1 + (${id} * 31) % ${customers} as bigint) as customer,
      case cast(${id} % 5 as integer) when 0 then 'new' when 1 then 'paid' when 2 then 'sent' when 3 then 'done' else 'void' end as state,
      cast((${id} * 17) % 100000 as decimal(12,2)) / 100 as amount, cast((${id} + ${more}) % 20 as integer) as items,
      timestamp '2020-01-01 00:00:00' + cast((${id} % 2000) || ' days' as interval) as ordered_at,
      timestamp '2020-01-01 00:00:00' + cast((${id} % 2000) || ' days' as interval) as changed_at,
      ${texts.map((name, i) => `'text ' || cast((${id} * ${i + 3}) % 5000 as varchar) as ${name}`).join(', ')}`
  return {
    config: `import { defineConfig, duckdb, dw, env, ods, pg, rule, t } from 'naru'
const schema = {
  orders: { key: ['id'], columns: { id: t.big(), customer: t.big(), state: t.text(), amount: t.decimal(12, 2), items: t.int(),
    ordered_at: t.timestamp(), changed_at: t.timestamp(), ${texts.map(name => `${name}: t.text().null()`).join(', ')} } },
  customer: { key: ['id'], columns: { id: t.big(), name: t.text(), city: t.text() } },
} as const
const shop = pg('shop', { url: env('OPS_URL'), schema, changes: {
  orders: { technique: 'timestamp', column: 'changed_at', deletes: 'keep' } } })
const customer = ods.entity('customer', { key: 'id', columns: { id: t.big(), name: t.text(), city: t.text() } })
  .from(shop.customer, r => ({ ...r }))
const order = ods.entity('orders', { key: 'id', columns: { id: t.big(), customer: t.big(), state: t.text(),
    amount: t.decimal(12, 2), items: t.int(), ordered_at: t.timestamp(), ${texts.map(name => `${name}: t.text().null()`).join(', ')} } })
  .from(shop.orders, r => ({ id: r.id, customer: r.customer, state: r.state, amount: r.amount, items: r.items, ordered_at: r.ordered_at,
    ${texts.map(name => `${name}: r.${name}`).join(', ')} }))
  .rules({ items: rule.range(0, 1000), customer: rule.ref(customer) })
const x = { customer: ods.export('customer', customer), orders: ods.export('orders', order) }
const date = dw.calendar('date')
const dim = dw.dimension('customer', x.customer, { type2: ['city'] })
const orders = dw.fact('orders', x.orders, { grain: 'id', at: 'ordered_at',
  dims: { customer: dim.by('customer'), date: date.by('ordered_at') } })
const sales = dw.summary('sales', orders, { by: f => ({ state: f.state, month: f.date.month }),
  get: f => ({ orders: f.count(), amount: f.amount.sum() }) })
export default defineConfig({ name: 'wide', engine: duckdb({ path: 'x.duckdb' }), models: { sales } })
`,
    tables: {
      customer: `select cast(g.i as bigint), 'customer ' || cast(g.i as varchar), 'city ' || cast(g.i % 100 as varchar) from generate_series(1, ${customers}) g(i)`,
      orders: `${order('g.i', 0)} from generate_series(1, ${rows}) g(i)`,
    },
    changed: {
      table: 'orders',
      query: (keys, round, by) => `${order('d.k', 1 + round)} from (${keysOf(by, keys, rows, round)}) d`,
    },
  }
}

/** The airline example with made-up flights: three sources, entities that are matched, two facts. */
export function airline(rows) {
  const airports = 3_376
  const letter = (i, place) => `chr(65 + cast(floor(${i} / ${26 ** place}) as integer) % 26)`
  const code = i => `(${letter(i, 0)} || ${letter(i, 1)} || ${letter(i, 2)})`
  const flight = (id, more) => `
    select cast(${id} as integer) as flight_id,
      timestamp '2001-01-01 00:00:00' + cast((${id} % 260000) || ' minutes' as interval) as date,
      cast((${id} * 13 + ${more}) % 300 as integer) as delay, cast(100 + ${id} % 2000 as integer) as distance,
      ${code(`((${id} * 7) % ${airports})`)} as origin, ${code(`((${id} * 11) % ${airports})`)} as destination,
      timestamptz '2001-07-02 00:00:00+00' as updated_at`
  return {
    tables: {
      airport_code: `select ${code('g.i')} from generate_series(0, ${airports - 1}) g(i)`,
      airports: `select ${code('g.i')}, 'Field of ' || ${code('g.i')}, 'Town ' || ${code('g.i * 3')}, 'TX', 'USA', '30.5', '-90.5'
        from generate_series(0, ${airports - 1}) g(i)`,
      strike: `select cast(g.i as bigint), 'Field of ' || ${code('(g.i * 5 % 3376)')}, 'B-737', 'None', '2001-02-03', 'WN', 'TX', 'Climb', 'Small',
        'Gull', 'Day', cast(0 as bigint), cast(0 as bigint), cast(0 as bigint), cast(100 as bigint) from generate_series(1, 1000) g(i)`,
      flight: `${flight('g.i', 0)} from generate_series(1, ${rows}) g(i)`,
    },
    changed: {
      table: 'flight',
      query: (keys, round, by) => `${flight('d.k', 60 + round)} from (${keysOf(by, keys, rows, round)}) d`,
    },
  }
}
