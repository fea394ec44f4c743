import { ident, rawSql, sql, type Sql } from '../../../core/sql.ts'
import { typeText, type ColumnDef, type ColumnType } from '../../../core/types.ts'
import type { CatalogColumn } from './catalog.ts'

/** How a staged column gets into its column of the target. */
export interface WriteColumn {
  readonly name: string
  readonly type: ColumnType
  /** The type of the target in the server's own words; schema and quotes are in it where they are needed. */
  readonly native: string
  /** True when each value must be looked at, because the type of the target does not hold all of ours. */
  readonly isChecked: boolean
  /** A NULL is refused: by the target, or because it is part of the key that finds a row. */
  readonly notNull: boolean
}

/** True when its values must be looked at, one by one. */
export function isDoubtful({ isChecked, notNull }: WriteColumn): boolean {
  return isChecked || notNull
}

/** The staged value in the type of the target. */
export function castValue({ name, native }: Pick<WriteColumn, 'name' | 'native'>): Sql {
  // The server's own spelling of a type: it cannot be an identifier, because it may have a length and brackets.
  return sql`${ident('s', name)}::${rawSql(native)}`
}

/**
 * True for the server when the target holds the staged value exactly: the cast gives back what it was made of. NULL for
 * NULL; it may also throw, which means no.
 */
export function fits(column: WriteColumn): Sql {
  const value = sql`${ident('s', column.name)}`
  const isPresent = column.notNull ? sql`${value} is not null` : sql`true`
  if (!column.isChecked) return isPresent
  return sql`${isPresent} and ${staysSame(column, value)}`
}

function staysSame(column: WriteColumn, value: Sql): Sql {
  const cast = castValue(column)
  if (column.type.kind === 'json' && column.native === 'jsonb') {
    return sql`${keysOf(sql`${value}::text`)} = ${keysOf(sql`(${cast})::text`)}`
  }
  // Equal is not the same for an interval: a day equals 24 hours. Their texts tell them apart.
  if (isTextual(column.type)) return sql`(${cast})::text = ${value}::text`
  return sql`(${cast})::${rawSql(stagedType(column.type))} = ${value}`
}

/** jsonb keeps the last of repeated keys: as many keys before as after means that none was lost. */
function keysOf(text: Sql): Sql {
  return sql`(select count(*) from regexp_matches(${text}, ${'"(?:[^"\\\\]|\\\\.)*"\\s*(:?)'}, 'g') m where m[1] = ':')`
}

function isTextual({ kind }: ColumnType): boolean {
  return ['text', 'enum', 'json', 'uuid', 'interval'].includes(kind)
}

/** The type of a column in the stage, for a cast back. */
function stagedType(type: ColumnType): string {
  switch (type.kind) {
    case 'int':
      return `int${type.bits / 8}`
    case 'float':
      return `float${type.bits / 8}`
    case 'decimal':
      return 'numeric'
    case 'timestamp':
      return type.zoned ? 'timestamptz' : 'timestamp'
    case 'bool':
    case 'date':
    case 'time':
    case 'bytes':
      return type.kind === 'bytes' ? 'bytea' : type.kind
    default:
      return 'text'
  }
}

/** How values of a type get into a column; a text says why they do not. */
export function fitOf(def: ColumnDef, column: CatalogColumn): 'always' | 'checked' | { readonly why: string } {
  const { type } = def
  if (holdsAll(type, column)) return 'always'
  if (isKindred(type, column)) return 'checked'
  return { why: `column "${def.name}" is ${column.nativeType} and does not take ${typeText(type)}` }
}

/** Types of the target without length, precision or condition, by what they hold all of. */
const whole: ReadonlySet<string> = new Set([
  'boolean',
  'smallint',
  'integer',
  'bigint',
  'real',
  'double precision',
  'text',
  'character varying',
  'bytea',
  'json',
  'uuid',
  'date',
  'time without time zone',
  'timestamp without time zone',
  'timestamp with time zone',
  'interval',
])

function holdsAll(type: ColumnType, { type: there, nativeType }: CatalogColumn): boolean {
  const isNumber = type.kind === 'int' || type.kind === 'decimal'
  if (isNumber && nativeType === 'numeric') return true
  if (nativeType.startsWith('numeric(') && there.kind === 'decimal' && isNumber) return holdsDigits(type, there)
  if (!whole.has(nativeType)) return false
  if (nativeType === 'text' || nativeType === 'character varying') return isTextual(type) && type.kind !== 'interval'
  if (type.kind === 'int' || type.kind === 'float') return there.kind === type.kind && there.bits >= type.bits
  if (type.kind === 'timestamp') return there.kind === 'timestamp' && there.zoned === type.zoned
  return there.kind === type.kind
}

/** Digits of the largest integer of a width. */
const intDigits = { 16: 5, 32: 10, 64: 19 } as const

function holdsDigits(
  type: ColumnType & { readonly kind: 'int' | 'decimal' },
  there: ColumnType & { readonly kind: 'decimal' },
): boolean {
  const [precision, scale] = type.kind === 'int' ? [intDigits[type.bits], 0] : [type.precision, type.scale]
  return scale <= there.scale && precision - scale <= there.precision - there.scale
}

/** What each type may be written to when each value is looked at. A text is taken where its own text comes back. */
const kindred: Readonly<Record<ColumnType['kind'], readonly ColumnType['kind'][]>> = {
  bool: ['bool'],
  int: ['int', 'decimal', 'float'],
  decimal: ['decimal', 'int'],
  float: ['float'],
  text: ['bool', 'int', 'decimal', 'float', 'text', 'enum', 'json', 'uuid', 'date', 'time', 'timestamp', 'interval'],
  enum: ['text', 'enum'],
  bytes: ['bytes'],
  json: ['json', 'text'],
  uuid: ['uuid', 'text'],
  date: ['date'],
  time: ['time'],
  timestamp: ['timestamp'],
  interval: ['interval'],
}

function isKindred(type: ColumnType, { type: there, asText, nativeType }: CatalogColumn): boolean {
  if (!kindred[type.kind].includes(there.kind)) return false
  // No instant can be told from the time on a wall, and none the other way.
  if (type.kind === 'timestamp') return there.kind === 'timestamp' && there.zoned === type.zoned
  // Arrays, ranges, addresses and so on are text to us; of other types only text may go there.
  const isOther = asText && there.kind === 'text' && !/^char|^text/.test(nativeType)
  return !isOther || type.kind === 'text'
}
