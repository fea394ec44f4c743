import type { ColumnType } from '../../core/types.ts'

/** A type that a file format has, and values at its limits, as the tool that writes the file is given them. For tests. */
export interface HardFileType {
  /** In the words of the format. */
  readonly native: string
  /** What the tool is told: a type of pyarrow, or an Avro schema. */
  readonly written: string | object
  readonly type: ColumnType
  readonly values: readonly string[]
  /** Values that the file holds and the column type does not: their rows are set aside. */
  readonly unfit?: readonly string[]
}

const text: ColumnType = { kind: 'text' }
const json: ColumnType = { kind: 'json' }
const int = (bits: 16 | 32 | 64): ColumnType => ({ kind: 'int', bits })
const float = (bits: 32 | 64): ColumnType => ({ kind: 'float', bits })
const decimal = (precision: number, scale: number): ColumnType => ({ kind: 'decimal', precision, scale })
const stamp = (zoned: boolean): ColumnType => ({ kind: 'timestamp', zoned })
const words = ['', ' ', "it's", 'line\nbreak\ttab', '한국어 나루', '😀 ünï', 'NULL', 'x'.repeat(5_000)]
const days = ['1970-01-01', '2024-02-29', '0001-01-01', '9999-12-31']
const clocks = (digits: string): string[] => ['00:00:00', `23:59:59${digits}`, '12:30:00']
const moments = (digits: string): string[] => [
  '1970-01-01 00:00:00',
  `1969-12-31 23:59:59${digits}`,
  `2024-02-29 12:34:56${digits}`,
]
const decimals = (precision: number, scale: number): string[] => {
  const digits = '9'.repeat(precision)
  const largest = `${digits.slice(0, precision - scale) || '0'}${scale === 0 ? '' : `.${digits.slice(precision - scale)}`}`
  const smallest = scale === 0 ? '1' : `0.${'0'.repeat(scale - 1)}1`
  return [largest, `-${largest}`, smallest, `-${smallest}`]
}

/**
 * Every type of Parquet that another tool writes. Two are not here: decimals of more than 38 digits are refused by name,
 * and of INT96, the stamps of old writers, parts of a microsecond are cut, which each run says.
 */
export const parquetHardTypes: readonly HardFileType[] = [
  { native: 'BOOLEAN', written: 'bool', type: { kind: 'bool' }, values: ['true', 'false'] },
  { native: 'INT(8, signed)', written: 'int8', type: int(16), values: ['-128', '127'] },
  { native: 'INT(8, unsigned)', written: 'uint8', type: int(16), values: ['0', '255'] },
  { native: 'INT(16, signed)', written: 'int16', type: int(16), values: ['-32768', '32767'] },
  { native: 'INT(16, unsigned)', written: 'uint16', type: int(32), values: ['0', '65535'] },
  { native: 'INT32', written: 'int32', type: int(32), values: ['-2147483648', '2147483647', '0'] },
  { native: 'INT(32, unsigned)', written: 'uint32', type: int(64), values: ['0', '4294967295'] },
  {
    native: 'INT64',
    written: 'int64',
    type: int(64),
    values: ['-9223372036854775808', '9223372036854775807', '9007199254740993'],
  },
  {
    native: 'INT(64, unsigned)',
    written: 'uint64',
    type: decimal(20, 0),
    values: ['0', '9223372036854775808', '18446744073709551615'],
  },
  {
    native: 'FLOAT',
    written: 'float',
    type: float(32),
    values: ['0.1', '3.4028234663852886e38', '1e-45', 'nan', 'inf', '-inf'],
  },
  {
    native: 'DOUBLE',
    written: 'double',
    type: float(64),
    values: ['0.1', '5e-324', '1.7976931348623157e308', 'nan', '-inf'],
  },
  ...(
    [
      [9, 2],
      [18, 6],
      [38, 0],
      [38, 10],
      [38, 38],
    ] as const
  ).map(([precision, scale]) => ({
    native: `DECIMAL(${precision},${scale})`,
    written: `decimal128(${precision}, ${scale})`,
    type: decimal(precision, scale),
    values: decimals(precision, scale),
  })),
  { native: 'STRING', written: 'string', type: text, values: words },
  { native: 'STRING, by a dictionary', written: 'dictionary', type: text, values: ['red', 'green', ''] },
  { native: 'no logical type, bytes', written: 'binary', type: { kind: 'bytes' }, values: ['', '00', 'deadbeef'] },
  { native: 'fixed length bytes', written: 'binary(4)', type: { kind: 'bytes' }, values: ['00000000', 'ffffffff'] },
  {
    native: 'UUID',
    written: 'uuid',
    type: { kind: 'uuid' },
    values: ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  },
  { native: 'DATE', written: 'date32', type: { kind: 'date' }, values: days },
  { native: 'TIME(MILLIS)', written: 'time32[ms]', type: { kind: 'time' }, values: clocks('.999') },
  { native: 'TIME(MICROS)', written: 'time64[us]', type: { kind: 'time' }, values: clocks('.999999') },
  { native: 'TIMESTAMP(MILLIS)', written: 'timestamp[ms]', type: stamp(false), values: moments('.999') },
  { native: 'TIMESTAMP(MICROS)', written: 'timestamp[us]', type: stamp(false), values: moments('.999999') },
  {
    native: 'TIMESTAMP(NANOS)',
    written: 'timestamp[ns]',
    type: stamp(false),
    values: moments('.999999'),
    unfit: ['2024-02-29 12:34:56.000000001'],
  },
  { native: 'TIMESTAMP(MILLIS), UTC', written: 'timestamp[ms, tz=UTC]', type: stamp(true), values: moments('.999') },
  { native: 'TIMESTAMP(MICROS), UTC', written: 'timestamp[us, tz=UTC]', type: stamp(true), values: moments('.999999') },
  { native: 'LIST', written: 'list', type: json, values: ['["a","b c"]', '[]', '["한",null]'] },
  { native: 'MAP', written: 'map', type: json, values: ['{"k":9223372036854775807}', '{}'] },
  {
    native: 'group',
    written: 'struct',
    type: json,
    values: ['{"a":9007199254740993,"b":[1.5,null]}'],
    unfit: ['{"a":1,"b":[NaN]}', '{"a":1,"b":[-Infinity]}'],
  },
  { native: 'TIME(NANOS)', written: 'time64[ns]', type: text, values: ['00:00:00.000000001', '23:59:59.999999999'] },
]

const avro = (kind: string, logicalType: string, more: object = {}): object => ({ type: kind, logicalType, ...more })

/** Every type of Avro, and the logical ones. */
export const avroHardTypes: readonly HardFileType[] = [
  { native: 'boolean', written: 'boolean', type: { kind: 'bool' }, values: ['true', 'false'] },
  { native: 'int', written: 'int', type: int(32), values: ['-2147483648', '2147483647', '0'] },
  {
    native: 'long',
    written: 'long',
    type: int(64),
    values: ['-9223372036854775808', '9223372036854775807', '9007199254740993'],
  },
  { native: 'float', written: 'float', type: float(32), values: ['0.5', '3.4028234663852886e38', 'nan', 'inf'] },
  { native: 'double', written: 'double', type: float(64), values: ['0.1', '5e-324', '1.7976931348623157e308', '-inf'] },
  { native: 'string', written: 'string', type: text, values: words },
  { native: 'bytes', written: 'bytes', type: { kind: 'bytes' }, values: ['', '00', 'deadbeef'] },
  {
    native: 'fixed',
    written: { type: 'fixed', name: 'four', size: 4 },
    type: { kind: 'bytes' },
    values: ['00000000', 'ffffffff'],
  },
  {
    native: 'enum',
    written: { type: 'enum', name: 'colour', symbols: ['red', 'green'] },
    type: { kind: 'enum', values: ['red', 'green'] },
    values: ['red', 'green'],
  },
  ...(
    [
      [9, 2],
      [38, 10],
      [38, 38],
    ] as const
  ).map(([precision, scale]) => ({
    native: `bytes, decimal(${precision},${scale})`,
    written: avro('bytes', 'decimal', { precision, scale }),
    type: decimal(precision, scale),
    values: decimals(precision, scale),
  })),
  {
    native: 'fixed, decimal(9,2)',
    written: avro('fixed', 'decimal', { name: 'cents', size: 5, precision: 9, scale: 2 }),
    type: decimal(9, 2),
    values: decimals(9, 2),
  },
  {
    native: 'bytes, decimal(50,5)',
    written: avro('bytes', 'decimal', { precision: 50, scale: 5 }),
    type: text,
    values: [`${'9'.repeat(45)}.00001`, '-0.00001'],
  },
  {
    native: 'string, uuid',
    written: avro('string', 'uuid'),
    type: text,
    values: ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  },
  { native: 'int, date', written: avro('int', 'date'), type: { kind: 'date' }, values: days },
  { native: 'int, time-millis', written: avro('int', 'time-millis'), type: { kind: 'time' }, values: clocks('.999') },
  {
    native: 'long, time-micros',
    written: avro('long', 'time-micros'),
    type: { kind: 'time' },
    values: clocks('.999999'),
  },
  {
    native: 'long, timestamp-millis',
    written: avro('long', 'timestamp-millis'),
    type: stamp(true),
    values: moments('.999'),
  },
  {
    native: 'long, timestamp-micros',
    written: avro('long', 'timestamp-micros'),
    type: stamp(true),
    values: moments('.999999'),
  },
  {
    native: 'long, local-timestamp-millis',
    written: avro('long', 'local-timestamp-millis'),
    type: stamp(false),
    values: moments('.999'),
  },
  {
    native: 'long, local-timestamp-micros',
    written: avro('long', 'local-timestamp-micros'),
    type: stamp(false),
    values: moments('.999999'),
  },
  { native: 'array', written: { type: 'array', items: 'string' }, type: json, values: ['["a","b c"]', '[]'] },
  { native: 'map', written: { type: 'map', values: 'long' }, type: json, values: ['{"k":9223372036854775807}', '{}'] },
  {
    native: 'record',
    written: { type: 'record', name: 'pair', fields: [{ name: 'a', type: 'long' }] },
    type: json,
    values: ['{"a":9007199254740993}'],
  },
]
