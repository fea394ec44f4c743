import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { describe, test } from 'vitest'
import { cellText, decimalText } from '../../core/cell-text.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import { batchBuilder } from '../wire/batch-builder.ts'
import { batchShape } from './batch-shape.ts'
import { bufferPool } from '../../core/buffer-pool.ts'
import { CopyReader, type ServerError } from './copy-reader.ts'
import type { SkippedRow } from '../wire/skipped-row.ts'

const int64: ColumnType = { kind: 'int', bits: 64 }
const text: ColumnType = { kind: 'text' }

type Value = Buffer | null

describe('reading a COPY', () => {
  test('rows are the same however the stream is cut into pieces', () => {
    const rows = fc.array(
      fc.tuple(fc.option(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)), fc.option(fc.string({ unit: 'binary' }))),
      {
        maxLength: 40,
      },
    )
    fc.assert(
      fc.property(rows, fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }), (values, sizes) => {
        const stream = copyOf(
          values.map(([number, word]) => [
            number === null ? null : int64Of(number),
            word === null ? null : Buffer.from(word),
          ]),
        )
        const expected = values.map(([number, word]) => [number === null ? null : String(number), word])
        assert.deepEqual(decode([int64, text], pieces(stream, sizes)).rows, expected)
      }),
    )
  })

  test('a row longer than any piece arrives whole', () => {
    const body = '나루'.repeat(200_000)
    const stream = copyOf([
      [int64Of(1n), Buffer.from('a')],
      [int64Of(2n), Buffer.from(body)],
      [int64Of(3n), Buffer.from('b')],
    ])
    for (const size of [1_000, 65_536, 700_000, stream.length]) {
      assert.deepEqual(decode([int64, text], pieces(stream, [size])).rows, [
        ['1', 'a'],
        ['2', body],
        ['3', 'b'],
      ])
    }
  })

  test('a row over the limit is skipped with its key, wherever it stands and however it is cut', () => {
    const large = (id: bigint): Value[] => [int64Of(id), Buffer.alloc(5_000, 'x')]
    const small = (id: bigint): Value[] => [int64Of(id), Buffer.from('fine')]
    const stream = copyOf([large(1n), small(2n), large(3n), large(4n), small(5n)])
    for (const size of [1, 7, 1_000, stream.length]) {
      const { rows, skipped } = decode([int64, text], pieces(stream, [size]), 2_000)
      assert.deepEqual(
        rows.map(row => row[0]),
        ['2', '5'],
      )
      assert.deepEqual(
        skipped.map(row => row.values[0]?.head.readBigInt64BE()),
        [1n, 3n, 4n],
      )
      assert.ok(skipped.every(row => row.values[1]?.length === 5_000 && row.values[1].head.length <= 1_024))
    }
  })

  test('more rows than one batch holds keep their order and their NULLs', () => {
    const count = 150_000
    const stream = copyOf(
      Array.from({ length: count }, (_, i) => [int64Of(BigInt(i)), i % 3 === 0 ? null : Buffer.from(`w${i}`)]),
    )
    const { rows, batches } = decode([int64, text], pieces(stream, [65_536]))
    assert.ok(batches > 2)
    assert.equal(rows.length, count)
    assert.ok(rows.every(([id, word], i) => id === String(i) && word === (i % 3 === 0 ? null : `w${i}`)))
  })

  test('bad values take their rows out and leave the others as they are', () => {
    const bad = Buffer.from([0xff])
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }), goods => {
        const stream = copyOf(
          goods.map((good, i) => [i % 4 === 0 ? null : int64Of(BigInt(i)), good ? Buffer.from(`w${i}`) : bad]),
        )
        const { rows, badKeys } = decode([int64, text], pieces(stream, [300]))
        const keyOf = (i: number): string | null => (i % 4 === 0 ? null : String(i))
        assert.deepEqual(
          rows,
          goods.flatMap((good, i) => (good ? [[keyOf(i), `w${i}`]] : [])),
        )
        assert.deepEqual(
          badKeys,
          goods.flatMap((good, i) => (good ? [] : [keyOf(i)])),
        )
      }),
    )
  })

  test('a thousand columns keep the limit of a batch', () => {
    const types = Array.from({ length: 1_600 }, (): ColumnType => ({ kind: 'uuid' }))
    const row = types.map(() => Buffer.alloc(16, 7))
    const { rows, bytesMax } = decode(types, [copyOf(Array.from({ length: 500 }, () => row))])
    assert.equal(rows.length, 500)
    assert.ok(bytesMax <= 8 * 1024 * 1024)
  })

  test('an error of the server is told, and bytes that are no protocol are refused', () => {
    const error = frame('E', Buffer.from('SERROR\0C22012\0Mdivision by zero\0\0'))
    assert.deepEqual(decode([int64], [Buffer.concat([error, frame('Z', Buffer.from('E'))])]).error, {
      code: '22012',
      message: 'division by zero',
    })
    for (const wrong of [
      Buffer.from('HTTP/1.1 400 Bad Request'),
      frame('d', Buffer.alloc(40)),
      frame('Z', Buffer.alloc(2_000_000)),
    ]) {
      assert.throws(() => decode([int64], [wrong]), /the server sent/)
    }
    const short = copyOf([[Buffer.alloc(4)]])
    assert.throws(() => decode([int64], [short]), /4 bytes where 8 belong/)
    assert.throws(() => decode([int64, int64], [copyOf([[int64Of(1n)]])]), /1 values where 2 belong/)
  })
})

describe('numeric', () => {
  test('every decimal of every precision and scale is exact', () => {
    const decimals = fc
      .record({ precision: fc.integer({ min: 1, max: 38 }), share: fc.double({ min: 0, max: 1, noNaN: true }) })
      .chain(({ precision, share }) => {
        const limit = 10n ** BigInt(precision) - 1n
        return fc.record({
          precision: fc.constant(precision),
          scale: fc.constant(Math.round(share * precision)),
          values: fc.array(
            fc.oneof(fc.bigInt(-limit, limit), fc.bigInt(-99n, 99n), fc.constantFrom(limit, -limit, 0n)),
            { minLength: 1 },
          ),
        })
      })
    fc.assert(
      fc.property(decimals, ({ precision, scale, values }) => {
        const limit = 10n ** BigInt(precision)
        const fit = values.filter(value => value < limit && value > -limit)
        const stream = copyOf(fit.map(value => [numericOf(value, scale)]))
        const { rows } = decode([{ kind: 'decimal', precision, scale }], [stream])
        assert.deepEqual(
          rows.map(row => row[0]),
          fit.map(value => decimalText(value, scale)),
        )
      }),
      { numRuns: 300 },
    )
  })
})

interface Decoded {
  readonly rows: (string | null)[][]
  readonly skipped: SkippedRow[]
  readonly badKeys: (string | null)[]
  batches: number
  bytesMax: number
  error: ServerError | null
}

function decode(types: readonly ColumnType[], stream: readonly Buffer[], rowBytesMax = 100_000_000): Decoded {
  const columns = types.map((type, i): ColumnDef => ({ name: `c${i}`, type, nullable: true, personal: false }))
  const pool = bufferPool()
  const builder = batchBuilder(batchShape({ columns, key: ['c0'], pool }, isUtf8))
  const found: Decoded = { rows: [], skipped: [], badKeys: [], batches: 0, bytesMax: 0, error: null }
  const flush = (): void => {
    const batch = builder.flush()
    if (batch === null) return
    for (let row = 0; row < batch.rows; row++) {
      found.rows.push(batch.columns.map((column, c) => cellText(types[c] as ColumnType, column, row)))
    }
    found.batches++
    found.bytesMax = Math.max(
      found.bytesMax,
      batch.columns.reduce((sum, column) => sum + column.data.byteLength, 0),
    )
    pool.give(batch.columns.map(column => column.data.buffer as ArrayBuffer))
  }
  const reader = new CopyReader(types.length, rowBytesMax, {
    rows: block => {
      if (builder.isFullFor(block.bytes.length)) flush()
      for (const bad of builder.add(block)) found.badKeys.push(bad.key?.['c0'] ?? null)
    },
    skipped: row => found.skipped.push(row),
    failed: error => (found.error = error),
    ready: flush,
  })
  for (const piece of stream) reader.push(piece)
  return found
}

/** The whole answer to a COPY, as a server sends it. */
function copyOf(rows: readonly (readonly Value[])[]): Buffer {
  const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
  const [first, ...others] = [...rows.map(rowOf), Buffer.from([0xff, 0xff])]
  const data = [Buffer.concat([header, first as Buffer]), ...others].map(row => frame('d', row))
  const end = [frame('c', Buffer.alloc(0)), frame('C', Buffer.from('COPY 1\0')), frame('Z', Buffer.from('T'))]
  return Buffer.concat([frame('H', Buffer.alloc(3)), ...data, ...end])
}

function frame(kind: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.write(kind)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

function rowOf(values: readonly Value[]): Buffer {
  const count = Buffer.alloc(2)
  count.writeInt16BE(values.length)
  const parts = values.flatMap(value => {
    const length = Buffer.alloc(4)
    length.writeInt32BE(value?.length ?? -1)
    return value === null ? [length] : [length, value]
  })
  return Buffer.concat([count, ...parts])
}

function int64Of(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}

/** As the server encodes it: digits to base 10,000 around the decimal point, zeros at both ends left out. */
function numericOf(unscaled: bigint, scale: number): Buffer {
  const all = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const whole = all.slice(0, all.length - scale)
  const left = whole.padStart(Math.ceil(whole.length / 4) * 4, '0')
  const fraction = all.slice(all.length - scale)
  const right = scale === 0 ? '' : fraction.padEnd(Math.ceil(scale / 4) * 4, '0')
  const digits = (left + right).match(/.{4}/g)?.map(Number) ?? []
  let weight = left.length / 4 - 1
  while (digits[0] === 0) {
    digits.shift()
    weight--
  }
  while (digits.at(-1) === 0) digits.pop()
  const words = [digits.length, digits.length === 0 ? 0 : weight, unscaled < 0n ? 0x4000 : 0, scale, ...digits]
  const bytes = Buffer.alloc(words.length * 2)
  words.forEach((word, i) => bytes.writeInt16BE(word, i * 2))
  return bytes
}

/** Cuts the stream into pieces of these sizes, in turns. Each piece is memory of its own, as from a socket. */
function pieces(stream: Buffer, sizes: readonly number[]): Buffer[] {
  const cut: Buffer[] = []
  for (let at = 0, i = 0; at < stream.length; i++) {
    const size = sizes[i % sizes.length] as number
    cut.push(Buffer.from(stream.subarray(at, at + size)))
    at += size
  }
  return cut
}
