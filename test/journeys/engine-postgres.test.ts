import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CrashPoint } from '../../src/core/env.ts'
import { joinSql, ident, sql } from '../../src/core/sql.ts'
import type { Cell, Engine, Transaction } from '../../src/services/engine/contract.ts'
import { openEngine } from '../../src/services/engine/postgres/open.ts'
import { postgresOpening } from '../../src/testing/postgres/engine.ts'
import { smallAirline, type SmallAirline } from '../support/airline.ts'
import { startNaru } from '../support/command.ts'

// The airline on two engines: the same sources, the same config but for one line, the same rows.

const firstMicros = 1_800_000_000_000_000n
const secondMicros = firstMicros + 86_400_000_000n

let airline: SmallAirline
let onDuckdb: string
let onPostgres: string
beforeAll(async () => {
  airline = await smallAirline()
  onDuckdb = await airline.project()
  onPostgres = await airline.project(undefined, 'postgres')
  await airline.run(onDuckdb, firstMicros)
  await airline.run(onPostgres, firstMicros)
}, 240_000)
afterAll(() => airline.stop())

/** Every value of a table, in the order of its key columns; what a run writes of itself is left out. */
async function valuesOf(tx: Transaction, schema: string, table: string): Promise<readonly (readonly Cell[])[]> {
  const names = (await tx.columns(ident(schema, table))).map(column => column.name).filter(name => name !== '_run')
  const list = joinSql(names.map(name => ident(name)))
  const rows = await tx.rows(sql`select ${list} from ${ident(schema, table)} order by ${list}`)
  return rows.map(row => names.map(name => row[name] ?? null))
}

const compared = [
  ['ods', 'airport'],
  ['export', 'flight'],
  ['dw', 'dim_airport'],
  ['dw', 'fact_flight'],
  ['mart', 'delay_by_month_origin'],
] as const

async function expectTheSame(): Promise<void> {
  const expected = await airline.fingerprint(onDuckdb)
  expect(Object.keys(expected).length).toBeGreaterThan(15)
  expect(await airline.fingerprint(onPostgres)).toEqual(expected)
  for (const [schema, table] of compared) {
    const [a, b] = await Promise.all(
      [onDuckdb, onPostgres].map(folder => airline.reading(folder, tx => valuesOf(tx, schema, table))),
    )
    expect(a?.length).toBeGreaterThan(0)
    expect(b).toEqual(a)
  }
}

test('the first run makes the same values in every table', { timeout: 180_000 }, expectTheSame)

describe('commands that read', () => {
  const naru = (args: readonly string[]): Promise<{ status: number | null; stdout: string; stderr: string }> =>
    startNaru(onPostgres, args, { variables: airline.variables(onPostgres) }).ended

  test.each([
    ['status', ['status', '--json'], /"state":\s*"done"/],
    ['plan', ['plan', '--json'], /current/],
    ['check', ['check', '--json'], /"ok":\s*true/],
    ['report', ['report', '--json'], /html/],
    ['quarantine', ['quarantine', 'list', '--json'], /flight/],
    ['lineage', ['lineage', 'mart.delay_by_month_origin'], /flight/],
    ['sql', ['sql', 'select count(*) as n from dw.fact_flight', '--json'], /2999/],
  ])('%s works', { timeout: 180_000 }, async (_name, args, shows) => {
    const { status, stdout, stderr } = await naru(args)
    expect(stderr).toBe('')
    expect(status).toBe(0)
    expect(stdout).toMatch(shows)
  })
})

describe('a second run, after the sources changed', () => {
  let before: string
  let reader: Engine
  let rows = 0

  beforeAll(async () => {
    before = await airline.project(onPostgres)
    await airline.changeSources()
    const warehouse = postgresOpening(airline.variables(onPostgres)['WAREHOUSE_URL'] as string)
    reader = await openEngine({ ...warehouse, access: 'people', masked: [], closed: [] })
    // It holds tables of every stage and of the run itself until it is read to its end, behind the run.
    const { pages } = await reader.query(
      sql`select f.* from dw.fact_flight f
        where (select count(*) from naru.load) + (select count(*) from naru.profile_drift) + (select count(*) from ods.airport)
          + (select count(*) from staging.ops_flight) + (select count(*) from mart.delay_by_month_origin) >= 0`,
      new AbortController().signal,
    )
    await airline.run(onDuckdb, secondMicros)
    await airline.run(onPostgres, secondMicros)
    for await (const page of pages) rows += page.length
  }, 240_000)
  afterAll(() => reader.close())

  test('is not held up by a query that began before it and ended behind it, and the query saw one state', () => {
    expect(rows).toBe(2999)
  })

  test('makes the same values in every table', { timeout: 180_000 }, expectTheSame)

  test.each<CrashPoint>([
    'interface.chunk.commit.before',
    'staging.apply.after',
    'run.publish.commit.before',
    'run.publish.commit.after',
  ])('killed at %s and run again, it comes to the same', { timeout: 180_000 }, async point => {
    const folder = await airline.project(before)
    const killed = await airline.run(folder, secondMicros, { point, visit: 1 })
    expect(killed.stderr).toContain(`killed at ${point}`)
    await airline.run(folder, secondMicros + 3_600_000_000n)
    expect(await airline.fingerprint(folder)).toEqual(await airline.fingerprint(onDuckdb))
  })
})
