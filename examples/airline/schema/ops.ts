// The tables of source "ops", written by `naru pull ops`, which renews this file.
// Two things added by hand stay: .pii() on columns with personal data, and the key of a table that has none.
import { t } from 'naru'

export const opsSchema = {
  airport_code: {
    key: ['code'],
    columns: {
      code: t.text(), // text
    },
  },
  flight: {
    key: ['flight_id'],
    columns: {
      flight_id: t.int(), // integer
      date: t.timestamp(), // timestamp without time zone
      delay: t.int(), // integer
      distance: t.int(), // integer
      origin: t.text(), // text
      destination: t.text(), // text
      updated_at: t.timestamptz(), // timestamp with time zone
    },
  },
} as const
