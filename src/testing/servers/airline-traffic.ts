import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { Client } from 'pg'

/** One change that was committed at the source. A flight or an airport is named by what must be seen of it. */
export interface TrafficChange {
  readonly kind: 'delayed' | 'cancelled' | 'added' | 'airport'
  readonly flight: number | null
  /** What the flight's delay is now; `null` when the flight is gone. */
  readonly delay: number | null
  readonly airport: string | null
}

/** An airline at work on its own source systems. */
export interface Traffic {
  /** Where the weather is bad, and the month whose flights it changes: `2001-06`. */
  readonly storm: { readonly origin: string; readonly month: string }
  /** Makes the next change in a transaction of its own. Flights in `busy` are left alone. */
  next(busy: ReadonlySet<number>): Promise<TrafficChange>
  /** From now on flights leave from the airport that the partner announced. */
  openAirport(): void
  /** What the source holds. */
  totals(): Promise<{ readonly flights: bigint; readonly delays: bigint }>
  close(): Promise<void>
}

/** The airport that comes into being while the demo runs. */
const newAirport = { code: 'NARU', row: 'NARU,Naru Ferry Landing,Naru,AK,USA,61.2,-149.9' }
/** A place of this size is small enough to be moved up in a ranking, and large enough to stay in it. */
const stormFlights = 60
/** A flight's longest delay by the rules of the example, and some room below it. */
const delayMax = 2_700
/** Of so many changes one makes a flight and one takes one away; the rest are delays. */
const round = 6

/** Connects to the operations database; `drop` is the partner's folder. */
export async function startTraffic(url: string, drop: string): Promise<Traffic> {
  const client = new Client(url)
  await client.connect()
  try {
    return await trafficOf(client, drop)
  } catch (error) {
    await client.end()
    throw error
  }
}

async function trafficOf(client: Client, drop: string): Promise<Traffic> {
  const storm = await stormOf(client)
  const flights = await flightsOf(client, storm)
  let made = 0
  let origin = storm.origin
  // Wherever the walk through them is: the next one that is free.
  const pick = (busy: ReadonlySet<number>): number | undefined => {
    const from = made % flights.length
    return [...flights.slice(from), ...flights.slice(0, from)].find(id => !busy.has(id))
  }
  return {
    storm,
    next: async busy => {
      made += 1
      if (made === round) return announce(client, drop)
      const flight = pick(busy)
      if (made % round === 2 || flight === undefined) return add(client, { flight: flights[0] ?? 0, origin })
      if (made % round === 4 && flights.length > round) {
        flights.splice(flights.indexOf(flight), 1)
        return cancel(client, flight)
      }
      return delay(client, flight, 45 + ((made * 37) % 90))
    },
    openAirport: () => void (origin = newAirport.code),
    totals: async () => {
      const { rows } = await client.query<{ flights: string; delays: string }>(
        'select count(*) as flights, coalesce(sum(delay), 0) as delays from flight',
      )
      return { flights: BigInt(rows[0]?.flights ?? 0), delays: BigInt(rows[0]?.delays ?? 0) }
    },
    close: () => client.end(),
  }
}

async function stormOf(client: Client): Promise<Traffic['storm']> {
  const { rows } = await client.query<{ origin: string; month: string }>(
    `select origin, to_char(date, 'YYYY-MM') as month from flight
     where to_char(date, 'YYYY-MM') = (select to_char(max(date) - interval '15 days', 'YYYY-MM') from flight)
     group by 1, 2 order by abs(count(*) - $1), 1 limit 1`,
    [stormFlights],
  )
  return rows[0] ?? { origin: '', month: '' }
}

async function flightsOf(client: Client, storm: Traffic['storm']): Promise<number[]> {
  const { rows } = await client.query<{ flight_id: number }>(
    `select flight_id from flight where origin = $1 and to_char(date, 'YYYY-MM') = $2 order by flight_id`,
    [storm.origin, storm.month],
  )
  return rows.map(row => row.flight_id)
}

async function delay(client: Client, flight: number, minutes: number): Promise<TrafficChange> {
  const { rows } = await client.query<{ delay: number }>(
    'update flight set delay = least(delay + $2, $3), updated_at = clock_timestamp() where flight_id = $1 returning delay',
    [flight, minutes, delayMax],
  )
  return { kind: 'delayed', flight, delay: rows[0]?.delay ?? null, airport: null }
}

async function cancel(client: Client, flight: number): Promise<TrafficChange> {
  await client.query('delete from flight where flight_id = $1', [flight])
  return { kind: 'cancelled', flight, delay: null, airport: null }
}

/** An extra flight like another one, a while later. */
async function add(
  client: Client,
  model: { readonly flight: number; readonly origin: string },
): Promise<TrafficChange> {
  const { rows } = await client.query<{ flight_id: number; delay: number }>(
    `insert into flight
     select (select max(flight_id) + 1 from flight), date_trunc('month', date) + random() * interval '27 days',
       delay, distance, $2, destination, clock_timestamp()
     from flight where flight_id = $1 returning flight_id, delay`,
    [model.flight, model.origin],
  )
  return { kind: 'added', flight: rows[0]?.flight_id ?? null, delay: rows[0]?.delay ?? null, airport: null }
}

/** A code in the operations database, and a new list of the partner, complete once its check sum lies beside it. */
async function announce(client: Client, drop: string): Promise<TrafficChange> {
  await client.query('insert into airport_code values ($1) on conflict do nothing', [newAirport.code])
  const before = await fs.readFile(path.join(drop, 'airports.csv'), 'utf8')
  const text = `${before.trimEnd()}\n${newAirport.row}\n`
  const name = 'airports_3.csv'
  await fs.writeFile(path.join(drop, name), text)
  const md5 = createHash('md5').update(text).digest('hex')
  await fs.writeFile(path.join(drop, `${name}.md5`), `${md5}  ${name}\n`)
  return { kind: 'airport', flight: null, delay: null, airport: newAirport.code }
}
