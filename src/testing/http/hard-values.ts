import type { ColumnType } from '../../core/types.ts'

/** A type of Naru, values of JSON at its limits (as they are written, and as the column holds them), and values it refuses. */
export interface HardJson {
  /** What stands in JSON for it. */
  readonly native: string
  readonly type: ColumnType
  readonly unfit: readonly string[]
  readonly values: readonly (readonly [written: string, expected: string])[]
}

const same = (...values: string[]): [string, string][] => values.map(value => [value, value])
const texts = (...values: string[]): [string, string][] => values.map(value => [JSON.stringify(value), value])
const nines = '9'.repeat(38)

const fit: readonly Pick<HardJson, 'type' | 'values'>[] = [
  { type: { kind: 'bool' }, values: same('true', 'false') },
  { type: { kind: 'int', bits: 16 }, values: same('-32768', '32767', '0') },
  { type: { kind: 'int', bits: 32 }, values: [...same('-2147483648', '2147483647'), ['1e3', '1000'], ['7.0', '7']] },
  {
    type: { kind: 'int', bits: 64 },
    values: [
      ...same('9223372036854775807', '-9223372036854775808', '9007199254740993'),
      ['"9223372036854775806"', '9223372036854775806'],
    ],
  },
  {
    type: { kind: 'decimal', precision: 38, scale: 0 },
    values: same(nines, `-${nines}`),
  },
  {
    type: { kind: 'decimal', precision: 38, scale: 38 },
    values: [
      ...same('0.10000000000000000000000000000000000001', `-0.${nines}`),
      ['1e-38', `0.${'0'.repeat(37)}1`],
      ['0.1', `0.1${'0'.repeat(37)}`],
    ],
  },
  {
    type: { kind: 'decimal', precision: 4, scale: 2 },
    values: [...same('99.99', '-0.01'), ['1', '1.00'], ['-0', '0.00']],
  },
  { type: { kind: 'decimal', precision: 9, scale: 4 }, values: same('99999.9999', '-99999.9999') },
  { type: { kind: 'decimal', precision: 18, scale: 6 }, values: same('999999999999.999999') },
  { type: { kind: 'float', bits: 64 }, values: same('5e-324', '1.7976931348623157e+308', '0.1', '-0.5') },
  { type: { kind: 'float', bits: 32 }, values: same('0.1', '-1.5') },
  {
    type: { kind: 'text' },
    values: [
      ...texts('', ' ', 'a"b\\c', '한국', '😀', 'line\nline', '\u007f\u2028', 'null'),
      ['"\\ud83d\\ude00\\u0041"', '😀A'],
      ['"\\/"', '/'],
      ...same('12345678901234567890.10', 'true'),
    ],
  },
  { type: { kind: 'enum', values: ['new', '새'] }, values: texts('new', '새') },
  { type: { kind: 'json' }, values: same('{"a": [1, 2.50, null]}', '[]', '12345678901234567890', '"x"') },
  {
    type: { kind: 'uuid' },
    values: texts('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-4fff-bfff-ffffffffffff'),
  },
  { type: { kind: 'date' }, values: texts('1970-01-01', '0001-01-01', '9999-12-31', '2024-02-29') },
  { type: { kind: 'time' }, values: [...texts('00:00:00', '23:59:59.999999'), ['"09:30"', '09:30:00']] },
  {
    type: { kind: 'timestamp', zoned: false },
    values: [
      ['"2024-02-29T23:59:59.999999"', '2024-02-29 23:59:59.999999'],
      ['"0001-01-01 00:00:00"', '0001-01-01 00:00:00'],
      ['"2024-01-01T00:00:00.123000000"', '2024-01-01 00:00:00.123'],
    ],
  },
  {
    type: { kind: 'timestamp', zoned: true },
    values: [
      ['"2024-02-29T23:59:59.999999Z"', '2024-02-29 23:59:59.999999+00'],
      ['"2024-01-01T00:30:00+09:00"', '2023-12-31 15:30:00+00'],
      ['"2024-01-01T00:00:00-0130"', '2024-01-01 01:30:00+00'],
    ],
  },
  {
    type: { kind: 'bytes' },
    values: [
      ['"AP8="', '\\x00ff'],
      ['""', '\\x'],
    ],
  },
]

const unfit: readonly { readonly type: ColumnType; readonly values: readonly string[] }[] = [
  { type: { kind: 'bool' }, values: ['1', '"true"', '{}'] },
  { type: { kind: 'int', bits: 16 }, values: ['32768', '1.5', '"x"'] },
  { type: { kind: 'int', bits: 64 }, values: ['9223372036854775808', '1e999999999', 'true'] },
  { type: { kind: 'decimal', precision: 4, scale: 2 }, values: ['100', '0.001', '"NaN"', '[1]'] },
  { type: { kind: 'float', bits: 64 }, values: ['1e400', '"x"'] },
  { type: { kind: 'float', bits: 32 }, values: ['1e39'] },
  { type: { kind: 'text' }, values: ['"a\\u0000b"', '"\\ud83d"', '["x"]', '{"a":1}'] },
  { type: { kind: 'enum', values: ['new', '새'] }, values: ['"NEW"'] },
  { type: { kind: 'uuid' }, values: ['"123"'] },
  { type: { kind: 'date' }, values: ['"2023-02-29"', '"2024-01-01T00:00:00"', '20240101'] },
  { type: { kind: 'time' }, values: ['"25:00:00"', '"00:00:00.1234567"'] },
  { type: { kind: 'timestamp', zoned: false }, values: ['"2024-01-01T00:00:00Z"', '"2024-01-01"'] },
  {
    type: { kind: 'timestamp', zoned: true },
    values: ['"2024-01-01T00:00:00"', '"2024-01-01T00:00:00.0000001Z"', '1700000000'],
  },
  { type: { kind: 'bytes' }, values: ['"not base64"'] },
]

const isNumber = (type: ColumnType): boolean => ['int', 'decimal', 'float'].includes(type.kind)
const nativeOf = (type: ColumnType): string =>
  type.kind === 'bool'
    ? 'true, false'
    : type.kind === 'json'
      ? 'anything'
      : isNumber(type)
        ? 'number, or text of one'
        : 'text'

/** Every type that is read from JSON, with the hardest values that it holds, and those that become rejects. */
export const hardTypes: readonly HardJson[] = fit.map(it => ({
  ...it,
  native: nativeOf(it.type),
  unfit: unfit.find(({ type }) => JSON.stringify(type) === JSON.stringify(it.type))?.values ?? [],
}))
