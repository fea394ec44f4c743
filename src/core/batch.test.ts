import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { batchOf, column } from '../testing/suite/batches.ts'
import { batchBytes, buffersOf, fixedWidth, isValid, type ColumnBatch } from './batch.ts'
import { cellText } from './cell-text.ts'
import type { ColumnType } from './types.ts'

const decimal = (precision: number): ColumnType => ({ kind: 'decimal', precision, scale: 0 })

describe('column batch', () => {
  test.each([
    [{ kind: 'bool' }, 1],
    [{ kind: 'int', bits: 16 }, 2],
    [{ kind: 'float', bits: 32 }, 4],
    [decimal(4), 2],
    [decimal(5), 4],
    [decimal(9), 4],
    [decimal(10), 8],
    [decimal(18), 8],
    [decimal(19), 16],
    [decimal(38), 16],
    [{ kind: 'date' }, 4],
    [{ kind: 'timestamp', zoned: true }, 8],
    [{ kind: 'interval' }, 16],
    [{ kind: 'uuid' }, 16],
    [{ kind: 'text' }, null],
    [{ kind: 'json' }, null],
  ] as readonly (readonly [ColumnType, number | null])[])('%o takes %s bytes a value', (type, width) => {
    expect(fixedWidth(type)).toBe(width)
  })

  test('a row is valid by its bit, least significant first, and without bits every row is', () => {
    const bits = new Uint8Array([0b0000_0101, 0b1000_0000])
    const valid = Array.from({ length: 16 }, (_, row) => row).filter(row => isValid(bits, row))
    expect(valid).toEqual([0, 2, 15])
    expect(isValid(bits, 16)).toBe(false)
    expect(isValid(null, 1_000_000)).toBe(true)
  })

  test('its size counts values, offsets and validity', () => {
    const columns = [column('a', { kind: 'int', bits: 64 }), column('b', { kind: 'text' })]
    expect(
      batchBytes(
        batchOf(columns, [
          [1n, null],
          ['abc', ''],
        ]),
      ),
    ).toBe(16 + 1 + 3 + 12)
  })

  test('a buffer that its columns share is one buffer', () => {
    const shared = new ArrayBuffer(16)
    const half = (at: number) =>
      ({ layout: 'fixed', width: 8, validity: null, data: new Uint8Array(shared, at, 8) }) as const
    expect(buffersOf({ rows: 1, columns: [half(0), half(8)] })).toEqual([shared])
  })

  test('a text is found by its offsets, whatever its neighbours are', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.string({ unit: 'grapheme' })), { minLength: 1 }), values => {
        const text = column('a', { kind: 'text' })
        const [data] = batchOf([text], [values]).columns as [ColumnBatch['columns'][number]]
        expect(values.map((_, row) => cellText(text.type, data, row))).toEqual(values)
      }),
    )
  })
})
