import type { ColumnType } from '../../core/types.ts'

/** A native type with the hardest values that it has, as PostgreSQL reads them. For tests. */
export interface HardType {
  readonly native: string
  readonly type: ColumnType
  readonly values: readonly string[]
  /** Values that the native type has and no column type holds. */
  readonly unfit?: readonly string[]
  /** The first major version that has it. */
  readonly since?: number
}

const text: ColumnType = { kind: 'text' }
const decimal = (precision: number, scale: number): ColumnType => ({ kind: 'decimal', precision, scale })

const words = [
  '',
  ' ',
  'a',
  "it's",
  'back\\slash',
  'line\r\nbreak\ttab',
  '한국어 나루',
  '😀 ünï',
  '\\N',
  'NULL',
  '"',
  'x'.repeat(5_000),
]
const stamps = [
  '1970-01-01',
  '2000-01-01',
  '1999-12-31 23:59:59.999999',
  '0001-01-01',
  '0044-03-15 12:00:00.000001 BC',
  '4713-01-01 BC',
  '2024-02-29 12:34:56.789',
  '294246-12-31 23:59:59.999999',
  'infinity',
  '-infinity',
]

/** Statements that make what the types below need. */
export const hardTypesSetup = `
  drop table if exists hard;
  drop type if exists mood, pair, short_name, age, positive cascade;
  create type mood as enum ('sad', 'it''s ok', '행복');
  create type pair as (a int, b text);
  create domain positive as numeric(8, 3) check (value > 0);
  create domain age as smallint;
  create domain short_name as varchar(20)`

/** Every built-in type, and those that a user makes. */
export const hardTypes: readonly HardType[] = [
  { native: 'boolean', type: { kind: 'bool' }, values: ['true', 'false'] },
  { native: 'smallint', type: { kind: 'int', bits: 16 }, values: ['0', '-1', '-32768', '32767'] },
  { native: 'integer', type: { kind: 'int', bits: 32 }, values: ['0', '-1', '-2147483648', '2147483647'] },
  {
    native: 'bigint',
    type: { kind: 'int', bits: 64 },
    values: ['0', '-1', '-9223372036854775808', '9223372036854775807', '9007199254740993', '4294967296', '-4294967297'],
  },
  {
    native: 'real',
    type: { kind: 'float', bits: 32 },
    values: ['0', '-0', '1e-45', '3.4028235e38', '0.1', '16777217', 'NaN', 'Infinity', '-Infinity', '1.1754944e-38'],
  },
  {
    native: 'double precision',
    type: { kind: 'float', bits: 64 },
    values: [
      '0',
      '-0',
      '5e-324',
      '1.7976931348623157e308',
      '0.1',
      '0.30000000000000004',
      'NaN',
      'Infinity',
      '-Infinity',
    ],
  },
  { native: 'numeric(4,0)', type: decimal(4, 0), values: ['0', '-9999', '9999', '1000', '1'], unfit: ['NaN'] },
  { native: 'numeric(4,4)', type: decimal(4, 4), values: ['0', '-0.9999', '0.0001', '0.1', '0.0100'] },
  {
    native: 'numeric(9,2)',
    type: decimal(9, 2),
    values: ['0', '-9999999.99', '9999999.99', '0.01', '-0.10', '100', '10000', '1234567.8'],
  },
  {
    native: 'numeric(18,6)',
    type: decimal(18, 6),
    values: ['0', '-999999999999.999999', '999999999999.999999', '0.000001', '9007199254.740993', '100000000000'],
    unfit: ['NaN'],
  },
  {
    native: 'numeric(38,10)',
    type: decimal(38, 10),
    values: [
      '0',
      '-9999999999999999999999999999.9999999999',
      '9999999999999999999999999999.9999999999',
      '0.0000000001',
      '-0.0000000001',
      '-1',
      '18446744073709551616',
      '1844674407.3709551615',
      '-1844674407.3709551617',
    ],
  },
  { native: 'numeric(38,38)', type: decimal(38, 38), values: ['0', `0.${'9'.repeat(38)}`, `-0.${'0'.repeat(37)}1`] },
  {
    native: 'numeric',
    type: text,
    values: [
      '0',
      '1.50',
      '1.5',
      '-1e100',
      '1e40000',
      '0e-100',
      'NaN',
      '3.14159265358979323846264338327950288419716939937510582',
    ],
  },
  { native: 'numeric', type: text, values: ['Infinity', '-Infinity'], since: 14 },
  { native: 'numeric(50,5)', type: text, values: ['1', `${'9'.repeat(45)}.99999`, 'NaN'] },
  { native: 'numeric(5,-2)', type: text, values: ['12345', '-100'], since: 15 },
  { native: 'numeric(3,5)', type: text, values: ['0.00999', '-0.00001'], since: 15 },
  { native: 'text', type: text, values: words },
  { native: 'varchar(6000)', type: text, values: words },
  { native: 'char(5)', type: text, values: ['', 'a', 'a  b ', '한국'] },
  { native: '"char"', type: text, values: ['', 'a', '\\377'] },
  { native: 'name', type: text, values: ['', 'a name', '나루'] },
  {
    native: 'bytea',
    type: { kind: 'bytes' },
    values: ['\\x', '\\x00', '\\xdeadbeef', '\\x5c785c5c', `\\x${'ff00'.repeat(3_000)}`],
  },
  {
    native: 'uuid',
    type: { kind: 'uuid' },
    values: [
      '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      '01234567-89ab-cdef-0123-456789abcdef',
    ],
  },
  { native: 'json', type: { kind: 'json' }, values: ['null', '{"b": 1,  "a": [1, 2.50]}', '"한\\u0041"', '1e400'] },
  { native: 'jsonb', type: { kind: 'json' }, values: ['null', '{"b": 1,  "a": [1, 2.50]}', '"한\\u0041"', '1e400'] },
  {
    native: 'date',
    type: { kind: 'date' },
    values: [
      '1970-01-01',
      '2000-02-29',
      '0001-01-01',
      '0044-03-15 BC',
      '4713-01-01 BC',
      '5874897-12-31',
      'infinity',
      '-infinity',
      '1900-02-28',
    ],
  },
  { native: 'time', type: { kind: 'time' }, values: ['00:00', '24:00', '23:59:59.999999', '00:00:00.000001', '12:30'] },
  {
    native: 'timestamp',
    type: { kind: 'timestamp', zoned: false },
    values: stamps,
    unfit: ['294276-12-31 23:59:59.999999'],
  },
  { native: 'timestamptz', type: { kind: 'timestamp', zoned: true }, values: stamps, unfit: ['294248-01-01'] },
  {
    native: 'interval',
    type: { kind: 'interval' },
    values: [
      '0',
      '1 year 2 mons -3 days 04:05:06.7',
      '-1 mons 1 day',
      '178000000 years',
      '-2147483648 days',
      '-00:00:00.000001',
      '1000:00:00',
      '-1 day 2 hours',
    ],
  },
  { native: 'interval', type: { kind: 'interval' }, values: ['1 day'], unfit: ['infinity', '-infinity'], since: 17 },
  { native: 'interval year to month', type: { kind: 'interval' }, values: ['1 year 2 mons', '-5 mons'] },
  { native: 'interval second(2)', type: { kind: 'interval' }, values: ['00:00:01.23', '-00:00:00.01'] },
  {
    native: 'timestamp(3)',
    type: { kind: 'timestamp', zoned: false },
    values: ['2024-02-29 12:34:56.789', 'infinity'],
  },
  { native: 'timestamptz(0)', type: { kind: 'timestamp', zoned: true }, values: ['2024-02-29 12:34:56', '-infinity'] },
  { native: 'time(2)', type: { kind: 'time' }, values: ['24:00', '12:00:00.12'] },
  { native: 'mood', type: { kind: 'enum', values: ['sad', "it's ok", '행복'] }, values: ['sad', "it's ok", '행복'] },
  { native: 'positive', type: decimal(8, 3), values: ['0.001', '99999.999'] },
  { native: 'age', type: { kind: 'int', bits: 16 }, values: ['-5', '120'] },
  { native: 'short_name', type: text, values: ['', '나루'] },
  { native: 'timetz', type: text, values: ['12:00:00+09', '24:00:00-03:30'] },
  { native: 'int[]', type: text, values: ['{}', '{1,NULL,3}', '{{1,2},{3,4}}', '[0:1]={5,6}'] },
  { native: 'text[]', type: text, values: ['{}', '{"a,b","c\\"d",NULL,"NULL",""}'] },
  { native: 'timestamptz[]', type: text, values: ['{infinity,"2024-02-29 12:00:00.5+09"}'] },
  { native: 'interval[]', type: text, values: ['{"1 day 02:00:00"}'] },
  { native: 'numeric(12,2)[]', type: text, values: ['{1.50,-0.01,NULL,NaN}'] },
  { native: 'bytea[]', type: text, values: ['{"\\\\x00ff",NULL}'] },
  { native: 'jsonb[]', type: text, values: ['{"{\\"a\\": [1, 2]}",null}'] },
  { native: 'uuid[]', type: text, values: ['{01234567-89ab-cdef-0123-456789abcdef}'] },
  { native: 'mood[]', type: text, values: ['{sad,"it\'s ok",행복}'] },
  { native: 'pair', type: text, values: ['(1,"a b")', '(,)', '(,"")'] },
  { native: 'pair[]', type: text, values: ['{"(1,\\"a b\\")","(,)"}'] },
  { native: 'int4range', type: text, values: ['empty', '[1,5)', '(,)'] },
  { native: 'int8range', type: text, values: ['empty', '[-9223372036854775808,9223372036854775807)'] },
  { native: 'numrange', type: text, values: ['empty', '[0.10,0.2]', '(,1e30)'] },
  { native: 'daterange', type: text, values: ['empty', '[2024-02-29,infinity)', '(,)'] },
  { native: 'tsrange', type: text, values: ['empty', '["2024-02-29 12:00:00.000001",infinity]'] },
  { native: 'tstzrange', type: text, values: ['empty', '["2024-02-29 12:00:00.5+00",)'] },
  { native: 'int4multirange', type: text, values: ['{}', '{[1,5),[7,9)}'], since: 14 },
  { native: 'nummultirange', type: text, values: ['{}', '{[0.10,0.2],(7,)}'], since: 14 },
  {
    native: 'tstzmultirange',
    type: text,
    values: ['{}', '{["2024-01-01 00:00:00+09","2024-01-02 00:00:00+09")}'],
    since: 14,
  },
  { native: 'inet', type: text, values: ['192.168.0.1', '10.0.0.0/8', '::1', '2001:db8::/32', '0.0.0.0/0'] },
  { native: 'cidr', type: text, values: ['10.0.0.0/8', '2001:db8::/32'] },
  { native: 'macaddr', type: text, values: ['08:00:2b:01:02:03'] },
  { native: 'macaddr8', type: text, values: ['08:00:2b:01:02:03:04:05'] },
  { native: 'money', type: text, values: ['0', '-92233720368547758.08', '92233720368547758.07', '1234.5'] },
  { native: 'bit(5)', type: text, values: ['00000', '10101'] },
  { native: 'bit(64)', type: text, values: ['1'.repeat(64)] },
  { native: 'bit varying', type: text, values: ['', '1', '101', '10'.repeat(500)] },
  { native: 'xml', type: text, values: ['<a b="c">한</a>', 'text'] },
  { native: 'tsvector', type: text, values: ['', "'a':1 'fat':2A", "'it''s':16383B 'x\\\\y'"] },
  { native: 'tsquery', type: text, values: ["'fat' & !'rat'"] },
  { native: 'point', type: text, values: ['(0.1,-1e+100)'] },
  { native: 'line', type: text, values: ['{1,2,3}'] },
  { native: 'lseg', type: text, values: ['[(0,0),(1,1)]'] },
  { native: 'box', type: text, values: ['(1,1),(0,0)'] },
  { native: 'path', type: text, values: ['((0,0),(1,1))'] },
  { native: 'polygon', type: text, values: ['((0,0),(1,1),(2,0))'] },
  { native: 'circle', type: text, values: ['<(0,0),5>'] },
  { native: 'oid', type: text, values: ['0', '4294967295'] },
  { native: 'oidvector', type: text, values: ['', '1 2 4294967295'] },
  { native: 'int2vector', type: text, values: ['', '-1 32767'] },
  { native: 'regclass', type: text, values: ['pg_class'] },
  { native: 'regtype', type: text, values: ['integer', 'timestamp with time zone'] },
  { native: 'regrole', type: text, values: ['postgres'] },
  { native: 'regnamespace', type: text, values: ['pg_catalog'] },
  { native: 'pg_snapshot', type: text, values: ['10:20:10,14,15'] },
  { native: 'pg_lsn', type: text, values: ['16/B374D848'] },
  { native: 'xid8', type: text, values: ['18446744073709551615'] },
  { native: 'tid', type: text, values: ['(0,1)'] },
  { native: 'jsonpath', type: text, values: ['$."a"[*]'] },
]
