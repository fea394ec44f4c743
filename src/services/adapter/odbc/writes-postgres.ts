import { joinSql, sql, type Sql } from '../../../core/sql.ts'
import { typeText, type ColumnType } from '../../../core/types.ts'
import { TXN } from './constants.ts'
import {
  atMost,
  bytesHex,
  checked,
  floatOf,
  hexOf,
  inBits,
  inDigits,
  isPlain,
  plain,
  toDigits,
  type Pair,
  type Refusal,
  type Spell,
  type WriteFacts,
} from './write-facts.ts'

function typeName(type: ColumnType): string {
  switch (type.kind) {
    case 'bool':
      return 'boolean'
    case 'int':
      return type.bits === 16 ? 'smallint' : type.bits === 32 ? 'integer' : 'bigint'
    case 'float':
      return type.bits === 32 ? 'real' : 'double precision'
    case 'decimal':
      return `numeric(${type.precision},${type.scale})`
    case 'bytes':
      return 'bytea'
    case 'text':
    case 'enum':
      return 'text'
    case 'timestamp':
      return `timestamp ${type.zoned ? 'with' : 'without'} time zone`
    case 'time':
      return 'time without time zone'
    case 'json':
    case 'uuid':
    case 'date':
    case 'interval':
      return type.kind
  }
}

function text(value: string): string {
  return isPlain(value) ? plain(value) : `convert_from(decode('${hexOf(value)}', 'hex'), 'UTF8')`
}

const spellText: Spell = value =>
  value.includes('\0') ? { problem: 'PostgreSQL has no NUL character in a text' } : text(value)

const textual: readonly ColumnType['kind'][] = ['text', 'enum', 'json', 'uuid']
const integers: Readonly<Record<string, number>> = { smallint: 16, integer: 32, bigint: 64 }

/** Values without a type of their own take that of their column, so that the server parses each exactly. */
function spell(type: ColumnType, native: string): Spell | Refusal {
  const refused = { problem: `is ${native}, which does not take every ${typeText(type).slice(0, 60)} as it is` }
  if (textual.includes(type.kind) && native === 'text') return spellText
  const [, length] = /^character varying(?:\((\d+)\))?$/.exec(native) ?? []
  if (length !== undefined) return textual.includes(type.kind) ? checked(atMost(Number(length), native), spellText) : refused // prettier-ignore
  if (native === 'character varying') return textual.includes(type.kind) ? spellText : refused
  switch (type.kind) {
    case 'int':
    case 'decimal':
      return spellNumber(type, native) ?? refused
    case 'float': {
      const isWider = type.bits === 32 && native === 'double precision'
      if (isWider) return value => plain(String(floatOf(32, value)))
      return native === typeName(type) ? plain : refused
    }
    case 'bytes':
      return native === 'bytea' ? value => `decode('${bytesHex(value)}', 'hex')` : refused
    case 'json':
      return native === 'json' ? jsonOf : refused
    case 'time':
    case 'timestamp': {
      const [, digits] = /\((\d)\)/.exec(native) ?? []
      if (native.replace(/\(\d\)/, '') !== typeName(type)) return refused
      return digits === undefined ? plain : checked(toDigits(Number(digits), native), plain)
    }
    default:
      return native === typeName(type) ? plain : refused
  }
}

function jsonOf(value: string): string | Refusal {
  const spelled = spellText(value)
  return typeof spelled === 'string' ? `cast(${spelled} as json)` : spelled
}

function spellNumber(type: ColumnType & { readonly kind: 'int' | 'decimal' }, native: string): Spell | null {
  const bits = integers[native]
  if (bits !== undefined) return type.kind === 'int' ? checked(inBits(bits, native), plain) : null
  if (native === 'numeric') return plain
  const [, precision, scale] = /^numeric\((\d+),(\d+)\)$/.exec(native) ?? []
  if (precision === undefined || (type.kind === 'decimal' && type.scale > Number(scale))) return null
  return checked(inDigits(Number(precision), Number(scale), native), plain)
}

/** Writing PostgreSQL. Tables are made within the transaction. */
export const postgresWrites: WriteFacts = {
  typeName,
  keyTypeName: () => null,
  spell,
  text,
  tableEnd: '',
  problemOf: (schema, table) => sql`
    select case when c.relkind not in ('r', 'p') then 'it is no table' end
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${schema} and c.relname = ${table}`,
  pointedTo: (schema, table) => sql`
    select (select count(*) from pg_catalog.pg_constraint f where f.contype = 'f' and f.confrelid = c.oid), c.relnatts
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${schema} and c.relname = ${table}`,
  wholeTypes: null,
  stages: schema => sql`
    select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${schema} and c.relkind = 'r' and left(c.relname, 6) = '_naru_' and pg_has_role(c.relowner, 'usage')`,
  nowSeconds: sql`cast(floor(extract(epoch from clock_timestamp())) as bigint)`,
  statementBytes: null,
  isolations: TXN.READ_COMMITTED,
  lock: table => sql`lock table ${table} in share row exclusive mode`,
  update: (table, stage, sets, key) =>
    sql`update ${table} as t set ${setList(sets)} from ${stage} as s where ${same(key)}`,
  delete: (table, stage, key) => sql`delete from ${table} as t using ${stage} as s where ${same(key)}`,
}

/** `column = value` of each pair, as `SET` takes them. */
export function setList(sets: readonly Pair[]): Sql {
  return joinSql(sets.map(({ column, staged }) => sql`${column} = s.${staged}`))
}

/** The row of the target has the key of the staged row. */
export function same(key: readonly Pair[]): Sql {
  return joinSql(
    key.map(({ column, staged }) => sql`t.${column} = s.${staged}`),
    ' and ',
  )
}
