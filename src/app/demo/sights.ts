import type { Clock } from '../../core/env.ts'
import { rawSql } from '../../core/sql.ts'
import type { Engine, Transaction } from '../../services/engine/contract.ts'
import { percentilesOf, type Percentiles } from '../percentiles.ts'

/** A change that was committed at the source, by what must be seen of it. */
export interface Expected {
  readonly flight: number | null
  /** `null` when the flight is gone. */
  readonly delay: number | null
  readonly airport: string | null
}

/** Waits for changes to be visible in the ODS and in the warehouse, and measures how long that took. */
export interface Sights {
  /** Called when the change is committed at the source: its time begins. */
  expect(change: Expected): void
  /** Called when there may be something new to see. */
  look(): void
  /** Flights whose last change is not visible everywhere. */
  flights(): ReadonlySet<number>
  /** Changes that are not visible everywhere. Throws what a reading failed with. */
  waiting(): number
  /** How long the new airport took, which comes by a file and not by the log; `null` until it is there. */
  airportMs(): number | null
  /** The longest of what became visible since it was asked last. */
  takeLongest(): { readonly odsMs: number | null; readonly martMs: number | null }
  figures(): { readonly odsMs: Percentiles | null; readonly martMs: Percentiles | null }
  /** Resolves when nothing is being read. */
  idle(): Promise<void>
}

interface Pending {
  readonly change: Expected
  readonly sinceMs: number
  isInOds: boolean
}

/** Reads only when it is called, so that watching costs the session little. */
export function makeSights(engine: Pick<Engine, 'read'>, clock: Pick<Clock, 'monotonicMs'>): Sights {
  let pending: Pending[] = []
  let airportMs: number | null = null
  const figures = { ods: [] as number[], mart: [] as number[] }
  let last = { ods: 0, mart: 0 }
  let reading: Promise<void> | null = null
  let isAgain = false
  let failed: unknown

  const see = async (): Promise<void> => {
    const asked = pending
    if (asked.length === 0) return
    const seen = await engine.read(new AbortController().signal, tx => sightOf(tx, asked))
    const nowMs = clock.monotonicMs()
    for (const it of asked) {
      if (!it.isInOds && isSeen(it.change, seen.ods)) {
        it.isInOds = true
        if (it.change.airport === null) figures.ods.push(nowMs - it.sinceMs)
      }
      if (!it.isInOds || !isSeen(it.change, seen.mart)) continue
      pending = pending.filter(other => other !== it)
      if (it.change.airport === null) figures.mart.push(nowMs - it.sinceMs)
      else airportMs = nowMs - it.sinceMs
    }
  }
  const look = (): void => {
    isAgain = true
    if (reading !== null) return
    reading = (async () => {
      while (isAgain) {
        isAgain = false
        await see()
      }
    })()
      .catch((error: unknown) => void (failed ??= error))
      .finally(() => (reading = null))
  }
  const longestSince = (all: readonly number[], from: number): number | null =>
    all.length === from ? null : Math.max(...all.slice(from))
  return {
    expect: change => {
      pending = [...pending, { change, sinceMs: clock.monotonicMs(), isInOds: false }]
      look()
    },
    look,
    flights: () => new Set(pending.flatMap(({ change }) => change.flight ?? [])),
    waiting: () => {
      if (failed !== undefined) throw failed
      return pending.length
    },
    airportMs: () => airportMs,
    takeLongest: () => {
      const longest = { odsMs: longestSince(figures.ods, last.ods), martMs: longestSince(figures.mart, last.mart) }
      last = { ods: figures.ods.length, mart: figures.mart.length }
      return longest
    },
    figures: () => ({ odsMs: percentilesOf(figures.ods), martMs: percentilesOf(figures.mart) }),
    idle: async () => void (await reading),
  }
}

/** Delays of the flights that are there, and the airports. */
interface Sight {
  readonly flights: ReadonlyMap<number, number>
  readonly airports: ReadonlySet<string>
}

function isSeen({ flight, delay, airport }: Expected, { flights, airports }: Sight): boolean {
  if (airport !== null) return airports.has(airport)
  return flight !== null && (flights.get(flight) ?? null) === delay
}

async function sightOf(
  tx: Transaction,
  pending: readonly Pending[],
): Promise<{ readonly ods: Sight; readonly mart: Sight }> {
  const ids = pending.flatMap(({ change }) => change.flight ?? [])
  const codes = pending.flatMap(({ change }) => change.airport ?? [])
  const sight = async (flightTable: string, airportTable: string): Promise<Sight> => {
    const rows =
      ids.length === 0
        ? []
        : await tx.rows(rawSql(`select flight_id, delay from ${flightTable} where flight_id in (${ids.join(', ')})`))
    const found =
      codes.length === 0
        ? []
        : await tx.rows(
            rawSql(`select iata from ${airportTable} where iata in (${codes.map(code => `'${code}'`).join(', ')})`),
          )
    return {
      flights: new Map(rows.map(row => [Number(row['flight_id']), Number(row['delay'])])),
      airports: new Set(found.map(row => String(row['iata']))),
    }
  }
  return {
    ods: await sight('ods.flight', 'ods.airport'),
    mart: await sight('dw.fact_flight', 'dw.dim_airport'),
  }
}
