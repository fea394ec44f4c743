import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { describe, test } from 'vitest'
import { cellText, daysText, decimalText, microsText } from '../../core/cell-text.ts'
import { batchBytes } from '../../core/batch.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import { CellBatches } from './batches.ts'
import { recordReader, valueAt } from './json-record.ts'
import { eachElement, isJson, JsonFault, textBytes, wholeValue } from './json-scan.ts'
import { parseCell } from './parse.ts'

const bytesOf = (text: string): Uint8Array => Buffer.from(text)
const column = (name: string, type: ColumnType, nullable = true): ColumnDef => ({
  name,
  type,
  nullable,
  personal: false,
})

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('JSON', () => {
  test('is what JSON.parse takes, whatever was changed in it', () => {
    const broken = fc
      .tuple(
        fc.json(),
        fc.nat(),
        fc.constantFrom('', '"', '\\', '{', ']', ',', ':', '-', '0', '.', 'e', ' ', '\n', 'null'),
      )
      .map(([text, at, piece]) => {
        const place = at % (text.length + 1)
        return text.slice(0, place) + piece + text.slice(place + 1)
      })
    fc.assert(
      fc.property(fc.oneof(fc.json(), broken), text => {
        assert.equal(isJson(bytesOf(text)), parses(text), text)
      }),
      { numRuns: 3000 },
    )
  })

  test.each([
    '',
    ' ',
    '01',
    '1.',
    '.5',
    '+1',
    '1e',
    '-',
    'nul',
    '"\\x"',
    '"\t"',
    '[1,]',
    '{"a"}',
    '{a:1}',
    '1 2',
    '\u00a01',
  ])('%j is none', text => assert.ok(!isJson(bytesOf(text))))

  test('a text is read with its escapes, and half of a character is seen', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, escaped) => {
        const written = escaped
          ? `"${[...Array(text.length).keys()].map(i => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`
          : JSON.stringify(text)
        const bytes = bytesOf(written)
        const found = textBytes(bytes, wholeValue(bytes))
        assert.equal(found === null ? null : Buffer.from(found).toString(), text.isWellFormed() ? text : null)
      }),
    )
  })

  test('deep nesting ends with an error and not with the stack', () => {
    assert.throws(() => wholeValue(bytesOf('['.repeat(100_000))), JsonFault)
    assert.throws(() => wholeValue(bytesOf('{"a":'.repeat(100_000))), JsonFault)
    assert.ok(isJson(bytesOf('['.repeat(100) + ']'.repeat(100))))
  })

  test('a value is found on its way, and each element of a list', () => {
    const bytes = bytesOf(' { "a" : {"b\\u0063": [1, "x" , {}]}, "d": 1 } ')
    const list = valueAt(bytes, wholeValue(bytes), ['a', 'bc'])
    assert.ok(list !== null)
    const found: string[] = []
    eachElement(bytes, list.start, ({ start, end }) => found.push(Buffer.from(bytes.subarray(start, end)).toString()))
    assert.deepEqual(found, ['1', '"x"', '{}'])
    assert.equal(valueAt(bytes, wholeValue(bytes), ['d', 'x']), null)
  })

  test('two columns may be read from one place', () => {
    const fields = [
      { column: column('a', { kind: 'text' }), path: ['x'] },
      { column: column('b', { kind: 'json' }), path: ['x'] },
    ]
    const bytes = bytesOf('{"x": 1.50}')
    const values = recordReader(fields)(bytes, wholeValue(bytes))
    assert.deepEqual(values, [{ text: bytesOf('1.50') }, { text: bytesOf('1.50') }])
  })
})

describe('typed cells', () => {
  test('decimals are read exactly, and what would be rounded is refused', () => {
    const decimal = fc.tuple(
      fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n }),
      fc.integer({ min: 0, max: 38 }),
    )
    fc.assert(
      fc.property(decimal, ([unscaled, scale]) => {
        const type: ColumnType = { kind: 'decimal', precision: 38, scale }
        const text = decimalText(unscaled, scale)
        assert.equal(BigInt(parseCell(type, bytesOf(text)) as bigint), unscaled)
        assert.equal(BigInt(parseCell(type, bytesOf(`${unscaled}e-${scale}`)) as bigint), unscaled)
        if (scale < 38) assert.equal(typeof parseCell(type, bytesOf(`${text}${scale === 0 ? '.' : ''}01`)), 'string')
      }),
    )
  })

  test('whole numbers at and over their limits', () => {
    for (const bits of [16, 32, 64] as const) {
      const limit = 1n << BigInt(bits - 1)
      const type: ColumnType = { kind: 'int', bits }
      assert.equal(BigInt(parseCell(type, bytesOf(String(limit - 1n))) as bigint), limit - 1n)
      assert.equal(BigInt(parseCell(type, bytesOf(String(-limit))) as bigint), -limit)
      assert.equal(typeof parseCell(type, bytesOf(String(limit))), 'string')
      assert.equal(typeof parseCell(type, bytesOf(String(-limit - 1n))), 'string')
    }
  })

  test('an exponent that is an attack costs nothing', () => {
    for (const text of ['1e999999999', '1e-999999999', `0.${'0'.repeat(2000)}1`]) {
      assert.equal(typeof parseCell({ kind: 'decimal', precision: 38, scale: 10 }, bytesOf(text)), 'string')
    }
    assert.equal(parseCell({ kind: 'int', bits: 64 }, bytesOf('0e999999999')), 0n)
  })

  test('dates and moments are read as they are written, in every year', () => {
    const day = fc.integer({ min: -719_528, max: 2_932_896 }) // the years 0 to 9999
    fc.assert(
      fc.property(day, fc.bigInt({ min: 0n, max: 86_399_999_999n }), (days, micros) => {
        const text = daysText(days)
        if (text.endsWith('BC')) return // the year 0 is written in another way
        assert.equal(parseCell({ kind: 'date' }, bytesOf(text)), days)
        const moment = BigInt(days) * 86_400_000_000n + micros
        assert.equal(parseCell({ kind: 'timestamp', zoned: true }, bytesOf(microsText(moment, true))), moment)
        assert.equal(parseCell({ kind: 'timestamp', zoned: false }, bytesOf(microsText(moment, false))), moment)
      }),
    )
  })

  test.each(['2023-02-29', '2024-13-01', '2024-00-10', '2024-1-1', '24-01-01', '2024-04-31'])('%s is no date', text =>
    assert.equal(typeof parseCell({ kind: 'date' }, bytesOf(text)), 'string'),
  )
})

describe('batches of cells', () => {
  test('hold every row once, in order, whatever its values; the others are rejects', () => {
    const columns = [
      column('id', { kind: 'int', bits: 32 }, false),
      column('name', { kind: 'text' }),
      column('flag', { kind: 'bool' }),
      column('n', { kind: 'decimal', precision: 38, scale: 0 }),
    ]
    const row = fc.record({
      name: fc.option(fc.string(), { nil: null }),
      flag: fc.constantFrom('true', 'false', null, 'maybe'),
      n: fc.option(fc.bigInt({ min: -(10n ** 37n), max: 10n ** 37n }), { nil: null }),
    })
    fc.assert(
      fc.property(fc.array(row, { maxLength: 600 }), rows => {
        const batches = new CellBatches(columns, ['id'], 1000)
        const found: (string | null)[][] = []
        const rejected: string[] = []
        const take = (): void => {
          const { batch, rejects } = batches.take()
          assert.ok(batchBytes(batch) < 8 << 20)
          for (let r = 0; r < batch.rows; r++) {
            found.push(columns.map(({ type }, c) => cellText(type, batch.columns[c] as never, r)))
          }
          rejected.push(...rejects.map(it => String(it.key?.['id'])))
        }
        rows.forEach(({ name, flag, n }, i) => {
          const texts = [String(i), name, flag, n === null ? null : String(n)]
          batches.add(texts.map(text => (text === null ? null : { text: bytesOf(text) })))
          if (batches.full || i % 97 === 0) take()
        })
        take()
        const isBad = ({ flag, name }: (typeof rows)[number]): boolean =>
          flag === 'maybe' || name?.includes('\0') === true || Buffer.byteLength(name ?? '') > 900
        const expected = rows.flatMap((it, i) =>
          isBad(it) ? [] : [[String(i), it.name, it.flag, it.n === null ? null : String(it.n)]],
        )
        assert.deepEqual(found, expected)
        assert.deepEqual(
          rejected,
          rows.flatMap((it, i) => (isBad(it) ? [String(i)] : [])),
        )
      }),
      { numRuns: 60 },
    )
  })
})
