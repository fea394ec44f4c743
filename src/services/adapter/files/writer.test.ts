import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { onTestFinished, test } from 'vitest'
import { DuckDBInstance } from '@duckdb/node-api'
import { intervalText } from '../../../core/cell-text.ts'
import { realEnv } from '../../../core/env.ts'
import { sql, rawSql, renderSql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import { batchOf, column, type TestValue } from '../../../testing/suite/batches.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import { openAdapter } from './open.ts'

const never = new AbortController().signal

/** Writes one column into a file; its text. */
async function written(remote: string, type: ColumnType, values: readonly TestValue[], more = true): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-writer-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const adapter = await openAdapter({
    source: 'out',
    options: { folder },
    secret: () => assert.fail('a folder needs no secret'),
    configDir: folder,
    stateDir: path.join(folder, 'state'),
    env: realEnv(),
  })
  const columns = [column('v', type), ...(more ? [column('n', { kind: 'int', bits: 32 })] : [])]
  const target = { id: 'w', remote, columns, key: [], mode: 'replace', create: false } as const
  const writer = await (adapter.writes ?? assert.fail()).openWriter(target, never)
  try {
    const rows = batchOf(columns, [values, ...(more ? [values.map((_, i) => BigInt(i))] : [])])
    await writer.stage('1', one(rows), never)
    await writer.publish({ missed: 'refuse' }, never)
    return await readFile(path.join(folder, remote), 'utf8')
  } finally {
    await writer.close()
    await adapter.close()
  }
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value
}

const interval: ColumnType = { kind: 'interval' }

test.each(['x.csv', 'x.ndjson'])(
  'an interval of any sign is written into %s exactly as it is read back',
  async remote => {
    const instance = await DuckDBInstance.create(':memory:')
    const engine = await instance.connect()
    const part = fc.integer({ min: -100_000, max: 100_000 })
    const value = fc.tuple(part, part, fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n }))
    const fixed: [number, number, bigint][] = [
      [-1, 1, 0n],
      [0, 0, 7n],
      [0, 0, -1n],
      [-14, -3, -14_706_000_007n],
    ]
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 20 }), async more => {
        const values = [...fixed, ...more]
        const text = await written(remote, interval, [...values, null])
        const lines = text
          .trim()
          .split('\n')
          .slice(remote === 'x.csv' ? 1 : 0)
        const texts = lines.map(line =>
          remote === 'x.csv' ? (line.split(',')[0] as string) : (JSON.parse(line) as { v: string | null }).v,
        )
        assert.equal(texts.pop() ?? '', '')
        for (const [i, it] of texts.entries()) {
          const cast = renderSql(duckdbDialect.tryCast(sql`${it}`, interval), duckdbDialect).text
          const read = await engine.runAndReadAll(renderSql(rawSql(`select ${cast} as v`), duckdbDialect).text)
          const [[back]] = read.getRows() as unknown as [[{ months: number; days: number; micros: bigint }]]
          const [months, days, micros] = values[i] as [number, number, bigint]
          assert.equal(intervalText(back.months, back.days, back.micros), intervalText(months, days, micros))
        }
      }),
      { numRuns: 5 },
    )
    engine.closeSync()
    instance.closeSync()
  },
)

test.each<[string, [number, number, bigint]]>([
  ['a negative interval', [0, -1, 0n]],
  ['a part of a millisecond', [0, 1, 7n]],
  ['more hours than its milliseconds have room for', [0, 0, 4_294_967_296_000n]],
])('%s is refused for Parquet, which would lose it, by column and without the value', async (_, value) => {
  await rejectsWith(
    'WRITE_VALUE',
    written('x.parquet', interval, [[1, 2, 3000n], value]),
    'column "v" of "x.parquet" in "out" cannot hold the value of 1 rows: an interval of Parquet has no sign',
  )
})

test('an interval that Parquet holds is written', async () => {
  assert.match(await written('x.parquet', interval, [[1, 2, 3000n], null]), /^PAR1/)
})

test('NULL in the only column of CSV is refused: the line would be none', async () => {
  await rejectsWith('WRITE_VALUE', written('x.csv', { kind: 'text' }, ['a', null], false), 'which is no row of CSV')
  assert.equal(await written('x.csv', { kind: 'text' }, ['a', ''], false), 'v\na\n""\n')
})
