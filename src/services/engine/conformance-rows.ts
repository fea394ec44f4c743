import assert from 'node:assert/strict'
import { INFINITY_DAYS, INFINITY_MICROS, type ColumnBatch, type ColumnData } from '../../core/batch.ts'
import { ident, joinSql, rawSql, sql, type Ident } from '../../core/sql.ts'
import { typeText, type ColumnDef, type ColumnType } from '../../core/types.ts'
import { batchOf, column, expectedCell, type TestValue } from './conformance-batch.ts'
import { signal, type EnginePromise } from './conformance-support.ts'
import type { Engine, Transaction } from './contract.ts'

const decimal = (precision: number, scale: number): ColumnType => ({ kind: 'decimal', precision, scale })
const nines = (count: number): bigint => 10n ** BigInt(count) - 1n
const texts = [
  '',
  'a',
  'exactly 12 b',
  'exactly 13 by',
  '한국어',
  '👩🏽‍🚀 4-byte',
  "'; drop --",
  '\n\t"\\',
  'x'.repeat(70_000),
]

/** Every column type with its values at the limits. */
export const typeCases: readonly { readonly type: ColumnType; readonly values: readonly TestValue[] }[] = [
  { type: { kind: 'bool' }, values: [true, false] },
  { type: { kind: 'int', bits: 16 }, values: [0n, -1n, 32_767n, -32_768n] },
  { type: { kind: 'int', bits: 32 }, values: [0n, -1n, 2_147_483_647n, -2_147_483_648n] },
  { type: { kind: 'int', bits: 64 }, values: [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)] },
  { type: { kind: 'float', bits: 32 }, values: [0, -0.5, 0.1, 3.402_823_466e38, Infinity, -Infinity, NaN] },
  { type: { kind: 'float', bits: 64 }, values: [0, 0.1, Number.MAX_VALUE, Number.MIN_VALUE, Infinity, -Infinity, NaN] },
  { type: decimal(4, 1), values: [0n, -1n, nines(4), -nines(4)] },
  { type: decimal(9, 9), values: [0n, -1n, nines(9), -nines(9)] },
  { type: decimal(18, 2), values: [0n, -1n, nines(18), -nines(18)] },
  { type: decimal(38, 0), values: [0n, -1n, nines(38), -nines(38)] },
  { type: decimal(38, 38), values: [0n, 1n, nines(38), -nines(38)] },
  { type: { kind: 'text' }, values: texts },
  { type: { kind: 'enum', values: texts }, values: texts },
  { type: { kind: 'json' }, values: ['{"b": 1, "a":  [1.00, null]}', 'null', '"é"', ' 1e400 '] },
  {
    type: { kind: 'bytes' },
    values: ['', 'text', '\0\0', new Uint8Array([0, 255, 128, 192]), new Uint8Array(5000).fill(254)],
  },
  {
    type: { kind: 'uuid' },
    values: [
      '00000000-0000-0000-0000-000000000000',
      '0a1b2c3d-4e5f-6789-8abc-def012345678',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
    ],
  },
  { type: { kind: 'date' }, values: [0n, -1n, 11_016n, -2_440_588n, BigInt(INFINITY_DAYS), -BigInt(INFINITY_DAYS)] },
  { type: { kind: 'time' }, values: [0n, 1n, 86_399_999_999n, 86_400_000_000n] },
  {
    type: { kind: 'timestamp', zoned: false },
    values: [0n, -1n, 1n, 978_307_260_000_000n, INFINITY_MICROS, -INFINITY_MICROS],
  },
  {
    type: { kind: 'timestamp', zoned: true },
    values: [0n, -1n, 978_307_260_500_000n, -210_000_000_000_000_000n, INFINITY_MICROS, -INFINITY_MICROS],
  },
  {
    type: { kind: 'interval' },
    values: [
      [0, 0, 0n],
      [14, 3, 14_706_789_000n],
      [-1, 31, -1n],
      [0, 0, 360_000_000_000n],
    ],
  },
]

const line = column('_line', { kind: 'int', bits: 64 })

async function createTable(tx: Transaction, table: Ident, columns: readonly ColumnDef[]): Promise<void> {
  const list = columns.map(({ name, type }) => sql`${ident(name)} ${rawSql(tx.dialect.type(type))}`)
  await tx.execute(sql`create table ${table} (${joinSql(list)})`)
}

/** Appends the batches to a table of their own, reads it back, and compares every value. */
export async function checkRoundTrip(
  engine: Engine,
  columns: readonly ColumnDef[],
  batches: readonly ColumnBatch[],
): Promise<void> {
  const table = ident('round_trip')
  const all = [line, ...columns]
  const found = await engine.transaction(signal, async tx => {
    await tx.execute(sql`drop table if exists ${table}`)
    await createTable(tx, table, all)
    let from = 0n
    for (const batch of batches) {
      await tx.append(table, all, numbered(batch, from))
      from += BigInt(batch.rows)
    }
    return tx.rows(sql`select * from ${table} order by ${ident(line.name)}`)
  })
  const expected = batches.flatMap(batch => expectedRows(columns, batch))
  assert.equal(found.length, expected.length)
  found.forEach((row, i) =>
    assert.deepEqual(
      columns.map(({ name }) => row[name]),
      expected[i],
      `row ${i}`,
    ),
  )
}

function numbered(batch: ColumnBatch, from: bigint): ColumnBatch {
  const numbers = Array.from({ length: batch.rows }, (_, i) => from + BigInt(i))
  return { rows: batch.rows, columns: [batchOf([line], [numbers]).columns[0] as ColumnData, ...batch.columns] }
}

function expectedRows(columns: readonly ColumnDef[], batch: ColumnBatch): readonly (readonly unknown[])[] {
  return Array.from({ length: batch.rows }, (_, row) =>
    columns.map(({ type }, i) => expectedCell(type, batch.columns[i] as ColumnData, row)),
  )
}

/** Rows of bulk: what goes in comes out. */
export const rowPromises: readonly EnginePromise[] = [
  ...typeCases.map(({ type, values }) => ({
    name: `${typeText(type).slice(0, 40)} comes back as it went in, at its limits and as NULL`,
    check: async (engine: Engine) => {
      const columns = [column('v', type)]
      await checkRoundTrip(engine, columns, [
        batchOf(columns, [[...values, null]]),
        batchOf(columns, [values]),
        batchOf(columns, [[null, null]]),
      ])
    },
  })),
  ...[0, 1, 2047, 2048, 2049, 6000].map(rows => ({
    name: `a batch of ${rows} rows is taken whole`,
    check: async (engine: Engine) => {
      const columns = typeCases.map(({ type }, i) => column(`c${i}`, type))
      const values = typeCases.map((it, i) =>
        Array.from({ length: rows }, (_, row) =>
          (row + i) % 7 === 0 ? null : short(it.values[row % it.values.length] as TestValue),
        ),
      )
      await checkRoundTrip(engine, columns, [batchOf(columns, values)])
    },
  })),
  {
    name: 'many small batches, one after the other, keep their rows apart',
    check: async engine => {
      const columns = [column('a', { kind: 'text' }), column('b', { kind: 'int', bits: 32 })]
      const batches = Array.from({ length: 300 }, (_, i) =>
        batchOf(columns, [
          ['x'.repeat(i % 40), i % 3 === 0 ? null : 'y'],
          [BigInt(i), null],
        ]),
      )
      await checkRoundTrip(engine, columns, batches)
    },
  },
  {
    name: 'appended rows are seen by the next statement, and tables may alternate',
    check: async engine => {
      const columns = [column('a', { kind: 'int', bits: 32 })]
      const [one, two] = [ident('one'), ident('two')]
      await engine.transaction(signal, async tx => {
        for (const table of [one, two]) await createTable(tx, table, columns)
        for (let i = 1; i <= 3; i++) {
          await tx.append(one, columns, batchOf(columns, [[BigInt(i)]]))
          await tx.append(two, columns, batchOf(columns, [[BigInt(-i)]]))
          const seen = await tx.rows(sql`select (select count(*) from ${one}) a, (select count(*) from ${two}) b`)
          assert.deepEqual(seen, [{ a: BigInt(i), b: BigInt(i) }])
        }
        assert.equal(await tx.execute(sql`delete from ${one} where a < 3`), 2)
      })
    },
  },
  {
    name: 'rows that do not have the layout of the table are refused',
    check: async engine => {
      const small = column('a', { kind: 'int', bits: 32 })
      const large = column('a', { kind: 'int', bits: 64 })
      await engine.transaction(signal, tx => createTable(tx, ident('narrow'), [small]))
      const wrong: readonly [readonly ColumnDef[], ColumnBatch][] = [
        [[large], batchOf([large], [[1n]])],
        [[small], batchOf([large], [[1n]])],
        [[small], { ...batchOf([small], [[1n]]), rows: 2 }],
        [[small, small], batchOf([small, small], [[1n], [1n]])],
      ]
      for (const [columns, batch] of wrong) {
        await assert.rejects(
          engine.transaction(signal, tx => tx.append(ident('narrow'), columns, batch)),
          { code: 'INTERNAL' },
        )
      }
    },
  },
]

/** Thousands of rows with a long value each would only be slow. */
function short(value: TestValue): TestValue {
  return typeof value === 'string' ? value.slice(0, 300) : value
}
