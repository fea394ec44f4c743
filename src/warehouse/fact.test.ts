import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sql } from '../core/sql.ts'
import { airport, airportExport, airportRow, day, flight, flightRow, gone, loadStar } from './flights.test.support.ts'
import { changeExport, column, int, openStar, timestamp, type ExportedRow, type Star } from './star.test.support.ts'
import { loadDimension } from './dimension.ts'
import { loadFact } from './fact.ts'
import type { HistoryDimensionDef } from './tables.ts'

describe('a fact', () => {
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

  async function facts(): Promise<readonly string[]> {
    const rows = await star.query(`
      select concat_ws(' ', id, origin_key, destination_key, date_key, delay) as line from dw.fact_flight order by id`)
    return rows.map(row => String(row['line']))
  }

  it('M71: joins the version that is valid at the event time, half-open', async () => {
    await load(
      [airportRow('ICN', 'A', 'Incheon', 0), airportRow('PUS', 'A', 'Busan', 0)],
      [flightRow(1, 0, 'ICN', 'PUS')],
    )
    const { fact } = await load(
      [airportRow('ICN', 'B', 'Incheon', 10)],
      [flightRow(2, 9, 'ICN', 'PUS'), flightRow(3, 10, 'ICN', 'PUS'), flightRow(4, -900, 'ICN', 'PUS')],
    )
    expect(fact).toMatchObject({ scope: 'delta', inserted: 3, updated: 0, deleted: 0 })
    expect(await facts()).toEqual(['1 1 2 20010101 10', '2 1 2 20010110 10', '3 3 2 20010111 10', '4 1 2 19980716 10'])
  })

  it('M75: a missing key, an unknown member and a missing time join the unknown members', async () => {
    await load([airportRow('ICN', 'A', 'Incheon', 0)], [flightRow(1, 0, null, 'XXX'), flightRow(2, null, 'ICN', 'ICN')])
    expect(await facts()).toEqual(['1 0 0 20010101 10', '2 0 0 0 10'])
    expect(await star.query('select date, month from dw.dim_date where date_key = 0')).toEqual([
      { date: null, month: null },
    ])
  })

  it('M68: an early fact gets its member when it arrives, and only that fact is touched', async () => {
    await load([airportRow('ICN', 'A', 'Incheon', 0)], [flightRow(1, 0, 'ICN', 'PUS'), flightRow(2, 0, 'ICN', 'ICN')])
    const { fact } = await load([airportRow('PUS', 'A', 'Busan', 50)], [])
    expect(fact).toMatchObject({ inserted: 0, updated: 1, deleted: 0 })
    expect(await facts()).toEqual(['1 1 2 20010101 10', '2 1 1 20010101 10'])
    expect(
      await star.query('select id, destination_key as d, _op, _restated_run as r from dw.fact_flight__restated'),
    ).toEqual([{ id: 1, d: 0n, _op: 'u', r: 2n }])
  })

  it('facts within the range of a late version join it', async () => {
    await load([airportRow('ICN', 'A', 'Incheon', 0)], [flightRow(1, 5, 'ICN', 'ICN'), flightRow(2, 15, 'ICN', 'ICN')])
    await load([airportRow('ICN', 'C', 'Incheon', 20)], [])
    const { fact } = await load([airportRow('ICN', 'B', 'Incheon', 10)], [])
    expect(fact).toMatchObject({ inserted: 0, updated: 1, deleted: 0 })
    expect(await facts()).toEqual(['1 1 1 20010106 10', '2 3 3 20010116 10'])
  })

  it('M73: a changed and a deleted row are kept among the restated ones', async () => {
    await load([airportRow('ICN', 'A', 'Incheon', 0)], [flightRow(1, 0, 'ICN', 'ICN'), flightRow(2, 0, 'ICN', 'ICN')])
    await load([], [flightRow(1, 0, 'ICN', 'ICN', 99), gone(2)])
    expect(await facts()).toEqual(['1 1 1 20010101 99'])
    expect(
      await star.query('select id, delay, _run, _restated_run, _op from dw.fact_flight__restated order by id'),
    ).toEqual([
      { id: 1, delay: 10, _run: 1n, _restated_run: 2n, _op: 'u' },
      { id: 2, delay: 10, _run: 1n, _restated_run: 2n, _op: 'd' },
    ])
  })

  it('loading the same again moves nothing, as a change set or as a whole', async () => {
    const rows = [flightRow(1, 0, 'ICN', 'ICN'), flightRow(2, 0, 'ICN', 'XXX')]
    await load([airportRow('ICN', 'A', 'Incheon', 0)], rows)
    const { fact, summary } = await load([airportRow('ICN', 'A', 'Incheon', 0)], rows)
    expect(fact).toMatchObject({ keys: null, inserted: 0, updated: 0, deleted: 0 })
    expect(summary).toMatchObject({ inserted: 0, updated: 0, deleted: 0 })
    expect(await star.query('select count(*) as n from dw.fact_flight where _run > 1')).toEqual([{ n: 0n }])
  })

  it('the calendar has whole years of the facts, and grows', async () => {
    await load([], [flightRow(1, 0, null, null)])
    expect(
      await star.query(
        'select count(*) as n, min(date_key) as a, max(date_key) as z from dw.dim_date where date_key > 0',
      ),
    ).toEqual([{ n: 365n, a: 20010101, z: 20011231 }])
    await load([], [flightRow(2, 365 * 3, null, null)])
    expect(
      await star.query('select year, count(*) as n from dw.dim_date where date_key > 0 group by 1 order by 1'),
    ).toEqual([
      { year: 2001, n: 365n },
      { year: 2004, n: 366n },
    ])
    const [row] = await star.query('select * exclude (date, _run) from dw.dim_date where date_key = 20041231')
    expect(row).toEqual({
      date_key: 20041231,
      year: 2004,
      quarter: 4,
      month: '2004-12',
      month_number: 12,
      day: 31,
      week: 53,
      week_year: 2004,
      weekday: 5,
      weekday_name: 'Friday',
      is_weekend: false,
    })
  })

  it('the totals of fact and export are compared and kept after each load', async () => {
    await load(
      [airportRow('ICN', 'A', 'Incheon', 0)],
      [flightRow(1, 0, 'ICN', 'ICN'), flightRow(2, 0, 'ICN', 'ICN', null)],
    )
    const rows = await star.query(`
      select measure, export_value as e, fact_value as f from naru.reconciliation
      where equal and measure in ('rows', 'sum(delay)', 'count(delay)', 'sum(fare)', 'min(load)') order by 1`)
    expect(rows).toEqual([
      { measure: 'count(delay)', e: '1', f: '1' },
      { measure: 'min(load)', e: '1.4285714285714286', f: '1.4285714285714286' },
      { measure: 'rows', e: '2', f: '2' },
      { measure: 'sum(delay)', e: '10', f: '10' },
      { measure: 'sum(fare)', e: '3.50', f: '3.50' },
    ])
  })

  it('a fact that does not agree with its export stops the publish', async () => {
    await load([airportRow('ICN', 'A', 'Incheon', 0)], [flightRow(1, 0, 'ICN', 'ICN'), flightRow(2, 0, 'ICN', 'ICN')])
    // The bug: one row of the fact is lost on the way.
    await star.publish({ run: 2, day: 1 }, ctx => ctx.tx.execute(sql`delete from dw.fact_flight where id = 2`))
    const broken = load([], [flightRow(3, 0, 'ICN', 'ICN')])
    await expect(broken).rejects.toMatchObject({
      code: 'FACT_NOT_RECONCILED',
      message: expect.stringContaining('rows: 3 exported, 2 in the fact'),
    })
    expect(await facts()).toEqual(['1 1 1 20010101 10'])
  })

  it('joins a member by a key of several columns', async () => {
    const gateExport = {
      ...airportExport,
      name: 'gate_x',
      columns: [column('hub'), column('no', int), column('size')],
      key: ['hub', 'no'],
    }
    const { columns, key } = gateExport
    const gate: HistoryDimensionDef = {
      ...airport,
      name: 'gate',
      export: 'gate_x',
      columns,
      key,
      type2: [],
      validFrom: null,
    }
    const stopExport = {
      ...gateExport,
      name: 'stop_x',
      columns: [column('id', int), column('at', timestamp), column('hub'), column('no', int)],
      key: ['id'],
    }
    const stop = {
      ...flight,
      name: 'stop',
      export: 'stop_x',
      dims: [{ role: 'gate', dimension: 'gate', by: ['hub', 'no'] }],
      columns: [],
    }
    const gates = await openStar([gate], [stop])
    const loadGates = (given: { run: number; gates: readonly ExportedRow[]; stops: readonly ExportedRow[] }) =>
      gates.publish({ run: given.run, day: given.run }, async ctx => {
        const changes = await changeExport(ctx, gateExport, given.gates)
        const dimension = await loadDimension(ctx, { definition: gate, exportDef: gateExport, changes })
        const stops = await changeExport(ctx, stopExport, given.stops)
        await loadFact(ctx, { definition: stop, exportDef: stopExport, changes: stops, dimensions: [dimension] })
      })
    const stops = [1, 2, 3].map(no => ({ key: [no], values: ['2001-01-01', 'ICN', no] }))
    await loadGates({
      run: 1,
      gates: [
        { key: ['ICN', 1], values: ['S'] },
        { key: ['ICN', 2], values: ['L'] },
      ],
      stops,
    })
    await loadGates({
      run: 2,
      gates: [
        { key: ['ICN', 3], values: ['M'] },
        { key: ['ICN', 1], values: ['L'] },
      ],
      stops: [],
    })
    expect(await gates.query('select id, gate_key as k from dw.fact_stop order by id')).toEqual([
      { id: 1, k: 1n },
      { id: 2, k: 2n },
      { id: 3, k: 3n },
    ])
    expect(await gates.query('select "key", what from naru.restatement')).toEqual([
      { key: 'ICN/1', what: 'overwritten' },
    ])
    await gates.engine.close()
  })

  it('answers a question over the star', async () => {
    await load(
      [airportRow('ICN', 'A', 'Incheon', 0), airportRow('PUS', 'A', 'Busan', 0)],
      [flightRow(1, 0, 'ICN', 'PUS', 5), flightRow(2, 40, 'PUS', 'ICN', 15), flightRow(3, 41, 'PUS', 'ICN', 25)],
    )
    const rows = await star.query(`
      select d.month, o.city as origin, a.city as destination, count(*) as flights, sum(f.delay) as delay
      from dw.fact_flight f
      join dw.dim_date d on d.date_key = f.date_key
      join dw.dim_airport o on o.airport_key = f.origin_key
      join dw.dim_airport a on a.airport_key = f.destination_key
      group by all order by all`)
    expect(rows).toEqual([
      { month: '2001-01', origin: 'Incheon', destination: 'Busan', flights: 1n, delay: 5n },
      { month: '2001-02', origin: 'Busan', destination: 'Incheon', flights: 2n, delay: 40n },
    ])
  })
})
