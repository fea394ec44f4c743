// The tables of source "safety", written by `naru pull safety`, which renews this file.
// Two things added by hand stay: .pii() on columns with personal data, and the key of a table that has none.
import { t } from 'naru'

export const safetySchema = {
  strike: {
    key: ['strike_id'],
    columns: {
      strike_id: t.big(), // integer
      airport_name: t.text().null(), // text
      aircraft_model: t.text().null(), // text
      damage: t.text().null(), // text
      flight_date: t.text().null(), // text
      operator: t.text().null().pii(), // text
      origin_state: t.text().null(), // text
      phase_of_flight: t.text().null(), // text
      wildlife_size: t.text().null(), // text
      wildlife_species: t.text().null(), // text
      time_of_day: t.text().null(), // text
      cost_other: t.big().null(), // integer
      cost_repair: t.big().null(), // integer
      cost_total: t.big().null(), // integer
      speed_knots: t.big().null(), // integer
    },
  },
} as const
