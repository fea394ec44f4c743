import assert from 'node:assert/strict'
import type { Expr } from '../../core/expr.ts'
import { typeText, type ColumnType } from '../../core/types.ts'
import type { EnginePromise } from './conformance-support.ts'
import { valueOf } from './conformance-functions.ts'
import type { Cell, Engine } from './contract.ts'

type Case = readonly [from: string, to: Cell]

const text: ColumnType = { kind: 'text' }
const float: ColumnType = { kind: 'float', bits: 64 }

/** Text to each type: the value exactly, or NULL. */
const fromText: readonly (readonly [type: ColumnType, cases: readonly Case[]])[] = [
  [
    text,
    [
      ['', ''],
      [' a ', ' a '],
    ],
  ],
  [
    { kind: 'enum', values: ['a', 'B'] },
    [
      ['a', 'a'],
      ['b', null],
      ['', null],
      ['a ', null],
    ],
  ],
  [
    { kind: 'json' },
    [
      ['{"b":  1}', '{"b":  1}'],
      ['{', null],
      ['', null],
      ["{'a':1}", null],
      ['[1,]', null],
      ['{"a":1, }', null],
      ['[NaN]', null],
      ['-Infinity', null],
      ['{"NaN, i": ",]", "b": "\\"inf"}', '{"NaN, i": ",]", "b": "\\"inf"}'],
      ['[true, false, null, 1e5]', '[true, false, null, 1e5]'],
    ],
  ],
  [
    { kind: 'bytes' },
    [
      ['\\x00ff', '\\x00ff'],
      ['00FF', '\\x00ff'],
      ['', '\\x'],
      ['0', null],
      ['xyz', null],
    ],
  ],
  [
    { kind: 'bool' },
    [
      ['true', true],
      ['T', true],
      ['no', false],
      ['0', false],
      ['2', null],
      ['', null],
    ],
  ],
  [
    { kind: 'uuid' },
    [
      ['A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
      ['a0eebc99-9c0b', null],
    ],
  ],
  [
    { kind: 'int', bits: 16 },
    [
      ['32767', 32_767],
      ['32768', null],
      ['-32768', -32_768],
    ],
  ],
  [
    { kind: 'int', bits: 32 },
    [
      ['1', 1],
      [' -7 ', -7],
      ['+7', 7],
      ['1.0', 1],
      ['1.5', null],
      ['0.9', null],
      ['1e3', 1000],
      ['1.5e0', null],
      ['1_000', null],
      ['0x1F', null],
      ['', null],
      ['one', null],
      ['2147483648', null],
    ],
  ],
  [
    { kind: 'int', bits: 64 },
    [
      ['9223372036854775807', 2n ** 63n - 1n],
      ['9223372036854775808', null],
      ['-9223372036854775808', -(2n ** 63n)],
    ],
  ],
  [
    { kind: 'decimal', precision: 4, scale: 2 },
    [
      ['12.34', '12.34'],
      ['12.345', null],
      ['12.340', '12.34'],
      ['.5', '0.50'],
      ['5.', '5.00'],
      ['-99.99', '-99.99'],
      ['100', null],
      ['1e1', '10.00'],
      ['1.234e0', null],
      ['1,5', null],
      ['', null],
      ['NaN', null],
    ],
  ],
  [
    { kind: 'decimal', precision: 38, scale: 0 },
    [
      ['9'.repeat(38), '9'.repeat(38)],
      ['9'.repeat(39), null],
      ['0.5', null],
    ],
  ],
  [
    float,
    [
      ['0.1', 0.1],
      ['1e3', 1000],
      ['-Infinity', -Infinity],
      ['NaN', NaN],
      ['1e999', null],
      ['1_0.5', null],
      ['', null],
    ],
  ],
  [
    { kind: 'date' },
    [
      ['2024-02-29', '2024-02-29'],
      ['2023-02-29', null],
      ['2024-02-29x', null],
      ['2024-02-29 10:00', null],
      ['2024-02-29 00:00:00', '2024-02-29'],
      ['02/29/2024', null],
      ['infinity', 'infinity'],
      ['', null],
    ],
  ],
  [
    { kind: 'time' },
    [
      ['10:00', '10:00:00'],
      ['23:59:59.999999', '23:59:59.999999'],
      ['24:00:00', '24:00:00'],
      ['10:00:00.1234567', null],
      ['10:00:00.1234560', '10:00:00.123456'],
      ['10:00:00+02', null],
      ['25:00', null],
      ['2024-01-01 10:00:00', null],
    ],
  ],
  [
    { kind: 'timestamp', zoned: false },
    [
      ['2024-01-05', '2024-01-05 00:00:00'],
      ['2024-01-05T10:00:00.5', '2024-01-05 10:00:00.5'],
      ['2024-01-05 10:00:00.1234567', null],
      ['2024-01-05 10:00:00+02', null],
      ['2024-01-05T10:00:00Z', null],
      ['-infinity', '-infinity'],
      ['2024-13-01', null],
    ],
  ],
  [
    { kind: 'timestamp', zoned: true },
    [
      ['2024-01-05 10:00:00+02:30', '2024-01-05 07:30:00+00'],
      ['2024-01-05T10:00:00Z', '2024-01-05 10:00:00+00'],
      ['2024-01-05 10:00:00', '2024-01-05 10:00:00+00'],
      ['2024-01-05 10:00:00.1234567Z', null],
      ['infinity', 'infinity'],
      ['soon', null],
    ],
  ],
  [
    { kind: 'interval' },
    [
      ['1 year 2 mons 3 days 04:05:06.789', '1 year 2 mons 3 days 04:05:06.789'],
      ['soon', null],
    ],
  ],
]

/** Other types to each other: never a rounding, never a part that is dropped. */
const between: readonly (readonly [from: ColumnType, to: ColumnType, cases: readonly Case[]])[] = [
  [
    float,
    { kind: 'int', bits: 32 },
    [
      ['3', 3],
      ['3.5', null],
      ['-0.5', null],
      ['1e10', null],
    ],
  ],
  [
    float,
    { kind: 'int', bits: 64 },
    [
      ['1e17', 100_000_000_000_000_000n],
      ['1e19', null],
      ['NaN', null],
    ],
  ],
  [
    float,
    { kind: 'decimal', precision: 20, scale: 18 },
    [
      ['0.3', '0.300000000000000000'],
      ['1e-7', '0.000000100000000000'],
    ],
  ],
  [
    float,
    { kind: 'decimal', precision: 10, scale: 2 },
    [
      ['0.125', null],
      ['0.25', '0.25'],
      ['Infinity', null],
    ],
  ],
  [
    { kind: 'decimal', precision: 10, scale: 2 },
    { kind: 'int', bits: 16 },
    [
      ['7.00', 7],
      ['7.50', null],
      ['99999', null],
    ],
  ],
  [
    { kind: 'decimal', precision: 10, scale: 2 },
    { kind: 'decimal', precision: 10, scale: 1 },
    [
      ['7.50', '7.5'],
      ['7.55', null],
    ],
  ],
  [
    { kind: 'timestamp', zoned: false },
    { kind: 'date' },
    [
      ['2024-01-05 00:00:00', '2024-01-05'],
      ['2024-01-05 10:00:00', null],
    ],
  ],
  [{ kind: 'date' }, { kind: 'timestamp', zoned: false }, [['2024-01-05', '2024-01-05 00:00:00']]],
  [{ kind: 'timestamp', zoned: true }, { kind: 'timestamp', zoned: false }, [['2024-01-05 10:00:00Z', null]]],
  [{ kind: 'int', bits: 32 }, text, [['12', '12']]],
  [
    { kind: 'int', bits: 32 },
    { kind: 'bool' },
    [
      ['1', true],
      ['2', null],
    ],
  ],
]

const typed = (value: string, type: ColumnType): Expr => ({
  kind: 'cast',
  arg: { kind: 'literal', value, type: text },
  type,
})

async function checkCases(engine: Engine, cases: readonly Case[], castOf: (from: string) => Expr): Promise<void> {
  for (const [from, to] of cases) {
    assert.deepEqual(await valueOf(engine, castOf(from)), to, `of ${JSON.stringify(from)}`)
  }
}

/** Casts: the value exactly as it was, or NULL. */
export const castPromises: readonly EnginePromise[] = [
  ...fromText.map(([type, cases]) => ({
    name: `text becomes ${typeText(type)} exactly, or NULL`,
    check: (engine: Engine) => checkCases(engine, cases, from => typed(from, type)),
  })),
  ...between.map(([from, to, cases]) => ({
    name: `${typeText(from)} becomes ${typeText(to)} exactly, or NULL`,
    check: (engine: Engine) =>
      checkCases(engine, cases, value => ({ kind: 'cast', arg: typed(value, from), type: to })),
  })),
  {
    name: 'a cast to the own type changes nothing',
    check: async engine => {
      const all = fromText.filter(([type]) => type.kind !== 'bytes')
      for (const [type, cases] of all) {
        for (const [from, to] of cases) {
          if (to !== null) assert.deepEqual(await valueOf(engine, { kind: 'cast', arg: typed(from, type), type }), to)
        }
      }
    },
  },
]
