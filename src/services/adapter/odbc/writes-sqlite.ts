import { joinSql, sql } from '../../../core/sql.ts'
import { typeText, type ColumnType } from '../../../core/types.ts'
import { TXN } from './constants.ts'
import {
  bytesHex,
  checked,
  floatOf,
  hexOf,
  inBits,
  inDigits,
  isPlain,
  plain,
  type Refusal,
  type Spell,
  type WriteFacts,
} from './write-facts.ts'
import { setList, same } from './writes-postgres.ts'

/** What is left of a type when SQLite keeps it: the rest is exact text. */
export function sqliteWrites(typeOf: (declared: string) => ColumnType, decimalDigitsMax: number): WriteFacts {
  const typeName = (type: ColumnType): string => {
    switch (type.kind) {
      case 'bool':
        return 'BOOLEAN'
      case 'int':
        return type.bits === 16 ? 'INT2' : type.bits === 32 ? 'INT4' : 'BIGINT'
      case 'decimal':
        return type.precision <= decimalDigitsMax ? `DECIMAL(${type.precision},${type.scale})` : 'TEXT'
      case 'float':
        return 'REAL'
      case 'bytes':
        return 'BLOB'
      default:
        return 'TEXT'
    }
  }
  return {
    typeName,
    keyTypeName: () => null,
    spell: (type, native) => spell(type, native, typeOf(native)),
    text,
    tableEnd: '',
    problemOf: (_, table) =>
      sql`select case when type = 'view' then 'it is a view' when sql like 'create virtual%' then 'it is a virtual table' end
        from sqlite_master where name = ${table} and type in ('table', 'view')`,
    // The driver leaves foreign keys off.
    pointedTo: null,
    wholeTypes: null,
    stages: () => sql`select name from sqlite_master where type = 'table' and substr(name, 1, 6) = '_naru_'`,
    nowSeconds: sql`cast(strftime('%s', 'now') as integer)`,
    statementBytes: null,
    isolations: TXN.SERIALIZABLE,
    // The first statement of a transaction that writes has its view and its lock in one.
    lock: (_, units) => sql`delete from ${units} where unit = -2`,
    update: (table, stage, sets, key) =>
      sql`update ${table} as t set ${setList(sets)} from ${stage} as s where ${same(key)}`,
    delete: (table, stage, key) => {
      const columns = joinSql(key.map(({ column }) => column))
      const staged = joinSql(key.map(it => sql`s.${it.staged}`))
      return key.length === 1
        ? sql`delete from ${table} where ${columns} in (select ${staged} from ${stage} as s)`
        : sql`delete from ${table} where (${columns}) in (select ${staged} from ${stage} as s)`
    },
  }
}

function text(value: string): string {
  return isPlain(value) ? plain(value) : `cast(x'${hexOf(value)}' as text)`
}

const spellText: Spell = value =>
  value.includes('\0') ? { problem: 'SQLite ends a text at a NUL character' } : text(value)

/** Text of these kinds never looks like a number, so that no affinity turns it into one. */
const noNumbers: readonly ColumnType['kind'][] = ['uuid', 'date', 'time', 'timestamp', 'interval']

function spell(type: ColumnType, native: string, found: ColumnType): Spell | Refusal {
  const name = native.toUpperCase()
  const keepsText = (!name.includes('INT') && /CHAR|CLOB|TEXT/.test(name)) || name === ''
  if (type.kind !== 'bytes' && keepsText) return spellText
  if (found.kind === 'text' && noNumbers.includes(type.kind)) return spellText
  if (type.kind === 'bool' && found.kind === 'bool') return value => (value === 'true' ? '1' : '0')
  if (type.kind === 'int' && found.kind === 'int') return checked(inBits(found.bits, native), value => value)
  if (type.kind === 'float' && found.kind === 'float') return value => spellFloat(floatOf(type.bits, value))
  if (type.kind === 'bytes' && found.kind === 'bytes') return value => `x'${bytesHex(value)}'`
  if (type.kind === 'decimal' && found.kind === 'decimal' && type.scale <= found.scale) {
    return checked(inDigits(found.precision, found.scale, native), value => value)
  }
  const declared = native === '' ? 'without a type' : native
  return { problem: `is declared ${declared}, which does not hold every ${typeText(type).slice(0, 60)}` }
}

/** A power of two that SQLite reads exactly: it is an integer of 64 bits. */
const BITS = 62

/** SQLite's reading of digits errs in the last bit of one float in a few hundred; an integer by a power of two is exact. */
export function spellFloat(value: number): string | Refusal {
  if (Number.isNaN(value)) return { problem: 'SQLite has no NaN' }
  if (!Number.isFinite(value)) return value > 0 ? '9e999' : '-9e999'
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  let [whole, power] = [Math.abs(value), 0]
  for (; !Number.isInteger(whole); power--) whole *= 2
  for (; whole > Number.MAX_SAFE_INTEGER; power++) whole /= 2
  const factors = [...Array<number>(Math.floor(Math.abs(power) / BITS)).fill(BITS), Math.abs(power) % BITS]
  const scale = factors.filter(bits => bits > 0).map(bits => `${power < 0 ? '/' : '*'}${1n << BigInt(bits)}.0`)
  return `${value < 0 ? '-' : ''}${whole}.0${scale.join('')}`
}
