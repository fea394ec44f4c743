// The project that the live benchmark follows: one wide table of orders with a dimension, a fact and a summary by state.
// `seq` of an order is the number of the transaction that last wrote it, so the largest one tells how far a table is.
export const config = `import { defineConfig, duckdb, dw, env, ods, pg, rule, t } from 'naru'
const columns = { id: t.big(), seq: t.big(), customer: t.big(), state: t.text(), amount: t.decimal(12, 2), items: t.int(),
  ordered_at: t.timestamp(), note: t.text().null() }
const shop = pg('shop', { url: env('SHOP_URL'),
  schema: { orders: { key: ['id'], columns }, customer: { key: ['id'], columns: { id: t.big(), name: t.text(), city: t.text() } } },
  changes: { orders: { technique: 'log' }, customer: { technique: 'log' } } })
const customer = ods.entity('customer', { key: 'id', columns: { id: t.big(), name: t.text(), city: t.text() } })
  .from(shop.customer, r => ({ ...r }))
const orders = ods.entity('orders', { key: 'id', columns })
  .from(shop.orders, r => ({ ...r }))
  .rules({ items: rule.range(0, 1000), customer: rule.ref(customer) })
const x = { customer: ods.export('customer', customer), orders: ods.export('orders', orders) }
const date = dw.calendar('date')
const dim = dw.dimension('customer', x.customer, { type2: ['city'] })
const fact = dw.fact('orders', x.orders, { grain: 'id', at: 'ordered_at',
  dims: { customer: dim.by('customer'), date: date.by('ordered_at') } })
const sales = dw.summary('sales', fact, { by: f => ({ state: f.state, month: f.date.month }),
  get: f => ({ orders: f.count(), amount: f.amount.sum(), last: f.seq.max() }) })
export default defineConfig({ name: 'live', engine: duckdb({ path: 'live.duckdb', memory: '1GB' }), models: { sales } })
`

/** What one order holds: `id` and `seq` are texts of SQL. */
export const order = (id, seq, customers) => `${id}, ${seq}, 1 + (${id} * 31) % ${customers},
  case ((${id} + ${seq}) % 5)::integer when 0 then 'new' when 1 then 'paid' when 2 then 'sent' when 3 then 'done' else 'void' end,
  ((${id} * 17 + ${seq}) % 100000)::numeric / 100, ((${id} + ${seq}) % 20)::integer,
  timestamp '2020-01-01' + (${id} % 2000) * interval '1 day', 'note ' || (${id} * 7 + ${seq}) % 5000`

export const tables = (rows, customers) => [
  `create table customer (id bigint primary key, name text not null, city text not null)`,
  `create table orders (id bigint primary key, seq bigint not null, customer bigint not null, state text not null,
    amount numeric(12, 2) not null, items integer not null, ordered_at timestamp not null, note text)`,
  `insert into customer select i, 'customer ' || i, 'city ' || i % 100 from generate_series(1::bigint, ${customers}) i`,
  `insert into orders select ${order('i', '0', customers)} from generate_series(1::bigint, ${rows}) i`,
]
