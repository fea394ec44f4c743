import { defineConfig, duckdb, dw, files, mask, ods, rule, t } from 'naru'

// Columns with their types. `pii` is personal data.
const productColumns = { sku: t.text(), name: t.text(), category: t.text() }
const orderColumns = {
  order_id: t.int(),
  day: t.date(),
  sku: t.text(),
  quantity: t.int(),
  price: t.decimal(9, 2),
  country: t.text(),
  email: t.text().pii(),
}

// Where data is made: a folder that somebody drops CSV files into. A `full` file is the whole table; a `delta` file
// adds rows, or replaces them by key.
const shop = files('shop', {
  folder: 'data',
  tables: {
    products: { glob: 'products*.csv', key: 'sku', scope: 'full', columns: productColumns },
    orders: { glob: 'orders*.csv', key: 'order_id', scope: 'delta', columns: orderColumns },
  },
})

// The things of the business, each with its key. Row functions run once and become SQL.
const product = ods.entity('product', { key: 'sku', columns: productColumns }).from(shop.products, r => ({ ...r }))
const sale = ods
  .entity('sale', { key: 'order_id', columns: { ...orderColumns, amount: t.decimal(12, 2) } })
  .from(shop.orders, r => ({ ...r, amount: r.price.multiply(r.quantity) }))
  // Repairs: each changed cell is on record.
  .cleanse({ country: e => e.country.trim().upper(), email: e => e.email.trim().lower() })
  // A row that breaks a rule waits in quarantine; with warn() it is only reported.
  .rules({
    sku: rule.ref(product),
    quantity: rule.range(1, 1000),
    country: rule.oneOf('DE', 'FR', 'KR'),
    email: rule.pattern(/@/).warn(),
  })

// What may leave. Without the mask this file would not compile.
const products = ods.export('product', product)
const sales = ods.export('sale', sale, { mask: { email: mask.redact() } })

// The star: a dimension that keeps its history, a calendar, the facts, and a summary for people to query.
const dProduct = dw.dimension('product', products, { type2: ['category'] })
const fSale = dw.fact('sale', sales, {
  grain: 'order_id',
  at: 'day',
  dims: { product: dProduct.by('sku'), date: dw.calendar('date').by('day') },
})
const perMonth = dw.summary('sales_by_month', fSale, {
  by: f => ({ month: f.date.month, category: f.product.category }),
  get: f => ({ orders: f.count(), quantity: f.quantity.sum(), amount: f.amount.sum() }),
})

export default defineConfig({ name: 'shop', engine: duckdb({ path: 'shop.duckdb' }), models: { perMonth } })
