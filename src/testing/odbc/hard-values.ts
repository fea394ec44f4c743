import type { ColumnType } from '../../core/types.ts'
import { hardTypes as postgresTypes, type HardType } from '../postgres/hard-values.ts'

const text: ColumnType = { kind: 'text' }
const int = (bits: 16 | 32 | 64): ColumnType => ({ kind: 'int', bits })
const decimal = (precision: number, scale: number): ColumnType => ({ kind: 'decimal', precision, scale })
const float: ColumnType = { kind: 'float', bits: 64 }
const bytes: ColumnType = { kind: 'bytes' }

/** Types that the catalog of PostgreSQL names by what a user called them, and intervals: text here, spelled by the server. */
const asText: readonly string[] = ['mood', 'positive', 'age', 'short_name', 'interval']

/** PostgreSQL through psqlODBC: values as the server reads them. */
export const postgresHardTypes: readonly HardType[] = postgresTypes.map(row =>
  asText.includes(row.native) || row.type.kind === 'interval'
    ? { native: row.native, type: text, values: [...row.values, ...(row.unfit ?? [])] }
    : row,
)

const words = [
  `''`,
  `' '`,
  `'a'`,
  `'it''s'`,
  `'back\\slash'`,
  `'line\nbreak\ttab'`,
  `'한국어 나루'`,
  `'😀 ünï'`,
  `'NULL'`,
  `'"'`,
]
const longWords = [...words, `repeat('x', 2000)`, `repeat('한', 700)`]

/** MariaDB through its connector: values as SQL, in a session that allows zero dates. */
export const mariadbHardTypes: readonly HardType[] = [
  { native: 'tinyint', type: int(16), values: ['-128', '127', '0'] },
  { native: 'tinyint(1)', type: int(16), values: ['0', '1', '-5'] },
  { native: 'tinyint unsigned', type: int(16), values: ['255'] },
  { native: 'smallint', type: int(16), values: ['-32768', '32767'] },
  { native: 'smallint unsigned', type: int(32), values: ['65535'] },
  { native: 'mediumint', type: int(32), values: ['-8388608', '8388607'] },
  { native: 'int', type: int(32), values: ['-2147483648', '2147483647', '0'] },
  { native: 'int unsigned', type: int(64), values: ['4294967295'] },
  { native: 'bigint', type: int(64), values: ['-9223372036854775808', '9223372036854775807', '9007199254740993'] },
  { native: 'bigint unsigned', type: decimal(20, 0), values: ['0', '18446744073709551615', '9223372036854775808'] },
  { native: 'bit(1)', type: { kind: 'bool' }, values: [`b'0'`, `b'1'`] },
  { native: 'bit(64)', type: decimal(20, 0), values: [`b'0'`, '18446744073709551615'] },
  { native: 'year', type: int(16), values: ['0', '1901', '2155'] },
  {
    native: 'float',
    type: float,
    values: ['0', '0.1', '16777216', '3.4028234663852886e38', '-1.1754943508222875e-38'],
  },
  { native: 'double', type: float, values: ['0', '0.1', '0.30000000000000004', '1.7976931348623157e308', '5e-320'] },
  { native: 'decimal(4,0)', type: decimal(4, 0), values: ['0', '-9999', '9999'] },
  { native: 'decimal(9,2)', type: decimal(9, 2), values: ['-9999999.99', '0.01', '-0.10'] },
  { native: 'decimal(18,6)', type: decimal(18, 6), values: ['-999999999999.999999', '9007199254.740993'] },
  {
    native: 'decimal(38,10)',
    type: decimal(38, 10),
    values: ['-9999999999999999999999999999.9999999999', '0.0000000001', '18446744073709551616'],
  },
  {
    native: 'decimal(65,30)',
    type: text,
    values: [`${'9'.repeat(35)}.${'9'.repeat(30)}`, '-0.000000000000000000000000000001'],
  },
  { native: 'varchar(200) character set utf8mb4', type: text, values: words },
  { native: 'varchar(200) character set latin1', type: text, values: [`'é'`, `''`] },
  { native: 'char(5)', type: text, values: [`''`, `'a'`, `'한국'`] },
  { native: 'text', type: text, values: longWords },
  { native: 'longtext', type: text, values: longWords },
  { native: `enum('a','b''c','행복')`, type: text, values: [`'b''c'`, `'행복'`] },
  { native: `set('x','y')`, type: text, values: [`''`, `'x,y'`] },
  { native: 'json', type: text, values: [`'{"a": [1, 2.50], "한": null}'`] },
  { native: 'binary(4)', type: bytes, values: [`x'00ff'`] },
  { native: 'varbinary(100)', type: bytes, values: [`x''`, `x'00'`, `x'deadbeef'`] },
  { native: 'longblob', type: bytes, values: [`repeat(x'ff00', 1000)`, `x'5c27'`] },
  {
    native: 'date',
    type: { kind: 'date' },
    values: [`'1000-01-01'`, `'9999-12-31'`, `'2000-02-29'`],
    unfit: [`'0000-00-00'`, `'2024-00-10'`],
  },
  {
    native: 'datetime(6)',
    type: { kind: 'timestamp', zoned: false },
    values: [`'1000-01-01'`, `'9999-12-31 23:59:59.999999'`, `'1999-12-31 23:59:59.000001'`],
    unfit: [`'0000-00-00'`],
  },
  {
    native: 'timestamp(6) null',
    type: { kind: 'timestamp', zoned: true },
    values: [`'1970-01-01 00:00:01'`, `'2038-01-19 03:14:07.999999'`],
  },
  {
    native: 'time(6)',
    type: { kind: 'time' },
    values: [`'00:00:00'`, `'23:59:59.999999'`],
    unfit: [`'838:59:59'`, `'-00:00:01'`],
  },
  { native: 'uuid', type: { kind: 'uuid' }, values: [`'01234567-89ab-cdef-0123-456789abcdef'`] },
  { native: 'inet6', type: text, values: [`'::1'`] },
]

/** SQLite through its driver: values as SQL. Any column takes any value, so the misfits are many. */
export const sqliteHardTypes: readonly HardType[] = [
  {
    native: 'bigint',
    type: int(64),
    values: ['0', '-9223372036854775808', '9223372036854775807', '9007199254740993'],
    unfit: ['1.5', `'abc'`, `x'41'`],
  },
  { native: 'int2', type: int(16), values: ['-32768', '32767'], unfit: ['32768'] },
  { native: 'int4', type: int(32), values: ['-2147483648', '2147483647'], unfit: ['2147483648'] },
  { native: 'boolean', type: { kind: 'bool' }, values: ['0', '1'], unfit: ['2', `'true'`] },
  {
    native: 'double',
    type: float,
    values: [
      '0.1',
      '0.30000000000000004',
      '1.7976931348623157e308',
      '5e-324',
      '2.2250738585072014e-308',
      '-1e100',
      '9e999',
      '-9e999',
    ],
    unfit: [`'abc'`, `x'00'`],
  },
  {
    native: 'decimal(9,2)',
    type: decimal(9, 2),
    values: ['12.34', '-0.01', '5', '9999999.99'],
    unfit: ['0.1 + 0.2', '0.001', '1e12', `'x'`],
  },
  { native: 'decimal(20,2)', type: text, values: ['12.5', '1'] },
  {
    native: 'varchar(50)',
    type: text,
    values: [...words, '12', '1.5'],
    unfit: [`x'4142'`, `cast(x'ff' as text)`, `'a' || char(0) || 'b'`],
  },
  {
    native: 'text',
    type: text,
    values: [...words, `replace(hex(zeroblob(1000)), '0', 'x')`, `replace(hex(zeroblob(1000)), '0', '한')`],
  },
  { native: 'blob', type: bytes, values: [`x''`, `x'00'`, `x'deadbeef'`, 'zeroblob(3000)'], unfit: [`'text'`, '1'] },
  { native: 'timestamp', type: text, values: [`'2024-02-29 12:34:56.789'`, '1700000000'] },
]
