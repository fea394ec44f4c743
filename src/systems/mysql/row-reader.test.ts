import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { describe, test } from 'vitest'
import { bufferPool } from '../../core/buffer-pool.ts'
import { cellText } from '../../core/cell-text.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import { batchBuilder, type BatchBuilder } from '../wire/batch-builder.ts'
import { batchShape } from './batch-shape.ts'
import type { SkippedRow } from '../wire/skipped-row.ts'
import { commandPackets, FRAME_BYTES_MAX, type ServerError } from './protocol.ts'
import { RowReader } from './row-reader.ts'

const int32: ColumnType = { kind: 'int', bits: 32 }
const text: ColumnType = { kind: 'text' }
const columns: readonly ColumnDef[] = [
  { name: 'id', type: int32, nullable: false, personal: false },
  { name: 'name', type: text, nullable: true, personal: false },
  { name: 'sum', type: { kind: 'decimal', precision: 38, scale: 2 }, nullable: true, personal: false },
]
type Row = readonly [id: number, name: string | null, sum: string | null]

function packets(body: Buffer): Buffer {
  const [first, ...rest] = [body.subarray(0, 1), body.subarray(1)]
  return Buffer.concat([...commandPackets(first?.[0] ?? 0, Buffer.concat(rest))])
}

function sized(value: string): Buffer {
  const bytes = Buffer.from(value)
  if (bytes.length < 251) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const length = Buffer.alloc(9, 0xfe)
  length.writeBigUInt64LE(BigInt(bytes.length), 1)
  return Buffer.concat([length, bytes])
}

function binaryRow([id, name, sum]: Row): Buffer {
  const number = Buffer.alloc(4)
  number.writeInt32LE(id)
  const nulls = (name === null ? 8 : 0) | (sum === null ? 16 : 0)
  const values = [number, ...(name === null ? [] : [sized(name)]), ...(sum === null ? [] : [sized(sum)])]
  return Buffer.concat([Buffer.from([0, nulls]), ...values])
}

function definition(type: number): Buffer {
  return Buffer.from([0x0c, 0x2d, 0, 0, 0, 0, 0, type, 0, 0, 0, 0, 0])
}

const end = Buffer.from([0xfe, 0, 0, 2, 0])

function answer(rows: readonly Row[]): Buffer {
  const head = [
    Buffer.from([3]),
    ...[3, 253, 246].map(type => Buffer.concat([Buffer.from([0]), definition(type)])),
    end,
  ]
  return Buffer.concat([...head, ...rows.map(binaryRow), end].map(packets))
}

interface Got {
  readonly rows: (string | null)[][]
  readonly skipped: SkippedRow[]
  ended: ServerError | null | undefined
}

function read(pieces: readonly Buffer[], rowBytesMax = 1 << 26): Got {
  const got: Got = { rows: [], skipped: [], ended: undefined }
  let builder: BatchBuilder | null = null
  const flush = (): void => {
    const batch = builder?.flush()
    for (let row = 0; row < (batch?.rows ?? 0); row++) {
      got.rows.push(
        columns.map(({ type }, c) => cellText(type, (batch as NonNullable<typeof batch>).columns[c] as never, row)),
      )
    }
  }
  const reader = new RowReader(rowBytesMax, {
    columns: wires => {
      builder = batchBuilder(batchShape({ columns, key: ['id'], pool: bufferPool() }, wires, 'reject'))
    },
    rows: block => {
      if (builder?.isFullFor(block.bytes.length) === true) flush()
      assert.deepEqual(builder?.add(block), [])
    },
    skipped: row => got.skipped.push(row),
    ended: error => {
      flush()
      got.ended = error
    },
  })
  for (const piece of pieces) reader.push(piece)
  return got
}

function cut(bytes: Buffer, places: readonly number[]): readonly Buffer[] {
  const at = [...new Set(places.map(place => place % bytes.length))].sort((a, b) => a - b)
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length))
}

const anyRow: fc.Arbitrary<Row> = fc.tuple(
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.option(fc.string({ unit: 'grapheme', maxLength: 400 }), { nil: null }),
  fc.option(
    fc.bigInt({ min: 1n - 10n ** 36n, max: 10n ** 36n - 1n }).map(
      n =>
        `${n}.${String(n < 0n ? -n : n)
          .slice(-2)
          .padStart(2, '0')}`,
    ),
    { nil: null },
  ),
)

describe('rows of the binary protocol', () => {
  test('arrive the same wherever the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(anyRow, { maxLength: 40 }), fc.array(fc.nat(), { maxLength: 30 }), (rows, places) => {
        const got = read(cut(answer(rows), places))
        assert.deepEqual(
          got.rows,
          rows.map(([id, name, sum]) => [String(id), name, sum]),
        )
        assert.equal(got.ended, null)
      }),
    )
  })

  test('over several packets are put together', () => {
    const name = 'x'.repeat(FRAME_BYTES_MAX + 1000)
    const got = read(
      cut(
        answer([
          [1, name, null],
          [2, 'b', '1.00'],
        ]),
        [70_000, 900_000, FRAME_BYTES_MAX + 2],
      ),
    )
    assert.deepEqual(
      got.rows.map(row => [row[0], row[1]?.length]),
      [
        ['1', name.length],
        ['2', 1],
      ],
    )
  })

  test('over the limit are passed by, with their key and the start of each value, wherever the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 12 }), fc.integer({ min: 1, max: 400_000 }), (places, length) => {
        const name = 'y'.repeat(5_000 + length)
        const got = read(
          cut(
            answer([
              [1, 'a', null],
              [7, name, '-1.50'],
              [9, null, null],
            ]),
            places,
          ),
          5_000,
        )
        assert.deepEqual(got.rows, [
          ['1', 'a', null],
          ['9', null, null],
        ])
        const [row] = got.skipped
        assert.deepEqual(
          row?.values.map(value => value.length),
          [4, name.length, 5],
        )
        assert.equal(row.values[1]?.head.toString(), name.slice(0, 1024))
        assert.equal(row.values[2]?.head.toString(), '-1.50')
      }),
      { numRuns: 60 },
    )
  })

  test('that are noise end with an error of the protocol, and never with another', () => {
    fc.assert(
      fc.property(fc.array(anyRow, { maxLength: 5 }), fc.nat(), fc.nat({ max: 255 }), (rows, place, byte) => {
        const bytes = answer(rows)
        bytes[place % bytes.length] = byte
        try {
          read([bytes])
        } catch (error) {
          const isOurs = (error as { code?: string }).code === 'NARU_PROTOCOL' || error instanceof assert.AssertionError
          assert.ok(isOurs, String((error as Error).stack))
        }
      }),
      { numRuns: 500 },
    )
  })

  test('of an error give its number and its words', () => {
    const error = Buffer.concat([Buffer.from([0xff, 0x7a, 0x04]), Buffer.from("#42S02Table 'x' doesn't exist")])
    const got = read([packets(error)])
    assert.deepEqual(got.ended, { number: 1146, state: '42S02', message: "Table 'x' doesn't exist" })
  })
})
