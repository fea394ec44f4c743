import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { rawSql, sql } from '../core/sql.ts'
import type { StageContext } from '../run/context.ts'
import {
  airport,
  airportRow,
  day,
  delays,
  flight,
  flightExport,
  flightRow,
  gone,
  loadStar,
} from './flights.test.support.ts'
import { loadFact } from './fact.ts'
import { openStar, type ExportedRow, type Star } from './star.test.support.ts'
import { refreshSummary } from './summary.ts'

const parts = { definition: delays, fact: flight, dimensions: [airport, day] }

describe('a summary', () => {
  let star: Star
  let run: number
  beforeEach(async () => {
    star = await openStar([airport, day], [flight])
    run = 0
  })
  afterEach(() => star.engine.close())

  function load(airports: readonly ExportedRow[], flights: readonly ExportedRow[]) {
    run += 1
    return star.publish({ run, day: 100 + run }, ctx => loadStar(ctx, airports, flights))
  }

  const groups = `select month, city, grade, flights, delay_sum, delay_avg, fare_sum, destinations, _run
    from mart.delays order by all`

  it('holds exact aggregates of the right types, with the unknown member as a group of its own', async () => {
    await load(
      [airportRow('ICN', 'A', 'Incheon', 0)],
      [flightRow(1, 0, 'ICN', 'ICN', 5), flightRow(2, 1, 'ICN', 'XXX', 6), flightRow(3, 1, 'XXX', 'ICN', null)],
    )
    expect(await star.query(groups)).toEqual([
      {
        month: '2001-01',
        city: 'Incheon',
        grade: 'A',
        flights: 2n,
        delay_sum: 11n,
        delay_avg: 5.5,
        fare_sum: '3.50',
        destinations: 1n,
        _run: 1n,
      },
      {
        month: '2001-01',
        city: null,
        grade: null,
        flights: 1n,
        delay_sum: null,
        delay_avg: null,
        fare_sum: '3.25',
        destinations: 1n,
        _run: 1n,
      },
    ])
  })

  it('writes only the groups that a change touches, also the one that a fact left', async () => {
    await load(
      [airportRow('ICN', 'A', 'Incheon', 0), airportRow('PUS', 'A', 'Busan', 0)],
      [flightRow(1, 0, 'ICN', 'PUS'), flightRow(2, 0, 'PUS', 'ICN'), flightRow(3, 40, 'PUS', 'ICN')],
    )
    const { summary } = await load([], [flightRow(2, 0, 'ICN', 'PUS')])
    expect(summary).toMatchObject({ inserted: 0, updated: 1, deleted: 1 })
    const rows = await star.query('select month, city, flights, _run as r from mart.delays order by 1')
    expect(rows).toEqual([
      { month: '2001-01', city: 'Incheon', flights: 2n, r: 2n },
      { month: '2001-02', city: 'Busan', flights: 1n, r: 1n },
    ])
  })

  it('follows an attribute that was overwritten, though no fact changed', async () => {
    await load([airportRow('ICN', 'A', 'Incheon', 0)], [flightRow(1, 0, 'ICN', 'ICN')])
    const { fact, summary } = await load([airportRow('ICN', 'A', 'Seoul', 0)], [])
    expect(fact).toMatchObject({ inserted: 0, updated: 0, relabelled: ['origin', 'destination'] })
    expect(summary).toMatchObject({ inserted: 1, updated: 0, deleted: 1 })
    expect(await star.query('select city from mart.delays')).toEqual([{ city: 'Seoul' }])
  })

  it('an integer sum that does not fit is an error, never a wrong number', async () => {
    await load([], [flightRow(1, 0, null, null)])
    const wide = {
      ...parts,
      definition: {
        ...delays,
        get: [
          {
            column: 'n',
            aggregate: 'sum' as const,
            of: {
              role: null,
              expr: {
                kind: 'literal' as const,
                value: 9_223_372_036_854_775_807n,
                type: { kind: 'int', bits: 64 } as const,
              },
            },
          },
        ],
      },
    }
    await load([], [flightRow(2, 0, null, null)])
    const refresh = star.publish({ run: 9, day: 1 }, ctx =>
      refreshSummary(ctx, {
        ...wide,
        rebuild: true,
        changes: {
          table: { kind: 'ident', path: [] },
          scope: 'all',
          keys: null,
          inserted: 2,
          updated: 0,
          deleted: 0,
          before: null,
          after: null,
          relabelled: [],
        },
      }),
    )
    await expect(refresh).rejects.toMatchObject({ code: 'ENGINE_SQL' })
  })

  it('M79: any series of changes gives the fact and the summary of a full rebuild', async () => {
    const code = fc.constantFrom('a', 'b', 'c')
    const airports = fc.record({
      code,
      grade: fc.constantFrom('A', 'B'),
      city: fc.constantFrom('x', 'y'),
      since: fc.nat(60),
      gone: fc.boolean(),
    })
    const flights = fc.record({
      id: fc.nat(7),
      at: fc.option(fc.nat(60)),
      origin: fc.option(fc.constantFrom('a', 'b', 'c', 'unknown')),
      destination: code,
      delay: fc.option(fc.nat(50)),
      gone: fc.boolean(),
    })
    const load = fc.record({
      airports: fc.uniqueArray(airports, { selector: row => row.code, maxLength: 3 }),
      flights: fc.uniqueArray(flights, { selector: row => row.id, maxLength: 6 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(load, { minLength: 1, maxLength: 5 }), async loads => {
        const fresh = await openStar([airport, day], [flight])
        try {
          for (const [i, given] of loads.entries()) {
            await fresh.publish({ run: i + 1, day: i * 10 }, ctx =>
              loadStar(
                ctx,
                [
                  airportRow('anchor', 'A', 'x', 0),
                  ...given.airports.map(row =>
                    row.gone ? gone(row.code) : airportRow(row.code, row.grade, row.city, row.since),
                  ),
                ],
                given.flights.map(row =>
                  row.gone ? gone(row.id) : flightRow(row.id, row.at, row.origin, row.destination, row.delay),
                ),
              ),
            )
          }
          await fresh.publish({ run: 99, day: 99 }, assertLikeRebuild)
        } finally {
          await fresh.engine.close()
        }
      }),
      { numRuns: 25 },
    )
  })
})

async function assertLikeRebuild(ctx: StageContext): Promise<void> {
  const { tx } = ctx
  await tx.execute(sql`create table dw.fact_kept as select * exclude (_run) from dw.fact_flight`)
  await tx.execute(sql`create table mart.kept as select * exclude (_run) from mart.delays`)
  await tx.execute(sql`drop table dw.fact_flight`)
  await tx.execute(sql`drop table mart.delays`)
  const [row] = await tx.rows(sql`select count(*) as n from export.flight_x`)
  const all = { table: { kind: 'ident' as const, path: ['export', 'flight_x'] }, scope: 'all' as const, keys: null }
  const changes = await loadFact(ctx, {
    definition: flight,
    exportDef: flightExport,
    changes: { ...all, inserted: Number(row?.['n']), updated: 0, deleted: 0 },
    dimensions: [],
  })
  await refreshSummary(ctx, { ...parts, changes })
  for (const [table, kept] of [
    ['dw.fact_flight', 'dw.fact_kept'],
    ['mart.delays', 'mart.kept'],
  ]) {
    const differing = await tx.rows(
      rawSql(`
      (select 'missing' as what, * from (select * exclude (_run) from ${table} except all select * from ${kept}))
      union all (select 'too much', * from (select * from ${kept} except all select * exclude (_run) from ${table}))`),
    )
    expect(differing).toEqual([])
  }
}
