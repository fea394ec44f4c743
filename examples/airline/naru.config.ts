import { defineConfig, duckdb, dw, env, files, mask, ods, pg, prefer, rule, sqlite, t, type RowOf } from 'naru'
import { opsSchema } from './schema/ops.ts'
import { safetySchema } from './schema/safety.ts'
import { stateCodes } from './states.ts'

// Three sources: where they are, and how their changes are seen.
const ops = pg('ops', {
  url: env('OPS_URL'),
  schema: opsSchema,
  // A timestamp cannot show a delete, so say what becomes of them: once a day the keys are compared.
  changes: { flight: { technique: 'timestamp', column: 'updated_at', deletes: { sweep: '1d' } } },
})
const safety = sqlite('safety', { path: 'sources/safety.sqlite', schema: safetySchema })
const partner = files('partner', {
  url: env('PARTNER_URL'),
  tables: {
    airports: {
      glob: 'airports*.csv',
      key: 'iata',
      scope: 'full',
      checksum: 'md5-sidecar',
      columns: {
        iata: t.text(),
        name: t.text(),
        city: t.text(),
        state: t.text(),
        country: t.text(),
        latitude: t.float(),
        longitude: t.float(),
      },
    },
  },
})

// The real things, each with its key. Row functions run once and become SQL.
const airport = ods
  .entity('airport', {
    key: 'iata',
    columns: {
      iata: t.text(),
      name: t.text(),
      city: t.text().null(),
      state: t.text().null(),
      country: t.text(),
      latitude: t.float(),
      longitude: t.float(),
    },
  })
  .from(partner.airports, r => ({ ...r }))
  // The safety office knows airports only by name, and spells them its own way.
  .match(safety.strike, r => ({ name: r.airport_name, state: r.origin_state }), {
    compare: { name: ['name', 'city'] },
    support: ['state'],
  })
  .rules({
    iata: rule.pattern(/^[A-Z0-9]{3,4}$/),
    latitude: rule.range(-90, 90),
    longitude: rule.range(-180, 180),
    state: rule.pattern(/^[A-Z]{2}$/).warn(),
  })
  .cleanse({
    name: e => e.name.normalize(),
    city: e => e.city.map({ NA: null }, 'keep').normalize(),
    state: e => e.state.map(stateCodes, 'keep'),
  })
  .conflicts({ '*': prefer.first('partner', 'safety'), name: prefer.longest() })

const flight = ods
  .entity('flight', {
    key: 'flight_id',
    columns: {
      flight_id: t.int(),
      date: t.timestamp(),
      delay: t.int(),
      distance: t.int(),
      origin: t.text(),
      destination: t.text(),
    },
  })
  .from(ops.flight, r => ({
    flight_id: r.flight_id,
    date: r.date,
    delay: r.delay,
    distance: r.distance,
    origin: r.origin,
    destination: r.destination,
  }))
  .rules({
    delay: rule.range(-180, 2880).limit('0.1%'),
    distance: rule.range(1, 10_000),
    origin: [rule.ref(ops.airport_code), rule.ref(airport)],
    destination: [rule.ref(ops.airport_code), rule.ref(airport)],
    '*': e => rule.unique(e.date, e.origin, e.destination, e.delay, e.distance).warn(),
  })

const strike = ods
  .entity('strike', {
    key: 'strike_id',
    columns: {
      strike_id: t.big(),
      airport: t.text().null(),
      airport_name: t.text().null(),
      origin_state: t.text().null(),
      flight_date: t.date().null(),
      aircraft_model: t.text().null(),
      operator: t.text().null().pii(),
      damage: t.text().null(),
      phase_of_flight: t.text().null(),
      time_of_day: t.text().null(),
      wildlife_size: t.text().null(),
      wildlife_species: t.text().null(),
      cost_repair: t.big().null(),
      cost_other: t.big().null(),
      cost_total: t.big().null(),
      speed_knots: t.int().null(),
    },
  })
  .from(safety.strike, r => ({
    ...r,
    airport: airport.resolve('safety', r),
    flight_date: r.flight_date.as(t.date()),
    speed_knots: r.speed_knots.as(t.int()),
  }))
  .rules({
    airport: rule.ref(airport),
    damage: rule.oneOf('None', 'Minor', 'Medium', 'Substantial').warn(),
    wildlife_size: rule.oneOf('Small', 'Medium', 'Large'),
    speed_knots: rule.range(0, 600),
    flight_date: rule.range('1990-01-01', null),
    '*': e => rule.check(e.cost_total.eq(e.cost_repair.add(e.cost_other))).warn(),
  })
  .cleanse({
    airport_name: e => e.airport_name.normalize(),
    origin_state: e => e.origin_state.map(stateCodes, 'keep'),
    wildlife_species: e => e.wildlife_species.normalize(),
  })

// What may leave: personal data only masked, or this file does not compile.
const x = {
  airport: ods.export('airport', airport),
  flight: ods.export('flight', flight),
  strike: ods.export('strike', strike, { mask: { operator: mask.hash(env('MASK_KEY')) } }),
}

// The star.
const date = dw.calendar('date')
const dAirport = dw.dimension('airport', x.airport, { type2: ['name', 'city', 'state'] })
const flights = dw.fact('flight', x.flight, {
  grain: 'flight_id',
  at: 'date',
  dims: { origin: dAirport.by('origin'), destination: dAirport.by('destination'), date: date.by('date') },
})
const strikes = dw.fact('strike', x.strike, {
  grain: 'strike_id',
  at: 'flight_date',
  dims: { airport: dAirport.by('airport'), date: date.by('flight_date') },
})
const delays = dw.summary('delay_by_month_origin', flights, {
  by: f => ({ month: f.date.month, origin: f.origin.iata }),
  get: f => ({ flights: f.count(), delay_sum: f.delay.sum(), delay_avg: f.delay.avg(), delay_max: f.delay.max() }),
})

/** What a web application imports: `{ month: string | null, origin: string | null, flights: bigint, ... }` */
export type Delays = RowOf<typeof delays>

export default defineConfig({
  name: 'airline',
  engine: duckdb({ path: 'airline.duckdb' }),
  models: { delays, strikes },
})
