import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withoutRows } from '../../../core/batch-rows.ts'
import { ident, joinSql, rawSql, sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import { startEngineServer, type EngineServer } from '../../../testing/postgres/engine.ts'
import { batchOf, column, type TestValue } from '../../../testing/suite/batches.ts'
import type { Engine, UnfitRow } from '../contract.ts'
import { openEngine } from './open.ts'

// What this server cannot hold is named before anything is sent: row by row, so that the others go on.

const never = new AbortController().signal
let server: EngineServer
let engine: Engine

beforeAll(async () => {
  server = await startEngineServer()
  engine = await openEngine(server.opening(await server.database()))
  await engine.transaction(never, async tx => {
    const defined = columns.map(({ name, type }) => sql`${ident(name)} ${rawSql(tx.dialect.type(type))}`)
    await tx.execute(sql`create table t (${joinSql(defined)})`)
  })
}, 180_000)
afterAll(async () => {
  await engine.close()
  await server.stop()
})

const DAY = 86_400_000_000n
const int64 = { min: -(2n ** 63n) + 1n, max: 2n ** 63n - 1n }
/** Values over the whole range of a type, with those about the limits of the server among them. */
const near = (...limits: readonly bigint[]): fc.Arbitrary<bigint> =>
  fc.tuple(fc.constantFrom(...limits), fc.bigInt({ min: -2n, max: 2n })).map(([limit, off]) => limit + off)
const days = fc.oneof(near(-2_440_588n, 2_145_042_906n), fc.bigInt({ min: -(2n ** 31n) + 1n, max: 2n ** 31n - 1n }))
const micros = fc.oneof(near(-2_440_588n * DAY), fc.bigInt(int64))
const text = fc.string({ unit: fc.constantFrom('a', '\0', '한', '👩', '\u{10ffff}', '\ufeff', ' '), maxLength: 6 })

const arbitraries: readonly (readonly [ColumnType, fc.Arbitrary<TestValue>])[] = [
  [{ kind: 'text' }, text],
  [{ kind: 'json' }, text],
  [{ kind: 'bytes' }, fc.uint8Array({ maxLength: 4 })],
  [{ kind: 'date' }, days],
  [{ kind: 'timestamp', zoned: false }, micros],
  [{ kind: 'timestamp', zoned: true }, micros],
  [{ kind: 'decimal', precision: 38, scale: 19 }, near(10n ** 38n - 3n, -(10n ** 38n) + 3n)],
]
const columns = arbitraries.map(([type], i) => column(`c${i}`, type))
const batches = fc
  .integer({ min: 1, max: 12 })
  .chain(rows =>
    fc.tuple(...arbitraries.map(([, it]) => fc.array(fc.option(it), { minLength: rows, maxLength: rows }))),
  )

function find(values: readonly (readonly (TestValue | null)[])[]): Promise<readonly UnfitRow[]> {
  return engine.transaction(never, async tx => tx.unfit?.(columns, batchOf(columns, values)) ?? [])
}

async function append(batch: Parameters<typeof withoutRows>[0]): Promise<number> {
  return engine.transaction(never, async tx => {
    await tx.execute(sql`delete from t`)
    await tx.append(ident('t'), columns, batch)
    return Number((await tx.rows(sql`select count(*) as n from t`))[0]?.['n'])
  })
}

test('rows that it names are refused, and all the others are taken', { timeout: 180_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(batches, async values => {
      const batch = batchOf(columns, values)
      const unfit = new Set((await find(values)).map(({ row }) => row))
      expect(await append(withoutRows(batch, unfit))).toBe(batch.rows - unfit.size)
      for (const row of [...unfit].slice(0, 2)) {
        const others = new Set(Array.from({ length: batch.rows }, (_, i) => i).filter(i => i !== row))
        await expect(append(withoutRows(batch, others))).rejects.toMatchObject({ code: 'ENGINE_VALUE' })
      }
    }),
    { numRuns: 40 },
  )
})

test('it names the first column with such a value, and why', async () => {
  const fits = (count: number): null[] => Array.from({ length: count }, () => null)
  const found = await find([
    ['a', 'b\0', null, '\0'],
    ['x\0', null, null, '\0'],
    fits(4),
    [0n, -3_000_000n, 1n, 2n],
    fits(4),
    fits(4),
    fits(4),
  ])
  expect(found.map(({ row, column: c }) => [row, c])).toEqual([
    [0, 1],
    [1, 0],
    [3, 0],
  ])
  expect(found.map(({ problem }) => problem)).toContain('text of PostgreSQL has no NUL character')
})
