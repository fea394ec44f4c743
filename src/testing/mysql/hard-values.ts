import type { ColumnType } from '../../core/types.ts'

/** A native type with the hardest values that it has, in SQL of MariaDB. For tests. */
export interface HardType {
  readonly native: string
  readonly type: ColumnType
  /** SQL of each value. */
  readonly values: readonly string[]
  /** SQL of values that the native type has and no column type holds. */
  readonly unfit?: readonly string[]
  /** SQL that prints a column of it as `cellText` spells the value; a cast to text when left out. `@` is the column. */
  readonly print?: string
}

const text: ColumnType = { kind: 'text' }
const bytes: ColumnType = { kind: 'bytes' }
const int = (bits: 16 | 32 | 64): ColumnType => ({ kind: 'int', bits })
const decimal = (precision: number, scale: number): ColumnType => ({ kind: 'decimal', precision, scale })
const quoted = (values: readonly string[]): readonly string[] =>
  values.map(value => `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`)

const words = [
  '',
  ' ',
  'a',
  'a ',
  'A',
  "it's",
  'back\\slash',
  'line\r\nbreak\ttab',
  '한국어 나루',
  '\\N',
  'NULL',
  '"',
  'x'.repeat(5_000),
]
const wide = [...words, '😀 ünï', '\u0000zero']
const korean = ['', 'a', '한국어 나루', '똠방각하']
const number = '@ + 0'
const hex = `concat('\\\\x', lower(hex(@)))`

/** Every type of MariaDB and MySQL. */
export const hardTypes: readonly HardType[] = [
  { native: 'tinyint', type: int(16), values: ['0', '-128', '127'] },
  { native: 'tinyint(1)', type: int(16), values: ['0', '1', '2', '-1'] },
  { native: 'tinyint unsigned', type: int(16), values: ['0', '255'] },
  { native: 'smallint', type: int(16), values: ['0', '-32768', '32767'] },
  { native: 'smallint unsigned', type: int(32), values: ['0', '65535'] },
  { native: 'mediumint', type: int(32), values: ['0', '-8388608', '8388607'] },
  { native: 'mediumint unsigned', type: int(32), values: ['0', '16777215'] },
  { native: 'int', type: int(32), values: ['0', '-2147483648', '2147483647'] },
  { native: 'int unsigned', type: int(64), values: ['0', '4294967295'] },
  { native: 'int(8) unsigned zerofill', type: int(64), values: ['0', '42'], print: number },
  {
    native: 'bigint',
    type: int(64),
    values: ['0', '-1', '-9223372036854775808', '9223372036854775807', '9007199254740993', '4294967296', '-4294967297'],
  },
  {
    native: 'bigint unsigned',
    type: decimal(20, 0),
    values: ['0', '9223372036854775808', '18446744073709551615', '9007199254740993'],
  },
  {
    native: 'float',
    type: { kind: 'float', bits: 32 },
    values: ['0', '1e-45', '3.4028234663852886e38', '0.1', '16777217', '-1.1754944e-38', '123456.79'],
    print: '@ + 0e0',
  },
  {
    native: 'double',
    type: { kind: 'float', bits: 64 },
    values: ['0', '2.2250738585072014e-308', '1.7976931348623157e308', '0.1', '0.30000000000000004', '-1e-300', '1e23'],
  },
  { native: 'decimal(4,0)', type: decimal(4, 0), values: ['0', '-9999', '9999', '1000'] },
  { native: 'decimal(4,4)', type: decimal(4, 4), values: ['0', '-0.9999', '0.0001', '0.1'] },
  { native: 'decimal(9,2)', type: decimal(9, 2), values: ['0', '-9999999.99', '9999999.99', '0.01', '-0.10'] },
  {
    native: 'decimal(18,6)',
    type: decimal(18, 6),
    values: ['0', '-999999999999.999999', '999999999999.999999', '0.000001', '9007199254.740993'],
  },
  {
    native: 'decimal(38,10)',
    type: decimal(38, 10),
    values: [
      '0',
      '-9999999999999999999999999999.9999999999',
      '9999999999999999999999999999.9999999999',
      '-0.0000000001',
    ],
  },
  { native: 'decimal(38,38)', type: decimal(38, 38), values: ['0', `0.${'9'.repeat(38)}`, `-0.${'0'.repeat(37)}1`] },
  { native: 'decimal(8,2) unsigned zerofill', type: decimal(8, 2), values: ['0', '12.5'], print: number },
  { native: 'decimal(65,30)', type: text, values: ['0', `-${'9'.repeat(35)}.${'9'.repeat(30)}`, '1.5'] },
  {
    native: 'bit(1)',
    type: { kind: 'bool' },
    values: ["b'0'", "b'1'"],
    print: `case @ + 0 when 1 then 'true' when 0 then 'false' end`,
  },
  { native: 'bit(12)', type: int(16), values: ["b'0'", "b'111111111111'"], print: number },
  { native: 'bit(31)', type: int(32), values: ['0', '2147483647'], print: number },
  { native: 'bit(63)', type: int(64), values: ['0', '9223372036854775807'], print: number },
  { native: 'bit(64)', type: decimal(20, 0), values: ['0', '18446744073709551615'], print: number },
  { native: 'year', type: int(16), values: ['0', '1901', '2155'], print: number },
  {
    native: 'date',
    type: { kind: 'date' },
    values: quoted(['1970-01-01', '2000-02-29', '1000-01-01', '0001-01-01', '9999-12-31', '1900-02-28']),
    unfit: quoted(['0000-00-00', '2024-00-15', '2024-01-00', '0000-05-05']),
  },
  {
    native: 'time(6)',
    type: { kind: 'time' },
    values: quoted(['00:00:00', '24:00:00', '23:59:59.999999', '00:00:00.000001', '12:30:00']),
    unfit: quoted(['-00:00:00.000001', '24:00:00.000001', '838:59:59.999999', '-838:59:59']),
    print: `trim(trailing '.' from trim(trailing '0' from cast(@ as char)))`,
  },
  { native: 'time', type: { kind: 'time' }, values: quoted(['00:00:01', '24:00:00']), unfit: quoted(['-12:00:00']) },
  {
    native: 'datetime(6)',
    type: { kind: 'timestamp', zoned: false },
    values: quoted([
      '1970-01-01',
      '0001-01-01',
      '9999-12-31 23:59:59.999999',
      '1969-12-31 23:59:59.999999',
      '2024-02-29 12:34:56.789',
    ]),
    unfit: quoted(['0000-00-00 00:00:00', '2024-00-15 10:00:00.5', '0000-01-01 00:00:00']),
    print: `trim(trailing '.' from trim(trailing '0' from cast(@ as char)))`,
  },
  {
    native: 'datetime',
    type: { kind: 'timestamp', zoned: false },
    values: quoted(['2024-02-29 12:34:56', '1000-01-01']),
  },
  {
    native: 'timestamp(6) null',
    type: { kind: 'timestamp', zoned: true },
    values: quoted(['1970-01-01 00:00:00.000001', '2038-01-19 03:14:07.999999', '2024-03-31 02:30:00']),
    unfit: ["'0000-00-00 00:00:00'"],
    print: `concat(trim(trailing '.' from trim(trailing '0' from cast(@ as char))), '+00')`,
  },
  { native: 'char(5)', type: text, values: quoted(['', 'a', 'a  b ', '한국']) },
  { native: 'varchar(6000)', type: text, values: quoted(words) },
  { native: 'text', type: text, values: quoted(wide) },
  { native: 'longtext', type: text, values: quoted(wide) },
  { native: 'varchar(50) character set latin1', type: text, values: quoted(['', 'é€', 'a']) },
  { native: 'varchar(50) character set ascii', type: text, values: quoted(['', 'a ']) },
  { native: 'varchar(50) character set utf8mb3', type: text, values: quoted(['', '한국 ']) },
  { native: 'varchar(50) character set euckr', type: text, values: quoted(korean), unfit: ["_binary x'c9a1'"] },
  { native: 'text character set ucs2', type: text, values: quoted(['', '한국']) },
  { native: 'varchar(50) character set sjis', type: text, values: quoted(['', 'ひら']) },
  {
    native: `enum('sad','it''s ok','행복','back\\\\slash')`,
    type: { kind: 'enum', values: ['sad', "it's ok", '행복', 'back\\slash'] },
    values: quoted(['sad', "it's ok", '행복', 'back\\slash']),
    unfit: ['0'],
  },
  { native: `enum('','a')`, type: { kind: 'enum', values: ['', 'a'] }, values: quoted(['', 'a']) },
  {
    native: `enum('é','z') character set latin1`,
    type: { kind: 'enum', values: ['é', 'z'] },
    values: quoted(['é', 'z']),
  },
  { native: `set('a','b','한')`, type: text, values: quoted(['', 'a', 'a,b', 'b,한']) },
  { native: 'json', type: { kind: 'json' }, values: quoted(['null', '{"b": 1,  "a": [1, 2.50]}', '"한"', '1e400']) },
  { native: 'binary(4)', type: bytes, values: ["x'00000000'", "x'deadbeef'", "'a'"], print: hex },
  {
    native: 'varbinary(9000)',
    type: bytes,
    values: ["''", "x'00'", "x'5c785c5c'", `x'${'ff00'.repeat(3_000)}'`],
    print: hex,
  },
  { native: 'blob', type: bytes, values: ["''", "x'c328'", "x'80'"], print: hex },
  { native: 'longblob', type: bytes, values: ["''", `x'${'80'.repeat(70_000)}'`], print: hex },
  {
    native: 'uuid',
    type: { kind: 'uuid' },
    values: quoted([
      '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      '01234567-89ab-cdef-8123-456789abcdef',
    ]),
  },
  { native: 'inet6', type: text, values: quoted(['::', 'ffff::1', '::ffff:192.168.0.1']) },
  { native: 'inet4', type: text, values: quoted(['0.0.0.0', '192.168.0.1']) },
  {
    native: 'geometry',
    type: bytes,
    values: ["st_geomfromtext('point(1 2)', 4326)", "st_geomfromtext('linestring(0 0,1e100 -1)')"],
    print: hex,
  },
  { native: 'point', type: bytes, values: ['point(0.1, -0.1)'], print: hex },
]

/** Columns that the server computes from the key `id`. */
export const hardGenerated: readonly HardType[] = [
  { native: 'bigint generated always as (id * 2) stored', type: int(64), values: [] },
  { native: `varchar(20) generated always as (concat('k', id)) virtual`, type: text, values: [] },
]
