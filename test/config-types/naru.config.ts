import {
  defineConfig,
  duckdb,
  dw,
  env,
  files,
  mask,
  none,
  ods,
  mysql,
  odbc,
  cassandra,
  pg,
  prefer,
  rule,
  sqlite,
  t,
  when,
  type Decimal,
  type RowOf,
} from 'naru'
import { changing, legacy, shop } from './schema.js'

const web = pg('web', {
  url: env('SHOP_URL'),
  schema: shop,
  changes: {
    orders: { technique: 'timestamp', column: 'created_at', deletes: { sweep: '1d' } },
    '*': { technique: 'timestamp', column: 'updated_at', deletes: 'keep', lag: '10m' },
  },
})
const erp = sqlite('erp', {
  path: 'legacy.db',
  schema: legacy,
  changes: { ord: { technique: 'timestamp', column: 'upd_ts', deletes: 'keep' }, cust: { technique: 'full' } },
})
const partner = files('partner', {
  url: env('PARTNER_URL'),
  tables: {
    orders: {
      glob: 'orders_*.csv',
      key: ['no', 'line'],
      scope: 'delta',
      checksum: 'md5-sidecar',
      encoding: 'cp949',
      columns: {
        no: t.text(),
        line: t.int(),
        cust: t.int(),
        item: t.text(),
        qty: t.text(),
        amount: t.decimal(12, 2),
        state: t.text(),
        at: t.timestamp(),
      },
    },
  },
})

const product = ods
  .entity('product', { key: 'sku', columns: { sku: t.text(), title: t.text(), categoryId: t.big() } })
  .from(web.products, r => ({ sku: r.sku.trim().upper(), title: r.title, categoryId: r.cat_id }))
  .rules({ '*': e => rule.unique(e.title, e.categoryId).warn() })

const customer = ods
  .entity('customer', {
    key: 'customerId',
    columns: {
      customerId: t.int(),
      name: t.text().pii(),
      email: t.text().null().pii(),
      city: t.text(),
      grade: t.enum('A', 'B', 'C'),
      changedAt: t.timestamptz(),
    },
  })
  .from(web.customers, r => ({
    customerId: r.id,
    name: r.name,
    email: r.email,
    city: r.city,
    grade: r.grade,
    changedAt: r.updated_at,
  }))
  .match(erp.cust, r => ({ name: r.nm, city: r.city.upper() }), {
    compare: { name: ['name', 'city'] },
    support: ['city'],
    threshold: 0.7,
    where: r => r.no.gt(0),
  })
  .rules({ email: rule.pattern(/@/).warn() })
  .conflicts({ '*': prefer.first('web', 'erp'), city: prefer.latest('changedAt') })

const orderLine = ods
  .entity('order_line', {
    key: ['orderNo', 'lineNo'],
    columns: {
      orderNo: t.text(),
      lineNo: t.int(),
      customerId: t.int().null(),
      sku: t.text().null(),
      qty: t.int(),
      amount: t.decimal(14, 4),
      status: t.enum('new', 'paid', 'sent'),
      orderedAt: t.timestamptz(),
      orderedOn: t.date(),
      size: t.enum('small', 'large'),
    },
  })
  .from(
    web.orders,
    r => ({
      orderNo: r.order_no,
      lineNo: r.line_no,
      customerId: r.cust_id,
      sku: r.sku,
      qty: r.qty.add(r.qty_free.ifNull(0)).as(t.int()),
      amount: r.price.multiply(r.qty).round(4),
      status: r.status,
      orderedAt: r.created_at,
      orderedOn: r.created_at.inZone('Asia/Seoul').date(),
      size: when(r.qty.gt(100)).then('large').otherwise('small'),
    }),
    { where: r => r.status.ne('new').or(r.qty.ge(1)) },
  )
  .from(erp.ord, r => ({
    orderNo: r.ordno.trim(),
    lineNo: r.lin,
    customerId: r.cust,
    sku: none,
    qty: r.lin.abs().as(t.int()),
    amount: r.amt,
    status: r.stat.map({ N: 'new', P: 'paid', S: 'sent' }),
    orderedAt: r.upd_ts.inZone('Asia/Seoul'),
    orderedOn: r.upd_ts.date(),
    size: r.stat.map({ L: 'large' }, 'null').ifNull('large').map({ large: 'small' }),
  }))
  .from(
    partner.orders,
    r => ({
      orderNo: r.no,
      lineNo: r.line,
      customerId: r.cust,
      sku: r.item.upper(),
      qty: r.qty.as(t.int()),
      amount: r.amount.add('0.50').divide(3).ifNull('0').round(2),
      status: r.state.map({ open: 'new', done: 'sent' }),
      orderedAt: r.at.inZone('Asia/Seoul'),
      orderedOn: r.at.date(),
      size: when(r.amount.lt('9.99')).then('small').otherwise('large'),
    }),
    { as: 'files' },
  )
  .rules({
    qty: [rule.range(1, 10_000).limit('1%'), rule.required().block()],
    amount: rule.range('0.00', null),
    orderedAt: rule.range('1990-01-01', null),
    sku: [rule.ref(product), rule.ref(web.products)],
    status: rule.oneOf('new', 'paid').warn(),
    '*': e => [rule.unique(e.orderNo, e.lineNo), rule.check(e.qty.gt(0).or(e.amount.eq(0))).quarantine()],
  })
  .cleanse({ sku: e => e.sku.trim().upper(), orderNo: e => e.orderNo.normalize() })
  .conflicts({ '*': prefer.first('web', 'erp', 'files'), amount: prefer.agree('quarantine') })

const x = {
  customer: ods.export('customer', customer, {
    mask: { name: mask.drop(), email: mask.hash(env('MASK_KEY')), city: mask.redact() },
    where: e => e.grade.ne('C'),
  }),
  orderLine: ods.export('order_line', orderLine),
  product: ods.export('product', product, { mask: { categoryId: mask.bucket(10) } }),
}

const date = dw.calendar('date')
const dProduct = dw.dimension('product', x.product, {})
const dCustomer = dw.dimension('customer', x.customer, {
  type2: ['grade', 'city'],
  validFrom: 'changedAt',
  onDelete: 'close',
})
const dLine = dw.dimension('order_line', x.orderLine)
const sales = dw.fact('sales', x.orderLine, {
  grain: ['orderNo', 'lineNo'],
  at: 'orderedAt',
  dims: {
    customer: dCustomer.by('customerId'),
    payer: dCustomer.by('customerId'),
    product: dProduct.by('sku'),
    line: dLine.by('orderNo', 'lineNo'),
    date: date.by('orderedOn'),
  },
})
const changes = dw.fact('change', x.customer, { grain: 'customerId', at: 'changedAt', dims: {} })
const monthly = dw.summary('sales_by_grade', sales, {
  by: f => ({ month: f.date.month, grade: f.customer.grade, title: f.product.title, year: f.orderedAt.year() }),
  get: f => ({
    revenue: f.amount.sum(),
    pieces: f.qty.sum(),
    mean: f.qty.avg(),
    first: f.orderedAt.min(),
    buyers: f.payer.email.countDistinct(),
    rows: f.count(),
  }),
})

type Same<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false
type True<T extends true> = T
type Instant = RowOf<typeof customer>['changedAt']

/** Rows have exactly these types. */
export type Rows = [
  True<
    Same<
      RowOf<typeof monthly>,
      {
        readonly month: string | null
        readonly grade: 'A' | 'B' | 'C' | null
        readonly title: string | null
        readonly year: number
        readonly revenue: Decimal
        readonly pieces: bigint
        readonly mean: number
        readonly first: Instant
        readonly buyers: bigint
        readonly rows: bigint
      }
    >
  >,
  True<
    Same<
      RowOf<typeof x.customer>,
      {
        readonly customerId: number
        readonly email: string | null
        readonly city: string
        readonly grade: 'A' | 'B' | 'C'
        readonly changedAt: Instant
      }
    >
  >,
  True<Same<RowOf<typeof x.product>['categoryId'], bigint>>,
]

export default defineConfig({
  engine: duckdb({ path: 'shop.duckdb' }),
  models: { monthly, changes },
})

/** Every technique, as its sources have it. */
export const techniques = [
  pg('a', {
    url: env('URL'),
    schema: changing,
    every: '30s',
    changes: {
      doc: { technique: 'status', column: 'state', pending: 'new', done: 'seen', deletes: { sweep: '1d' } },
      '*': { technique: 'log', start: 'now' },
    },
  }),
  pg('b', {
    url: env('URL'),
    schema: changing,
    changes: { doc: { technique: 'version', column: 'rev', overlap: 1000n, deletes: 'keep' } },
  }),
  mysql('c', {
    url: env('URL'),
    schema: changing,
    changes: {
      doc: { technique: 'status', column: 'sent', pending: false, done: true, deletes: 'keep', start: 'now' },
      '*': { technique: 'trigger' },
    },
  }),
  mysql('d', { url: env('URL'), schema: changing, changes: { '*': { technique: 'log' } } }),
  sqlite('e', {
    path: 'x',
    schema: changing,
    changes: {
      doc: {
        technique: 'combined',
        version: { column: 'rev' },
        status: { column: 'mark', pending: 0 },
        deletes: { sweep: '1h' },
      },
    },
  }),
  odbc('f', {
    dsn: env('URL'),
    schema: changing,
    changes: {
      doc: {
        technique: 'combined',
        timestamp: { column: 'at', lag: '1m' },
        version: { column: 'mark', overlap: 10 },
        status: { column: 'body', pending: 'x' },
        deletes: 'keep',
      },
      '*': { technique: 'version', column: 'rev', overlap: 5, deletes: 'keep' },
    },
  }),
  cassandra('g', {
    url: env('URL'),
    schema: changing,
    changes: { doc: { technique: 'version', column: 'rev', overlap: 5, deletes: 'keep' } },
  }),
  pg('h', {
    url: env('URL'),
    schema: changing,
    changes: { '*': { technique: 'status', column: 'sent', pending: false, done: true, deletes: 'keep' } },
  }),
  pg('i', {
    url: env('URL'),
    schema: changing,
    changes: {
      '*': { technique: 'combined', version: { column: 'rev' }, timestamp: { column: 'at' }, deletes: 'keep' },
    },
  }),
]
