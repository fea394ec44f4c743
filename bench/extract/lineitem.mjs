// Rows of the shape of TPC-H's lineitem: the same 16 columns, types and lengths of values, and at scale 1 the same number
// of rows. It is not TPC-H's data: every value is computed from the number of its row, by the server that is read.
import { Client } from 'pg'

const ROWS_AT_SCALE_1 = 6_001_215

/** Makes the table `lineitem_like` where it is not there; gives how many rows it has. Unlogged: half the time and disk. */
export async function makeLineitem(url, scale) {
  const rows = Math.round(ROWS_AT_SCALE_1 * scale)
  const client = new Client(url)
  await client.connect()
  try {
    return await fill(client, rows)
  } finally {
    await client.end()
  }
}

async function fill(client, rows) {
  await client.query(`
    create unlogged table if not exists lineitem_like (
      l_orderkey bigint not null, l_partkey integer not null, l_suppkey integer not null, l_linenumber integer not null,
      l_quantity numeric(15,2) not null, l_extendedprice numeric(15,2) not null, l_discount numeric(15,2) not null,
      l_tax numeric(15,2) not null, l_returnflag char(1) not null, l_linestatus char(1) not null,
      l_shipdate date not null, l_commitdate date not null, l_receiptdate date not null,
      l_shipinstruct char(25) not null, l_shipmode char(10) not null, l_comment varchar(44) not null)`)
  const { rows: found } = await client.query('select count(*)::int as count from lineitem_like')
  if (found[0].count !== rows) {
    await client.query('truncate lineitem_like')
    await client.query(insert, [rows])
    await client.query('vacuum analyze lineitem_like')
  }
  return rows
}

// hashint8 is the same on every machine: what looks random here is not.
const insert = `
  insert into lineitem_like
  select n / 4 * 4 + 1, 1 + h % 200000, 1 + h / 7 % 10000, n % 4 + 1, 1 + h % 50, (90000 + h % 10400000)::numeric / 100,
    (h % 11)::numeric / 100, (h / 11 % 9)::numeric / 100, substr('NRA', 1 + h % 3, 1), substr('OF', 1 + h / 3 % 2, 1),
    date '1992-01-02' + h % 2526, date '1992-01-31' + h / 13 % 2466, date '1992-01-03' + h / 17 % 2555,
    (array['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])[1 + h % 4],
    (array['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'])[1 + h / 5 % 7],
    substr('furiously regular deposits sleep among the quickly final packages; ironic requests', 1 + h / 19 % 38, 10 + h / 23 % 34)
  from (select n, hashint8(n) & 2147483647 as h from generate_series(0::bigint, $1::bigint - 1) n) numbers`
