import type { ColumnType } from '../../core/types.ts'

/** A type of CQL, what it becomes, and values at its limits: as CQL writes them, and as the column holds them. */
export interface HardCql {
  readonly native: string
  readonly type: ColumnType
  readonly values: readonly (readonly [cql: string, expected: string])[]
  /** Values that the server keeps and the column type does not hold. */
  readonly unfit?: readonly string[]
}

const same = (...values: string[]): [string, string][] => values.map(value => [value, value])
const quoted = (...values: string[]): [string, string][] =>
  values.map(value => [`'${value.replaceAll("'", "''")}'`, value])
const text: ColumnType = { kind: 'text' }
const json: ColumnType = { kind: 'json' }
const int = (bits: 16 | 32 | 64): ColumnType => ({ kind: 'int', bits })

/** Every type of Cassandra, with the hardest values that it has. */
export const hardTypes: readonly HardCql[] = [
  { native: 'ascii', type: text, values: quoted('', 'a"b\\c') },
  { native: 'text', type: text, values: quoted('', ' ', "a'b", '한국', '😀', 'line\r\nline'), unfit: ["'a\0b'"] },
  { native: 'varchar', type: text, values: quoted('x') },
  {
    native: 'blob',
    type: { kind: 'bytes' },
    values: [
      ['0x', '\\x'],
      ['0x00ff', '\\x00ff'],
    ],
  },
  { native: 'boolean', type: { kind: 'bool' }, values: same('true', 'false') },
  { native: 'tinyint', type: int(16), values: same('-128', '127') },
  { native: 'smallint', type: int(16), values: same('-32768', '32767') },
  { native: 'int', type: int(32), values: same('-2147483648', '2147483647'), unfit: ['blobasint(0x)'] },
  { native: 'bigint', type: int(64), values: same('-9223372036854775808', '9223372036854775807') },
  {
    native: 'varint',
    type: text,
    values: same('0', '-1', '9'.repeat(60), `-${'9'.repeat(60)}`, '170141183460469231731687303715884105728'),
  },
  {
    native: 'decimal',
    type: text,
    values: [
      ...same('0', '1.50', '-0.001', `${'9'.repeat(40)}.${'1'.repeat(40)}`),
      ['1e-10', '1E-10'],
      ['1e+3', '1E+3'],
    ],
  },
  {
    native: 'float',
    type: { kind: 'float', bits: 32 },
    values: [...same('0.1', '3.4028235e38'), ['NaN', 'NaN'], ['-Infinity', '-Infinity']],
  },
  {
    native: 'double',
    type: { kind: 'float', bits: 64 },
    values: [...same('0.1', '5e-324', '1.7976931348623157e308'), ['Infinity', 'Infinity']],
  },
  {
    native: 'uuid',
    type: { kind: 'uuid' },
    values: same('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-4fff-bfff-ffffffffffff'),
  },
  { native: 'timeuuid', type: { kind: 'uuid' }, values: same('50554d6e-29bb-11e5-b345-feff819cdc9f') },
  {
    native: 'inet',
    type: text,
    values: [
      ...quoted('127.0.0.1', '255.255.255.255'),
      ["'::1'", '0:0:0:0:0:0:0:1'],
      ["'2001:db8::ff'", '2001:db8:0:0:0:0:0:ff'],
    ],
  },
  {
    native: 'date',
    type: { kind: 'date' },
    values: [...quoted('1970-01-01', '2024-02-29', '0001-01-01', '9999-12-31'), ['2147483649', '1970-01-02']],
    unfit: ['0', '4294967295'],
  },
  { native: 'time', type: text, values: quoted('00:00:00.000000000', '23:59:59.999999999', '01:02:03.000000001') },
  {
    native: 'timestamp',
    type: { kind: 'timestamp', zoned: true },
    values: [
      ["'2024-02-29 23:59:59.999+0000'", '2024-02-29 23:59:59.999+00'],
      ["'2024-01-01 00:30:00+0900'", '2023-12-31 15:30:00+00'],
      ['-62135596800000', '0001-01-01 00:00:00+00'],
      ['9223372036854775', '294247-01-10 04:00:54.775+00'],
    ],
    unfit: ['9223372036854776', '9223372036854775807', '-9223372036854775808'],
  },
  {
    native: 'duration',
    type: text,
    values: [...same('1y2mo3d4h5m6s7ms8us9ns', '-1d', '1ns'), ['P1Y2M', '1y2mo'], ['12mo', '1y']],
  },
  { native: 'list<bigint>', type: json, values: same('[1, 9223372036854775807]') },
  { native: 'set<text>', type: json, values: [["{'b', 'a'}", '["a", "b"]']] },
  {
    native: 'map<text, decimal>',
    type: json,
    values: [["{'a': 12345678901234567890.10}", '{"a": 12345678901234567890.10}']],
  },
  {
    native: 'frozen<tuple<int, text>>',
    type: json,
    values: [
      ["(1, '한국')", '[1, "한국"]'],
      ["(null, 'x')", '[null, "x"]'],
    ],
  },
  { native: 'frozen<address>', type: json, values: [["{street: 'a\"b', no: 1}", '{"street": "a\\"b", "no": 1}']] },
  { native: 'vector<float, 2>', type: json, values: [['[1, 0.5]', '[1.0, 0.5]']] },
]

/** What has to be there before the table of hard values is made. */
export const hardTypesSetup = 'create type if not exists address (street text, no int)'
