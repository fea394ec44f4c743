import { INFINITY_DAYS, INFINITY_MICROS } from '../../core/batch.ts'
import type { ColumnType } from '../../core/types.ts'
import type { TestValue } from './batches.ts'

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
