import * as fc from 'fast-check'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { testOpening } from '../../testing/engine.ts'
import type { ColumnType } from '../../core/types.ts'
import { batchOf, column, type TestValue } from '../../testing/suite/batches.ts'
import { checkRoundTrip } from './conformance-rows.ts'
import { enginePromises } from './conformance.ts'
import type { Engine } from './contract.ts'
import { openEngine } from './duckdb/open.ts'
import { openEngine as openPostgresEngine } from './postgres/open.ts'
import { startEngineServer, type EngineServer } from '../../testing/postgres/engine.ts'

const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

const engines: readonly { readonly kind: string; readonly open: () => Promise<Engine> }[] = [
  { kind: 'duckdb', open: openDuckdb },
  { kind: 'postgres', open: openPostgres },
]

let server: EngineServer
beforeAll(async () => {
  server = await startEngineServer()
}, 180_000)
afterAll(() => server.stop())

/** Every engine gets a database of its own, made as the documentation says. */
async function openPostgres(): Promise<Engine> {
  const engine = await openPostgresEngine(server.opening(await server.database()))
  ending.push(() => engine.close())
  return engine
}

/** In a file, with the name of a schema: it must not make names ambiguous. */
async function openDuckdb(): Promise<Engine> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-engine-'))
  ending.push(() => rm(folder, { recursive: true }))
  const engine = await openEngine(testOpening(path.join(folder, 's.duckdb')))
  ending.push(() => engine.close())
  return engine
}

for (const { kind, open } of engines) {
  describe(kind, () => {
    for (const { name, check } of enginePromises) {
      test(name, async () => {
        const engine = await open()
        await check(engine)
      })
    }

    test('any rows come out as they went in, however they are cut into batches', async () => {
      const engine = await open()
      await fc.assert(
        fc.asyncProperty(fc.array(batchValues, { minLength: 1, maxLength: 4 }), async batches => {
          await checkRoundTrip(
            engine,
            columns,
            batches.map(values => batchOf(columns, values)),
          )
        }),
        { numRuns: 60 },
      )
    })
  })
}

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const arbitraries: readonly (readonly [ColumnType, fc.Arbitrary<TestValue>])[] = [
  [{ kind: 'bool' }, fc.boolean()],
  [{ kind: 'int', bits: 64 }, int64],
  [{ kind: 'decimal', precision: 38, scale: 10 }, fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n })],
  [{ kind: 'float', bits: 64 }, fc.double()],
  [{ kind: 'text' }, fc.string({ unit: 'binary', maxLength: 40 }).map(text => text.replaceAll('\0', ''))],
  [{ kind: 'bytes' }, fc.uint8Array({ maxLength: 40 })],
  [{ kind: 'uuid' }, fc.uuid()],
  [{ kind: 'date' }, fc.bigInt({ min: -2_440_588n, max: 2_145_031_948n })],
  [{ kind: 'timestamp', zoned: true }, fc.bigInt({ min: -210_000_000_000_000_000n, max: 2n ** 63n - 2n })],
  [{ kind: 'interval' }, fc.tuple(fc.integer(), fc.integer(), int64)],
]
const columns = arbitraries.map(([type], i) => column(`c${i}`, type))

/** The columns of one batch: all of the same length, short or past the engine's own page. */
const batchValues = fc
  .oneof(
    { weight: 9, arbitrary: fc.integer({ min: 0, max: 20 }) },
    { weight: 1, arbitrary: fc.integer({ min: 2040, max: 2060 }) },
  )
  .chain(rows =>
    fc.tuple(...arbitraries.map(([, value]) => fc.array(fc.option(value), { minLength: rows, maxLength: rows }))),
  )
