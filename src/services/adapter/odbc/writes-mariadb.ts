import { joinSql, sql } from '../../../core/sql.ts'
import { typeText, type ColumnType } from '../../../core/types.ts'
import { takes } from '../../../systems/mysql/value-encoder.ts'
import { exactTypeName } from '../../../systems/mysql/dialect.ts'
import { TXN } from './constants.ts'
import {
  atMost,
  bytesHex,
  checked,
  floatOf,
  hexOf,
  isPlain,
  plain,
  toDigits,
  type Refusal,
  type Spell,
  type WriteFacts,
} from './write-facts.ts'
import { same } from './writes-postgres.ts'

function text(value: string): string {
  return isPlain(value) ? plain(value) : `_utf8mb4 x'${hexOf(value)}'`
}

/** An index holds 3,072 bytes of a row. */
const KEY_BYTES = 3_072

/** A key needs a limit. Its text is compared letter by letter; spaces at the end count for nothing, so such keys are refused as repeated. */
function keyTypeName(type: ColumnType, keys: number): string | null {
  const bytes = Math.floor(KEY_BYTES / Math.max(keys, 1)) - 16
  if (type.kind === 'bytes') return `varbinary(${bytes})`
  const isText = type.kind === 'text' || type.kind === 'enum' || type.kind === 'json'
  return isText ? `varchar(${Math.floor(bytes / 4)}) character set utf8mb4 collate utf8mb4_bin` : null
}

/** The server would round, cut or pad some values without a word: those are refused here. */
function spell(typeOf: (native: string) => ColumnType, type: ColumnType, native: string): Spell | Refusal {
  const name = native.toLowerCase()
  const nativeName = /^[a-z]+/.exec(name)?.[0] ?? ''
  const [, first, second] = /^\w+\((\d+)(?:,(\d+))?\)/.exec(name) ?? []
  const slot = { nativeName, nativeType: native, timeDigits: Number(first ?? 0), type: typeOf(native) }
  const isRounding = type.kind === 'decimal' && nativeName === 'decimal' && type.scale > Number(second ?? 0)
  if (!takes(slot, type) || isRounding) {
    return { problem: `is ${native}, which does not take every ${typeText(type).slice(0, 60)} as it is` }
  }
  switch (type.kind) {
    case 'bool':
      return value => (value === 'true' ? '1' : '0')
    case 'int':
    case 'decimal':
      return value => value
    case 'float':
      return value => spellFloat(floatOf(type.bits, value), nativeName === 'float')
    case 'bytes':
      return checked(bytesProblem(nativeName, Number(first ?? 1), native), value => `x'${bytesHex(value)}'`)
    case 'time':
      return checked(toDigits(slot.timeDigits, native), plain)
    case 'date':
      return checked(yearProblem, plain)
    case 'timestamp':
      return checked(yearProblem, checked(toDigits(slot.timeDigits, native), value => plain(value.replace(/\+00$/, '')))) // prettier-ignore
    default:
      return checked(textProblem(nativeName, Number(first ?? 1), native), text)
  }
}

/** With an exponent it is a float: digits alone would be taken for a decimal. */
function spellFloat(value: number, intoShort: boolean): string | Refusal {
  if (!Number.isFinite(value)) return { problem: `it is ${value}` }
  if (intoShort && Math.fround(value) !== value) return { problem: `${value} would be rounded` }
  const spelled = String(value)
  return spelled.includes('e') ? spelled : `${Object.is(value, -0) ? '-' : ''}${spelled}e0`
}

function yearProblem(value: string): string | null {
  return /^(?!0000)\d{4}-\d\d-\d\d(?! BC)( [\d:.]+(\+00)?)?$/.test(value)
    ? null
    : `${value} is not in the years 1 to 9999`
}

const bytesMax: Readonly<Record<string, number>> = { tiny: 255, '': 65_535, medium: 16_777_215, long: 4_294_967_295 }

/** Spaces at the end would be cut without a word, also those over the limit. */
function textProblem(nativeName: string, length: number, native: string): (value: string) => string | null {
  if (nativeName === 'char' || nativeName === 'varchar') {
    const tooLong = atMost(length, native)
    return value =>
      nativeName === 'char' && value.endsWith(' ') ? 'a CHAR loses the spaces at its end' : tooLong(value)
  }
  return lengthProblem(nativeName.replace(/text$/, ''), value => Buffer.byteLength(value), native)
}

function bytesProblem(nativeName: string, length: number, native: string): (value: string) => string | null {
  const bytes = (value: string): number => (value.length - 2) / 2
  if (nativeName === 'varbinary') return value => (bytes(value) <= length ? null : `${native} takes no ${bytes(value)} bytes`) // prettier-ignore
  if (nativeName === 'binary') return value => (bytes(value) === length ? null : `${native} would fill its ${bytes(value)} bytes up with zeros`) // prettier-ignore
  return lengthProblem(nativeName.replace(/blob$/, ''), bytes, native)
}

function lengthProblem(
  size: string,
  bytes: (value: string) => number,
  native: string,
): (value: string) => string | null {
  const most = bytesMax[size] ?? Infinity
  return value => (bytes(value) <= most ? null : `${native} takes no ${bytes(value)} bytes`)
}

/** Writing MariaDB and MySQL. CREATE TABLE commits by itself there, so it never stands within a transaction. */
export function mariadbWrites(typeOf: (native: string) => ColumnType): WriteFacts {
  return {
    typeName: exactTypeName,
    keyTypeName,
    spell: (type, native) => spell(typeOf, type, native),
    text,
    tableEnd: ' engine = InnoDB character set utf8mb4',
    problemOf: (_, table) => sql`
      select case when table_type = 'VIEW' then 'it is a view'
        when engine <> 'InnoDB' then concat('it is kept by ', engine, ', which has no transactions') end
      from information_schema.tables where table_schema = database() and table_name = ${table}`,
    pointedTo: (_, table) => sql`
      select (select count(*) from information_schema.key_column_usage
          where referenced_table_schema = database() and referenced_table_name = ${table}),
        (select count(*) from information_schema.columns where table_schema = database() and table_name = ${table})`,
    wholeTypes: table => sql`
      select column_name, concat(column_type, coalesce(concat(' character set ', character_set_name, ' collate ', collation_name), ''))
      from information_schema.columns where table_schema = database() and table_name = ${table}`,
    stages: () => sql`
      select table_name from information_schema.tables
      where table_schema = database() and left(table_name, 6) = '_naru_'`,
    nowSeconds: sql`unix_timestamp()`,
    statementBytes: 'select @@max_allowed_packet',
    isolations: TXN.SERIALIZABLE,
    lock: null,
    update: (table, stage, sets, key) => {
      const list = sets.map(({ column, staged }) => sql`t.${column} = s.${staged}`)
      return sql`update ${table} as t join ${stage} as s on ${same(key)} set ${joinSql(list)}`
    },
    delete: (table, stage, key) => sql`delete t from ${table} as t join ${stage} as s on ${same(key)}`,
  }
}
