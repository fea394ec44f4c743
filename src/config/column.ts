import type { ColumnDef, ColumnType } from '../core/types.ts'
import { mistake } from './mistake.ts'

declare const group: unique symbol
declare const holds: unique symbol
declare const brand: unique symbol
export type { group, holds }

/** What a value may be besides its type: written as the words a compiler message shows. */
export type MayBeNull = 'may be NULL'
export type Personal = 'personal data'
export type Trait = MayBeNull | Personal
export type TraitsOf<F extends string> = Extract<F, Trait>

/** An exact decimal number as text: `'12.50'`. */
export type Decimal = string & { readonly [brand]: 'decimal' }
/** A date as text: `'2026-11-01'`. */
export type DateText = string & { readonly [brand]: 'date' }
/** A time of day as text, with microseconds. */
export type TimeText = string & { readonly [brand]: 'time' }
/** A date and time without a zone as text, with microseconds. */
export type Timestamp = string & { readonly [brand]: 'timestamp' }
/** A moment as text, with microseconds and zone. */
export type Timestamptz = string & { readonly [brand]: 'timestamptz' }

/** The TypeScript type of a value, by column type. 64-bit integers are bigint; decimals, dates and times are branded text. */
export interface TypeScriptValue<F extends string> {
  text: string
  enum: F extends `'${infer V}'` ? V : never
  small: number
  int: number
  big: bigint
  decimal: Decimal
  float: number
  bool: boolean
  date: DateText
  time: TimeText
  timestamp: Timestamp
  timestamptz: Timestamptz
  uuid: string
  json: unknown
  bytes: Uint8Array
  interval: string
}

/** The column types, by the name of their builder in `t`. */
export type Group = keyof TypeScriptValue<string>
export type IntGroup = 'small' | 'int' | 'big'
export type InstantGroup = 'timestamp' | 'timestamptz'

/**
 * A column as the user declares it. `F` lists in words what its values may be, so that a compiler message says
 * `'"may be NULL"' is not assignable to '"int"'`.
 */
export interface Column<G extends Group, F extends string> {
  readonly [group]: G
  readonly [holds]: F
  readonly type: ColumnType
  readonly nullable: boolean
  readonly personal: boolean
  /** The value may be missing. */
  null(): Column<G, F | MayBeNull>
  /** Personal data: masked in reports and logs, and an export must mask it. */
  pii(): Column<G, F | Personal>
}

export interface Columns {
  readonly [name: string]: Column<Group, string>
}

export type GroupOf<C extends Column<Group, string>> = C[typeof group]
export type Holds<C extends Column<Group, string>> = C[typeof holds]
export type NameOf<C> = keyof C & string
/** Names of the columns of these types; `Otherwise` is a sentence for the case that there is none. */
export type NamesOfGroup<C extends Columns, G extends Group, Otherwise extends string> = OrSentence<
  { readonly [N in keyof C]: GroupOf<C[N]> extends G ? N : never }[keyof C] & string,
  Otherwise
>
export type OrSentence<N extends string, Otherwise extends string> = [N] extends [never] ? Otherwise : N
export type NullIf<F extends string> = MayBeNull extends F ? null : never
export type ValueIn<G extends Group, F extends string> = TypeScriptValue<F>[G] | NullIf<F>
export type RowIn<C extends Columns> = { readonly [N in keyof C]: ValueIn<GroupOf<C[N]>, Holds<C[N]>> }

/** One key column, or several in order. */
export type OneOrMore<N extends string> = N | readonly [N, ...N[]]
export type Key = readonly [string, ...string[]]
export type KeyOf<K extends OneOrMore<string>> = K extends string ? readonly [K] : Extract<K, Key>

interface ColumnData {
  readonly type: ColumnType
  readonly nullable: boolean
  readonly personal: boolean
}

function column<G extends Group, F extends string = G>(type: ColumnType): Column<G, F> {
  const make = (data: ColumnData): Column<G, F> => {
    const made: ColumnData & Pick<Column<G, F>, 'null' | 'pii'> = {
      ...data,
      null: () => make({ ...data, nullable: true }),
      pii: () => make({ ...data, personal: true }),
    }
    return Object.freeze(made) as Column<G, F> // the symbols exist for the compiler only
  }
  return make({ type: Object.freeze(type), nullable: false, personal: false })
}

/** The column types. */
export const t = {
  text: () => column<'text'>({ kind: 'text' }),
  /** A whole number of 16 bits. */
  small: () => column<'small'>({ kind: 'int', bits: 16 }),
  /** A whole number of 32 bits. */
  int: () => column<'int'>({ kind: 'int', bits: 32 }),
  /** A whole number of 64 bits: `bigint` in TypeScript. */
  big: () => column<'big'>({ kind: 'int', bits: 64 }),
  /** An exact decimal number. */
  decimal: (precision: number, scale: number) => column<'decimal'>(decimalType(precision, scale)),
  /** A floating point number, 64 bits unless 32 is given. */
  float: (bits: 32 | 64 = 64) => column<'float'>({ kind: 'float', bits }),
  bool: () => column<'bool'>({ kind: 'bool' }),
  date: () => column<'date'>({ kind: 'date' }),
  time: () => column<'time'>({ kind: 'time' }),
  /** A date and time without a zone. */
  timestamp: () => column<'timestamp'>({ kind: 'timestamp', zoned: false }),
  /** A moment: a date and time with its zone. */
  timestamptz: () => column<'timestamptz'>({ kind: 'timestamp', zoned: true }),
  /** One of a fixed list of texts. */
  enum: <const V extends readonly [string, ...string[]]>(...values: V) =>
    column<'enum', `'${V[number]}'`>({ kind: 'enum', values }),
  uuid: () => column<'uuid'>({ kind: 'uuid' }),
  json: () => column<'json'>({ kind: 'json' }),
  bytes: () => column<'bytes'>({ kind: 'bytes' }),
  interval: () => column<'interval'>({ kind: 'interval' }),
} as const

function decimalType(precision: number, scale: number): ColumnType {
  const fits = Number.isInteger(precision) && Number.isInteger(scale) && scale >= 0 && scale <= precision
  if (!fits || precision < 1 || precision > 38) {
    throw mistake(`t.decimal(${precision}, ${scale}): the precision is 1 to 38, the scale 0 to the precision`)
  }
  return { kind: 'decimal', precision, scale }
}

/** The columns as the model keeps them, in the order of the declaration. */
export function columnDefs(columns: Columns): readonly ColumnDef[] {
  return Object.entries(columns).map(([name, { type, nullable, personal }]) => ({ name, type, nullable, personal }))
}

/** A key as a list. */
export function keyList(key: OneOrMore<string>): readonly string[] {
  return typeof key === 'string' ? [key] : [...key]
}
