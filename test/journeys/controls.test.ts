import { afterAll, beforeAll, expect, test } from 'vitest'
import { openProject } from '../../src/app/project.ts'
import { adapters, type AdapterImplementation } from '../../src/app/registry.ts'
import { runProject, type RunOutcome } from '../../src/app/run-project.ts'
import { realEnv } from '../../src/core/env.ts'
import { isNaruError } from '../../src/core/errors.ts'
import type { SourceBatch } from '../../src/services/adapter/contract.ts'
import { readingThrough } from '../support/reading-through.ts'
import { startSystems, type Shop, type Systems } from '../support/shop.ts'

let systems: Systems
let shop: Shop
beforeAll(async () => {
  systems = await startSystems()
  shop = await systems.shop()
  await shop.run()
})
afterAll(() => systems.stop())

/** Runs the project in this process, with another adapter for PostgreSQL. */
async function runWith(postgres: AdapterImplementation): Promise<RunOutcome> {
  const env = { ...realEnv(), variables: shop.variables }
  const open = await openProject(env, { config: shop.configFile, cwd: shop.folder })
  const { signal } = new AbortController()
  const options = { selectors: [], hashControls: false, emit: () => {}, signal }
  return runProject(open, { ...options, adapters: { ...adapters, postgres } })
}

/** The adapter as it is, but what its snapshots read passes through `change`. */
function reading(change: (remote: string, batch: SourceBatch) => SourceBatch): AdapterImplementation {
  return readingThrough('postgres', snapshot => ({
    read: async function* (table, columns, filter, signal) {
      for await (const batch of snapshot.read(table, columns, filter, signal)) yield change(table.remote, batch)
    },
  }))
}

/** Flips the lowest bit of the first value of one column. */
function flipped(batch: SourceBatch, column: number): SourceBatch {
  const columns = batch.batch.columns.map((data, i) => {
    if (i !== column) return data
    const bytes = Uint8Array.from(data.data)
    bytes[0] = (bytes[0] as number) ^ 1
    return { ...data, data: bytes }
  })
  return { ...batch, batch: { ...batch.batch, columns } }
}

const amount = 2

test('a value that arrives with one bit wrong: the load is refused, nothing is visible, the figures are kept, and an honest run goes on', async () => {
  const before = await shop.visible()
  const staged = await shop.rows('select * from staging.ops_sale order by id')
  await shop.db.query('update sale set amount = amount + 2, updated_at = now() where id <= 5')

  let lied = false
  const lying = reading((remote, batch) => {
    if (remote !== 'sale' || batch.batch.columns.length <= amount || lied) return batch
    lied = true
    return flipped(batch, amount)
  })
  const refused = await runWith(lying).catch((error: unknown) => error)
  expect(lied).toBe(true)
  if (!isNaruError(refused, 'LOAD_REFUSED')) throw refused
  expect(refused.message).toMatch(/ops\.sale .*amount sum: source \d+, staged \d+/)
  expect(refused.fix).toContain('naru.control_total')
  expect(refused.exit).toBe(1)

  expect(await shop.visible()).toEqual(before)
  expect(await shop.rows('select * from staging.ops_sale order by id')).toEqual(staged)
  const wrong = `
    select c."table", c."column", c.measure, l.state, cast(c.staged_value as bigint) - cast(c.source_value as bigint) as off
    from naru.control_total c join naru.load l on l.load = c.load where not c.equal and c.measure = 'sum'`
  const [kept, ...more] = await shop.rows(wrong)
  expect(more).toEqual([])
  expect(kept).toMatchObject({ table: 'sale', column: 'amount', measure: 'sum', state: 'abandoned' })
  expect([1n, -1n]).toContain(kept?.['off'])

  const honest = await shop.run()
  expect(honest.controls['ops_sale']).toMatchObject({ equal: true })
  expect(await shop.rows('select sum(amount) as sum from ods.sale')).toEqual(
    (await shop.db.query<{ sum: string }>('select sum(amount) as sum from sale')).rows.map(({ sum }) => ({
      sum: BigInt(sum),
    })),
  )
})
