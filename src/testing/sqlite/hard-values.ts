import type { ColumnType } from '../../core/types.ts'

/** A declared type of SQLite, what Naru makes of it, and values at its limits. */
export interface HardType {
  readonly native: string
  readonly type: ColumnType
  /** For each value as it is written in SQL, what must be read. */
  readonly values: Readonly<Record<string, string>>
  /** Values that SQLite stores in such a column and that its type does not hold: their rows are set aside. */
  readonly unfit?: readonly string[]
}

const int64: ColumnType = { kind: 'int', bits: 64 }
const text: ColumnType = { kind: 'text' }

/** One column for each declared type; for each value in SQL what must be read, or that it fits no type. */
export const hardTypes: readonly HardType[] = [
  {
    native: 'integer',
    type: int64,
    values: {
      '0': '0',
      '-1': '-1',
      '9007199254740993': '9007199254740993',
      '9223372036854775807': '9223372036854775807',
      '(-9223372036854775807 - 1)': '-9223372036854775808',
      "'12'": '12',
    },
    unfit: ["'abc'", '1.5', "x'00'", '1e300'],
  },
  { native: 'int2', type: { kind: 'int', bits: 16 }, values: { '-32768': '-32768' }, unfit: ['32768'] },
  {
    native: 'double',
    type: { kind: 'float', bits: 64 },
    values: { '0.1': '0.1', '7': '7', '5e-324': '5e-324', '-1.7976931348623157e308': '-1.7976931348623157e+308' },
    unfit: ["'abc'", "x'00'"],
  },
  { native: 'boolean', type: { kind: 'bool' }, values: { '0': 'false', '1': 'true' }, unfit: ['2', "'yes'"] },
  {
    native: 'decimal(15,2)',
    type: { kind: 'decimal', precision: 15, scale: 2 },
    values: {
      '0.29': '0.29',
      '-0.05': '-0.05',
      '12': '12.00',
      "'12.30'": '12.30',
      '9999999999999.99': '9999999999999.99',
      '-9999999999999': '-9999999999999.00',
    },
    unfit: ['1.005', '10000000000000', "'12,30'", '9e999'],
  },
  {
    native: 'varchar(20)',
    type: text,
    values: {
      "''": '',
      "'한국'": '한국',
      '12': '12',
      '0.1': '0.1',
      "'x' || char(10)": 'x\n',
      "'😀' || replace(hex(zeroblob(60)), '00', 'é')": `😀${'é'.repeat(60)}`,
    },
    unfit: ["x'00ff'", "cast(x'ff' as text)", "'a' || char(0) || 'b'"],
  },
  {
    native: 'datetime',
    type: text,
    values: { "'2001-01-01 10:00:00'": '2001-01-01 10:00:00', '978343200': '978343200', '2451910.5': '2451910.5' },
  },
  { native: '', type: text, values: { '1': '1', "'1'": '1', '0.30000000000000004': '0.30000000000000004' } },
  { native: 'numeric', type: text, values: { '12345678901234567': '12345678901234567', '1e300': '1.0e+300' } },
  { native: 'blob', type: { kind: 'bytes' }, values: { "x''": '\\x', "x'00ff'": '\\x00ff' }, unfit: ["'text'", '5'] },
]
