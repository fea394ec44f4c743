import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import avsc from 'avsc'
import fc from 'fast-check'
import { test } from 'vitest'
import { cellText } from '../../../core/cell-text.ts'
import type { ColumnType } from '../../../core/types.ts'
import { batchOf, column, type TestValue } from '../../../testing/suite/batches.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import { readDropped } from './folder.test.support.ts'
import { writtenFile, type Rows } from './writer.test.support.ts'

const format = { kind: 'avro' } as const
const big = (bits: number): fc.Arbitrary<bigint> =>
  fc.oneof(
    fc.bigInt({ min: -(1n << BigInt(bits - 1)), max: (1n << BigInt(bits - 1)) - 1n }),
    fc.constantFrom(0n, -1n, 63n, 64n, -64n, -65n, -(1n << BigInt(bits - 1)), (1n << BigInt(bits - 1)) - 1n),
  )
const decimal = (digits: number): fc.Arbitrary<bigint> => {
  const most = 10n ** BigInt(digits) - 1n
  return fc.oneof(fc.bigInt({ min: -most, max: most }), fc.constantFrom(0n, -1n, 127n, 128n, -128n, -129n, most, -most))
}
const words = fc.string({ unit: 'grapheme', maxLength: 40 }).map(it => it.replaceAll('\0', ''))
const part = fc.integer({ min: 0, max: 2_000_000 })

const types: readonly [ColumnType, fc.Arbitrary<TestValue>][] = [
  [{ kind: 'bool' }, fc.boolean()],
  [{ kind: 'int', bits: 16 }, big(16)],
  [{ kind: 'int', bits: 32 }, big(32)],
  [{ kind: 'int', bits: 64 }, big(64)],
  [{ kind: 'float', bits: 32 }, fc.float()],
  [{ kind: 'float', bits: 64 }, fc.double()],
  [{ kind: 'decimal', precision: 4, scale: 4 }, decimal(4)],
  [{ kind: 'decimal', precision: 9, scale: 2 }, decimal(9)],
  [{ kind: 'decimal', precision: 18, scale: 0 }, decimal(18)],
  [{ kind: 'decimal', precision: 38, scale: 10 }, decimal(38)],
  [{ kind: 'text' }, words],
  [{ kind: 'enum', values: ['on', 'off'] }, fc.constantFrom('on', 'off')],
  [{ kind: 'json' }, fc.json({ noUnicodeString: true } as object)],
  [{ kind: 'bytes' }, fc.uint8Array({ maxLength: 40 })],
  [{ kind: 'uuid' }, fc.uuid()],
  [{ kind: 'date' }, fc.bigInt({ min: -2_000_000n, max: 2_000_000n })],
  [{ kind: 'time' }, fc.bigInt({ min: 0n, max: 86_399_999_999n })],
  [{ kind: 'timestamp', zoned: true }, fc.bigInt({ min: -(10n ** 16n), max: 10n ** 17n })],
  [{ kind: 'timestamp', zoned: false }, fc.bigInt({ min: -(10n ** 16n), max: 10n ** 17n })],
  [
    { kind: 'interval' },
    fc.tuple(part, part, part).map(([a, b, c]): [number, number, bigint] => [a, b, BigInt(c) * 1000n]),
  ],
]
const columns = types.map(([type], i) => column(`c${i}`, type))

/** Every value as text, row by row. */
function textsOf({ columns, values }: Rows): readonly (readonly (string | null)[])[] {
  const batch = batchOf(columns, values)
  return Array.from({ length: batch.rows }, (_, row) =>
    columns.map(({ type }, c) => cellText(type, batch.columns[c] as (typeof batch.columns)[number], row)),
  )
}

test.each(['deflate', 'none'])('every value of every type comes back from Avro (%s) as it was', async compression => {
  const row = fc.tuple(...types.map(([, value]) => fc.option(value, { freq: 6 })))
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 60 }), async rows => {
      const values = types.map((_, c) => rows.map(it => it[c] as TestValue))
      const content = await writtenFile('x.avro', { columns, values }, { compression })
      const read = await readDropped('x.avro', content, { format, columns })
      assert.deepEqual(read.rejects, [])
      assert.deepEqual(read.rows, textsOf({ columns, values }))
    }),
    { numRuns: 15 },
  )
})

test('another reader of Avro gets the same types and values, over many blocks', async () => {
  const [id, price, note] = [
    column('id', { kind: 'int', bits: 64 }),
    column('price', { kind: 'decimal', precision: 12, scale: 2 }),
    column('note', { kind: 'text' }),
  ]
  const count = 30_000
  const values = [
    Array.from({ length: count }, (_, i) => BigInt(i)),
    Array.from({ length: count }, (_, i) => BigInt(i * 7 - 100_000)),
    Array.from({ length: count }, (_, i) => (i % 3 === 0 ? null : `note ${i}`)),
  ]
  const content = await writtenFile('x.avro', { columns: [id, price, note], values })
  const decoder = new avsc.streams.BlockDecoder()
  const objects: Record<string, unknown>[] = []
  for await (const object of Readable.from([content]).pipe(decoder)) objects.push(object as Record<string, unknown>)
  assert.equal(objects.length, count)
  assert.match(JSON.stringify(objects.at(-1)), /29999.*note 29999/)
  assert.match(content.toString('latin1'), /"logicalType":"decimal","precision":12,"scale":2/)
})

test('the same rows make the same bytes, by which an insert knows the file that it put itself', async () => {
  const values = [Array.from({ length: 20_000 }, (_, i) => `text ${i}`)]
  const rows = { columns: [column('a', { kind: 'text' })], values }
  const [once, again] = [await writtenFile('x.avro', rows, {}, 3), await writtenFile('x.avro', rows, {}, 3)]
  assert.ok(once.equals(again))
})

test('a row of more bytes than readers hold is refused by its columns', async () => {
  const columns = [column('a', { kind: 'text' }), column('b', { kind: 'bytes' })]
  const values = [['a'.repeat(32 << 20)], [new Uint8Array((31 << 20) + 1)]]
  await rejectsWith('WRITE_VALUE', writtenFile('x.avro', { columns, values }), 'column "a", "b"')
  const fits = [['a'.repeat(32 << 20)], [new Uint8Array(30 << 20)]]
  const { rows } = await readDropped('x.avro', await writtenFile('x.avro', { columns, values: fits }), {
    format,
    columns,
  })
  assert.deepEqual([rows[0]?.[0]?.length, rows[0]?.[1]?.length], [32 << 20, 2 + (60 << 20)])
})

test('a file without rows is Avro with its columns', async () => {
  const content = await writtenFile('x.avro', { columns, values: columns.map(() => []) })
  assert.deepEqual((await readDropped('x.avro', content, { format, columns })).rows, [])
})

test.each<[string, ColumnType, TestValue]>([
  ['an infinite date', { kind: 'date' }, 2_147_483_647n],
  ['an infinite time', { kind: 'timestamp', zoned: true }, -9_223_372_036_854_775_807n],
  ['24:00', { kind: 'time' }, 86_400_000_000n],
  ['a negative interval', { kind: 'interval' }, [0, -1, 0n]],
  ['a part of a millisecond', { kind: 'interval' }, [0, 1, 7n]],
])('%s is refused by its column, and nothing is written', async (_, type, value) => {
  const rows = { columns: [column('v', type)], values: [[value]] }
  await rejectsWith('WRITE_VALUE', writtenFile('x.avro', rows), 'column "v"')
})

test.each<[string, object, string]>([
  ['order total', {}, 'unlike "order total"'],
  ['주문', {}, 'unlike "주문"'],
  ['v', { compression: 'zstd' }, 'deflate, none'],
  ['v', { nullText: 'x' }, '--null-text is of CSV'],
])('a column "%s" with %j is refused before a row is read', async (name, file, says) => {
  const rows = { columns: [column(name, { kind: 'text' })], values: [['x']] }
  await rejectsWith('WRITE_TARGET', writtenFile('x.avro', rows, file), says)
})
