import { t } from 'naru'

export const shop = {
  orders: {
    key: ['order_no', 'line_no'],
    columns: {
      order_no: t.text(),
      line_no: t.int(),
      cust_id: t.int(),
      sku: t.text(),
      qty: t.int(),
      qty_free: t.int().null(),
      price: t.decimal(12, 2),
      weight: t.float(),
      status: t.enum('new', 'paid', 'sent'),
      created_at: t.timestamptz(),
      due: t.timestamp(),
    },
  },
  customers: {
    key: ['id'],
    columns: {
      id: t.int(),
      name: t.text().pii(),
      email: t.text().null().pii(),
      city: t.text(),
      grade: t.enum('A', 'B', 'C'),
      updated_at: t.timestamptz(),
    },
  },
  products: { key: ['sku'], columns: { sku: t.text(), title: t.text(), cat_id: t.int() } },
} as const

export const legacy = {
  ord: {
    key: ['ordno', 'lin'],
    columns: {
      ordno: t.text(),
      lin: t.int(),
      cust: t.int(),
      stat: t.text(),
      amt: t.decimal(12, 4),
      upd_ts: t.timestamp(),
    },
  },
  cust: { key: ['no'], columns: { no: t.int(), nm: t.text(), city: t.text(), changed: t.timestamp() } },
} as const

/** Columns of every kind that a change technique goes by. */
export const changing = {
  doc: {
    key: ['id'],
    columns: {
      id: t.int(),
      body: t.text().null(),
      rev: t.big(),
      state: t.enum('new', 'seen'),
      sent: t.bool(),
      mark: t.small(),
      at: t.timestamptz(),
    },
  },
  note: { key: ['id'], columns: { id: t.uuid(), size: t.decimal(9, 2) } },
} as const
