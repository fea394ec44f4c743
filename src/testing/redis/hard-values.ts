import type { ColumnType } from '../../core/types.ts'

/** A type of Naru, values of Redis at its limits (as stored, and as the column holds them), and values it does not hold. */
export interface HardRedis {
  /** What Redis stores. */
  readonly native: string
  readonly type: ColumnType
  readonly values: readonly (readonly [stored: string | Buffer, expected: string])[]
  readonly unfit: readonly (string | Buffer)[]
}

const same = (...values: string[]): [string, string][] => values.map(value => [value, value])
const nines = '9'.repeat(38)

const values: readonly Omit<HardRedis, 'native'>[] = [
  { type: { kind: 'bool' }, values: [...same('true', 'false'), ['1', 'true'], ['0', 'false']], unfit: ['yes', '2'] },
  { type: { kind: 'int', bits: 16 }, values: same('-32768', '32767'), unfit: ['32768', ' 1'] },
  {
    type: { kind: 'int', bits: 64 },
    values: same('9223372036854775807', '-9223372036854775808'),
    unfit: ['9223372036854775808', '0x1', '1.5'],
  },
  {
    type: { kind: 'decimal', precision: 38, scale: 2 },
    values: [...same(`${'9'.repeat(36)}.99`), ['0.5', '0.50']],
    unfit: ['0.001', nines, 'NaN'],
  },
  {
    type: { kind: 'float', bits: 64 },
    values: [...same('0.1', '5e-324'), ['inf', 'Infinity'], ['-inf', '-Infinity'], ['nan', 'NaN']],
    unfit: ['1e400'],
  },
  {
    type: { kind: 'text' },
    values: same('', ' ', '한국', '😀', 'line\r\nline'),
    unfit: [Buffer.from([0xff, 0x41]), 'a\0b'],
  },
  { type: { kind: 'bytes' }, values: [[Buffer.from([0, 255]), '\\x00ff']], unfit: [] },
  { type: { kind: 'json' }, values: same('{"a": 1.50}', '[]'), unfit: ['{', '{}{}'] },
  { type: { kind: 'enum', values: ['new', 'old'] }, values: same('new'), unfit: ['NEW'] },
  { type: { kind: 'uuid' }, values: same('00112233-4455-6677-8899-aabbccddeeff'), unfit: ['x'] },
  { type: { kind: 'date' }, values: same('2024-02-29', '9999-12-31'), unfit: ['2023-02-29'] },
  {
    type: { kind: 'timestamp', zoned: true },
    values: [['2024-01-01T00:00:00.000001+09:00', '2023-12-31 15:00:00.000001+00']],
    unfit: ['1700000000', '2024-01-01T00:00:00'],
  },
]

/** Redis stores bytes: each type is read from its text. */
export const hardTypes: readonly HardRedis[] = values.map(it => ({
  ...it,
  native: it.type.kind === 'bytes' ? 'bytes' : 'bytes, as text',
}))
