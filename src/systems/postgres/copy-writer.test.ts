import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, test } from 'vitest'
import { fixedWidth, INFINITY_DAYS, INFINITY_MICROS, type ColumnBatch, type ColumnData } from '../../core/batch.ts'
import { cellText } from '../../core/cell-text.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import { batchBuilder } from '../wire/batch-builder.ts'
import { batchShape } from './batch-shape.ts'
import { bufferPool } from '../../core/buffer-pool.ts'
import { CopyReader } from './copy-reader.ts'
import { copyWriter, PIECE_BYTES, UnfitValue } from './copy-writer.ts'

type Cell = Uint8Array | null

describe('writing a COPY', () => {
  test('what is written reads back the same, for every type, NULLs and all', () => {
    const types = fc.array(columnTypes, { minLength: 1, maxLength: 6 })
    const tables = types.chain(list =>
      fc.record({
        types: fc.constant(list),
        rows: fc.array(fc.tuple(...list.map(type => fc.option(valueOf(type), { freq: 6 }))), { maxLength: 60 }),
      }),
    )
    fc.assert(
      fc.property(tables, ({ types: list, rows }) => {
        const batch = batchOf(list, rows)
        assert.deepEqual(readBack(list, write(list, batch)), textsOf(list, batch))
      }),
      { numRuns: 500 },
    )
  })

  test('more rows than a piece holds, and a row that is larger than one', () => {
    const types: ColumnType[] = [{ kind: 'int', bits: 64 }, { kind: 'text' }]
    const bodies = Array.from({ length: 9_000 }, (_, i) => Buffer.alloc(i === 5_000 ? 3 * PIECE_BYTES : i % 300, 'x'))
    const batch = batchOf(
      types,
      bodies.map((body, i) => [int(8, BigInt(i)), body]),
    )
    const pieces = write(types, batch)
    assert.ok(pieces.filter(piece => piece.length > 2 * PIECE_BYTES).length === 1)
    assert.ok(pieces.length > 5)
    assert.deepEqual(readBack(types, pieces), textsOf(types, batch))
  })

  test('a pool gives the memory of the pieces again', () => {
    const types: ColumnType[] = [{ kind: 'text' }]
    const pool = bufferPool()
    const writer = copyWriter(columnsOf(types), pool)
    for (let round = 0; round < 3; round++) {
      const batch = batchOf(types, [[Buffer.from(`round ${round}`)]])
      const pieces = [...writer.pieces(batch)]
      assert.deepEqual(readBack(types, [writer.header(), ...pieces, writer.trailer()]), [[`round ${round}`]])
      pool.give(pieces.map(piece => piece.buffer as ArrayBuffer))
    }
  })
})

describe('values that PostgreSQL does not hold', () => {
  const micros = (value: bigint): Cell => int(8, value)
  const cases: readonly (readonly [string, ColumnType, Cell])[] = [
    ['a NUL character', { kind: 'text' }, Buffer.from('a\0b')],
    ['a date before its calendar', { kind: 'date' }, int(4, -2_440_589n)],
    ['a date after its calendar', { kind: 'date' }, int(4, 2_145_042_906n)],
    ['a timestamp before its calendar', { kind: 'timestamp', zoned: true }, micros(-210_866_803_200_000_001n)],
    ['a time over 24:00', { kind: 'time' }, micros(86_400_000_001n)],
    ['a time below zero', { kind: 'time' }, micros(-1n)],
    ['more digits than the precision', { kind: 'decimal', precision: 3, scale: 1 }, int(2, 1_000n)],
    ['more digits than the precision, in 128 bits', { kind: 'decimal', precision: 38, scale: 0 }, int(16, 10n ** 38n)],
    ['what means an infinite interval', { kind: 'interval' }, interval(2 ** 31 - 1, 2 ** 31 - 1, 2n ** 63n - 1n)],
  ]
  for (const [name, type, value] of cases) {
    test(name, () => {
      const fine = batchOf([type], [[null], [null]])
      assert.equal(write([type], fine).length, 3)
      const batch = batchOf([type], [[null], [value]])
      assert.throws(
        () => write([type], batch),
        error => error instanceof UnfitValue && error.column === 'c0' && error.row === 1,
      )
    })
  }

  test('the last values that it holds', () => {
    const held: readonly (readonly [ColumnType, Cell, string])[] = [
      [{ kind: 'date' }, int(4, -2_440_588n), '4714-11-24 BC'],
      [{ kind: 'date' }, int(4, 2_145_042_905n), '5874897-12-31'],
      [{ kind: 'timestamp', zoned: false }, micros(-210_866_803_200_000_000n), '4714-11-24 00:00:00 BC'],
      [{ kind: 'time' }, micros(86_400_000_000n), '24:00:00'],
    ]
    for (const [type, value, text] of held) {
      assert.deepEqual(readBack([type], write([type], batchOf([type], [[value]]))), [[text]])
    }
  })

  test('the bytes of a NULL row mean nothing', () => {
    const text: ColumnType = { kind: 'text' }
    const column: ColumnData = {
      layout: 'bytes',
      validity: Uint8Array.of(0b101),
      offsets: Uint32Array.of(0, 1, 3, 4),
      data: Buffer.from('a\0\0b'),
    }
    assert.deepEqual(readBack([text], write([text], { rows: 3, columns: [column] })), [['a'], [null], ['b']])
  })
})

const columnTypes: fc.Arbitrary<ColumnType> = fc.oneof(
  fc.constantFrom<ColumnType>(
    { kind: 'bool' },
    { kind: 'int', bits: 16 },
    { kind: 'int', bits: 32 },
    { kind: 'int', bits: 64 },
    { kind: 'float', bits: 32 },
    { kind: 'float', bits: 64 },
    { kind: 'text' },
    { kind: 'enum', values: ['a', 'b'] },
    { kind: 'bytes' },
    { kind: 'json' },
    { kind: 'uuid' },
    { kind: 'date' },
    { kind: 'time' },
    { kind: 'timestamp', zoned: true },
    { kind: 'timestamp', zoned: false },
    { kind: 'interval' },
  ),
  fc
    .record({ precision: fc.integer({ min: 1, max: 38 }), share: fc.double({ min: 0, max: 1, noNaN: true }) })
    .map(({ precision, share }): ColumnType => ({ kind: 'decimal', precision, scale: Math.round(share * precision) })),
)

/** Any value of the type that PostgreSQL holds, as a batch lays it out. */
function valueOf(type: ColumnType): fc.Arbitrary<Cell> {
  const whole = (width: number, from: bigint, to: bigint, ...edges: bigint[]): fc.Arbitrary<Cell> =>
    fc.oneof(fc.bigInt(from, to), fc.bigInt(-99n, 99n), fc.constantFrom(from, to, ...edges)).map(n => int(width, n))
  switch (type.kind) {
    case 'bool':
      return fc.constantFrom(Uint8Array.of(0), Uint8Array.of(1))
    case 'int': {
      const limit = 2n ** BigInt(type.bits - 1)
      return whole(type.bits / 8, -limit, limit - 1n)
    }
    case 'float':
      return fc.uint8Array({ minLength: type.bits / 8, maxLength: type.bits / 8 })
    case 'decimal': {
      const limit = 10n ** BigInt(type.precision) - 1n
      return whole(fixedWidth(type) as number, -limit, limit, 0n).filter(it => {
        const value = signed(it as Uint8Array)
        return value <= limit && value >= -limit
      })
    }
    case 'date':
      return whole(4, -2_440_588n, 2_145_042_905n, BigInt(INFINITY_DAYS), -BigInt(INFINITY_DAYS))
    case 'time':
      return fc.bigInt(0n, 86_400_000_000n).map(n => int(8, n))
    case 'timestamp':
      return whole(8, -210_866_803_200_000_000n, INFINITY_MICROS - 1n, INFINITY_MICROS, -INFINITY_MICROS)
    case 'interval':
      return fc
        .tuple(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 2 }), fc.integer(), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n))
        .filter(([months]) => months > -(2 ** 31))
        .map(([months, days, rest]) => interval(months, days, rest))
    case 'uuid':
      return fc.uint8Array({ minLength: 16, maxLength: 16 })
    case 'bytes':
      return fc.uint8Array({ maxLength: 60 })
    case 'text':
    case 'enum':
    case 'json':
      return fc.string({ unit: 'binary', maxLength: 40 }).map(word => Buffer.from(word.replaceAll('\0', '-')))
  }
}

function int(width: number, value: bigint): Uint8Array {
  const bytes = Buffer.alloc(width)
  for (let i = 0; i < width; i++) bytes[i] = Number((value >> BigInt(8 * i)) & 0xffn)
  return bytes
}

function signed(bytes: Uint8Array): bigint {
  const value = bytes.reduce((sum, byte, i) => sum | (BigInt(byte) << BigInt(8 * i)), 0n)
  return BigInt.asIntN(bytes.length * 8, value)
}

function interval(months: number, days: number, micros: bigint): Uint8Array {
  return Buffer.concat([int(4, BigInt(months)), int(4, BigInt(days)), int(8, micros)])
}

function columnsOf(types: readonly ColumnType[]): ColumnDef[] {
  return types.map((type, i) => ({ name: `c${i}`, type, nullable: true, personal: false }))
}

function batchOf(types: readonly ColumnType[], rows: readonly (readonly Cell[])[]): ColumnBatch {
  return {
    rows: rows.length,
    columns: types.map((type, c) =>
      columnData(
        type,
        rows.map(row => row[c] as Cell),
      ),
    ),
  }
}

function columnData(type: ColumnType, cells: readonly Cell[]): ColumnData {
  const validity = new Uint8Array((cells.length + 7) >> 3)
  cells.forEach((cell, i) => (validity[i >> 3] = (validity[i >> 3] as number) | (cell === null ? 0 : 1 << (i & 7))))
  const width = fixedWidth(type)
  if (width !== null) {
    const data = Buffer.concat(cells.map(cell => cell ?? Buffer.alloc(width, 0xee)))
    return { layout: 'fixed', width, validity, data }
  }
  const offsets = new Uint32Array(cells.length + 1)
  cells.forEach((cell, i) => (offsets[i + 1] = (offsets[i] as number) + (cell?.length ?? 0)))
  return { layout: 'bytes', validity, offsets, data: Buffer.concat(cells.map(cell => cell ?? Buffer.alloc(0))) }
}

function write(types: readonly ColumnType[], batch: ColumnBatch): Buffer[] {
  const writer = copyWriter(columnsOf(types))
  return [writer.header(), ...writer.pieces(batch), writer.trailer()]
}

function textsOf(types: readonly ColumnType[], batch: ColumnBatch): (string | null)[][] {
  return Array.from({ length: batch.rows }, (_, row) =>
    types.map((type, c) => cellText(type, batch.columns[c] as ColumnData, row)),
  )
}

/** Reads the bytes as a server would send them: a server sends each row as a message of its own. */
function readBack(types: readonly ColumnType[], pieces: readonly Buffer[]): (string | null)[][] {
  const body = Buffer.concat(pieces.map(piece => piece.subarray(5)))
  assert.ok(pieces.every(piece => piece[0] === 0x64 && piece.readUInt32BE(1) === piece.length - 1))
  const rows: (string | null)[][] = []
  const builder = batchBuilder(batchShape({ columns: columnsOf(types), key: [], pool: bufferPool() }, null))
  const flush = (): void => {
    const batch = builder.flush()
    if (batch !== null) rows.push(...textsOf(types, batch))
  }
  const reader = new CopyReader(types.length, 2 ** 30, {
    rows: block => {
      if (builder.isFullFor(block.bytes.length)) flush()
      assert.deepEqual(builder.add(block), [])
    },
    skipped: () => assert.fail('nothing is skipped'),
    failed: () => assert.fail('nothing fails'),
    ready: flush,
  })
  for (const row of messagesOf(body, types.length)) reader.push(row)
  reader.push(Buffer.from([0x5a, 0, 0, 0, 5, 0x54]))
  return rows
}

function* messagesOf(body: Buffer, columns: number): Iterable<Buffer> {
  let from = 0
  let at = 19
  while (body.readInt16BE(at) !== -1) {
    assert.equal(body.readInt16BE(at), columns)
    at += 2
    for (let c = 0; c < columns; c++) at += 4 + Math.max(0, body.readInt32BE(at))
    yield frame(body.subarray(from, at))
    from = at
  }
  assert.equal(at + 2, body.length)
  yield frame(body.subarray(from))
}

function frame(body: Buffer): Buffer {
  const head = Buffer.from([0x64, 0, 0, 0, 0])
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
