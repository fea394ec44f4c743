import type {
  Column,
  Columns,
  group,
  Group,
  GroupOf,
  holds,
  Holds,
  InstantGroup,
  IntGroup,
  MayBeNull,
  NullIf,
  Personal,
  Trait,
  TraitsOf,
  TypeScriptValue,
} from './column.ts'

/**
 * The value of a column in a row function. Such a function runs once, on these stand-ins, and what it did becomes SQL:
 * it is not called for each row. So use the methods; JavaScript operators (`+`, `===`, `? :`, `${}`) see the stand-in,
 * not a value. `+`, `<` and `${}` are refused; `? :` and `&&` on a stand-in cannot be noticed: use `when()`.
 */
export interface Value<G extends Group, F extends string> {
  readonly [group]: G
  readonly [holds]: F
  /** Converts to another type. A row whose value does not fit is set aside. */
  as<H extends Group, E extends string>(type: Column<H, E>): ValueFor<H, E | TraitsOf<F>>
  /** This value, or the other one where this is missing. */
  ifNull<E extends string = never>(other: Literal<F>[G] | Value<G, E>): ValueFor<G, Exclude<F, MayBeNull> | E>
  isNull(): Bool<'bool'>
  eq<E extends string = never>(other: Literal<F>[G] | Value<Comparable[G], E>): Bool<'bool' | TraitsOf<F | E>>
  ne<E extends string = never>(other: Literal<F>[G] | Value<Comparable[G], E>): Bool<'bool' | TraitsOf<F | E>>
  /** How many different values a group has. */
  countDistinct(): Measure<bigint>
  /** How many rows of a group have a value. */
  count(): Measure<bigint>
}

/** A value with an order. */
export interface Ordered<G extends Group, F extends string> extends Value<G, F> {
  lt<E extends string = never>(other: Literal<F>[G] | Value<Comparable[G], E>): Bool<'bool' | TraitsOf<F | E>>
  le<E extends string = never>(other: Literal<F>[G] | Value<Comparable[G], E>): Bool<'bool' | TraitsOf<F | E>>
  gt<E extends string = never>(other: Literal<F>[G] | Value<Comparable[G], E>): Bool<'bool' | TraitsOf<F | E>>
  ge<E extends string = never>(other: Literal<F>[G] | Value<Comparable[G], E>): Bool<'bool' | TraitsOf<F | E>>
  min(): Measure<TypeScriptValue<F>[G] | NullIf<F>>
  max(): Measure<TypeScriptValue<F>[G] | NullIf<F>>
}

export interface Text<F extends string> extends Ordered<'text', F> {
  trim(): Text<F>
  lower(): Text<F>
  upper(): Text<F>
  /** Unicode NFC, white space collapsed and trimmed: what two systems must agree on before texts are compared. */
  normalize(): Text<F>
  /** `length` characters from `from` (1 is the first); to the end when `length` is left out. */
  substring(from: number, length?: number): Text<F>
  replace(what: string, by: string): Text<F>
  /** Replaces every match of an RE2 pattern. */
  replacePattern(pattern: string | RegExp, by: string): Text<F>
  concat<E extends string = never>(...parts: readonly (string | Text<E>)[]): Text<F | TraitsOf<E>>
  /** True where an RE2 pattern matches somewhere in the text. */
  matches(pattern: string | RegExp): Bool<'bool' | TraitsOf<F>>
  length(): Whole<'int', 'int' | TraitsOf<F>>
  /** Value by value. Any other text sets the row aside, unless `otherwise` keeps it or makes it NULL. */
  map<const M extends Cases, O extends Otherwise = 'reject'>(cases: M, otherwise?: O): Mapped<M[keyof M], O, F>
}

export interface Choice<F extends string> extends Value<'enum', F> {
  /** Value by value; every value of the list needs its case, unless `otherwise` is given. */
  map<const M extends { readonly [V in TypeScriptValue<F>['enum']]?: Case }, O extends Otherwise = 'reject'>(
    cases: M & (O extends 'reject' ? { readonly [V in TypeScriptValue<F>['enum']]: unknown } : unknown),
    otherwise?: O,
  ): Mapped<M[keyof M], O, F>
}

export interface Whole<G extends IntGroup, F extends string> extends Ordered<G, F> {
  /** Arithmetic on whole numbers gives 64 bits, so that it does not overflow; `.as(t.int())` narrows it again. */
  add<E extends string = never>(other: number | bigint | Value<IntGroup, E>): Whole<'big', 'big' | TraitsOf<F | E>>
  subtract<E extends string = never>(other: number | bigint | Value<IntGroup, E>): Whole<'big', 'big' | TraitsOf<F | E>>
  multiply<E extends string = never>(other: number | bigint | Value<IntGroup, E>): Whole<'big', 'big' | TraitsOf<F | E>>
  /** Exact: gives a decimal. NULL when the other is 0. */
  divide<E extends string = never>(other: DecimalOperand<E>): Exact<'decimal' | MayBeNull | TraitsOf<F | E>>
  negate(): Whole<'big', 'big' | TraitsOf<F>>
  abs(): Whole<'big', 'big' | TraitsOf<F>>
  /** Exact; bigint. */
  sum(): Measure<bigint | NullIf<F>>
  /** A floating point number. */
  avg(): Measure<number | NullIf<F>>
}

type DecimalOperand<E extends string> = `${number}` | number | bigint | Value<IntGroup | 'decimal', E>

export interface Exact<F extends string> extends Ordered<'decimal', F> {
  /** Exact. Literals are decimal text or whole numbers: `'12.50'`, `3`. */
  add<E extends string = never>(other: DecimalOperand<E>): Exact<'decimal' | TraitsOf<F | E>>
  subtract<E extends string = never>(other: DecimalOperand<E>): Exact<'decimal' | TraitsOf<F | E>>
  multiply<E extends string = never>(other: DecimalOperand<E>): Exact<'decimal' | TraitsOf<F | E>>
  /** Six digits more than the longer scale of the two. NULL when the other is 0. */
  divide<E extends string = never>(other: DecimalOperand<E>): Exact<'decimal' | MayBeNull | TraitsOf<F | E>>
  negate(): Exact<F>
  abs(): Exact<F>
  /** Half away from zero, to so many digits after the point. */
  round(digits: number): Exact<F>
  /** Exact; a decimal. */
  sum(): Measure<TypeScriptValue<F>['decimal'] | NullIf<F>>
  /** A floating point number. */
  avg(): Measure<number | NullIf<F>>
}

type FloatOperand<E extends string> = number | Value<'small' | 'int' | 'float', E>

export interface Float<F extends string> extends Ordered<'float', F> {
  add<E extends string = never>(other: FloatOperand<E>): Float<'float' | TraitsOf<F | E>>
  subtract<E extends string = never>(other: FloatOperand<E>): Float<'float' | TraitsOf<F | E>>
  multiply<E extends string = never>(other: FloatOperand<E>): Float<'float' | TraitsOf<F | E>>
  /** NULL when the other is 0. */
  divide<E extends string = never>(other: FloatOperand<E>): Float<'float' | MayBeNull | TraitsOf<F | E>>
  negate(): Float<F>
  abs(): Float<F>
  round(digits: number): Float<F>
  sum(): Measure<number | NullIf<F>>
  avg(): Measure<number | NullIf<F>>
}

export interface Bool<F extends string> extends Value<'bool', F> {
  and<E extends string>(other: Bool<E>): Bool<'bool' | TraitsOf<F | E>>
  or<E extends string>(other: Bool<E>): Bool<'bool' | TraitsOf<F | E>>
  not(): Bool<F>
}

export interface Day<F extends string> extends Ordered<'date', F> {
  year(): Whole<'int', 'int' | TraitsOf<F>>
  month(): Whole<'int', 'int' | TraitsOf<F>>
  day(): Whole<'int', 'int' | TraitsOf<F>>
}

export interface Instant<G extends InstantGroup, F extends string> extends Ordered<G, F> {
  year(): Whole<'int', 'int' | TraitsOf<F>>
  month(): Whole<'int', 'int' | TraitsOf<F>>
  day(): Whole<'int', 'int' | TraitsOf<F>>
  date(): Day<'date' | TraitsOf<F>>
  /** Without a zone: the moment it was at that place. With one: the wall clock of that place. */
  inZone(zone: string): InZone<TraitsOf<F>>[G]
}

interface InZone<T extends string> {
  timestamp: Instant<'timestamptz', 'timestamptz' | T>
  timestamptz: Instant<'timestamp', 'timestamp' | T>
}

/** The stand-in for a column type. One lookup, no chain of conditional types: 200 tables must check in seconds. */
export interface ValueByGroup<F extends string> {
  text: Text<F>
  enum: Choice<F>
  small: Whole<'small', F>
  int: Whole<'int', F>
  big: Whole<'big', F>
  decimal: Exact<F>
  float: Float<F>
  bool: Bool<F>
  date: Day<F>
  time: Ordered<'time', F>
  timestamp: Instant<'timestamp', F>
  timestamptz: Instant<'timestamptz', F>
  uuid: Value<'uuid', F>
  json: Value<'json', F>
  bytes: Value<'bytes', F>
  interval: Value<'interval', F>
}

export type ValueFor<G extends Group, F extends string> = ValueByGroup<F>[G]
export type AnyValue = Value<Group, string>
export type Condition = Bool<string>

/** One row of a table, column by column. */
export type Row<C extends Columns> = { readonly [N in keyof C]: ValueFor<GroupOf<C[N]>, Holds<C[N]>> }

/** What a group of rows comes to; stands in `get` of a summary. */
export interface Measure<V> {
  readonly [holds]: 'a measure of many rows'
  readonly result: V
}

/** Anything whose every possibility is one of `F`. */
export interface Takes<F extends string> {
  readonly [holds]: F
}

/** What a column takes besides itself: only what can never fail or round. */
interface TakenBy<F extends string> {
  text: F | `'${string}'`
  enum: F
  small: F
  int: F | 'small'
  big: F | 'small' | 'int'
  decimal: F | 'small' | 'int' | 'big'
  float: F | 'small' | 'int'
  bool: F
  date: F
  time: F
  timestamp: F
  timestamptz: F
  uuid: F
  json: F
  bytes: F
  interval: F
}

export type TakenByColumn<C extends Column<Group, string>> = TakenBy<Holds<C>>[GroupOf<C>]
/** What a row function gives: for every column something that the column can hold. */
export type Fits<C extends Columns> = { readonly [N in keyof C]: Takes<TakenByColumn<C[N]>> }

/** What a match gives: any of the columns, also where a row may have no value to be found by. */
export type FitsMatch<C extends Columns> = { readonly [N in keyof C]?: Takes<TakenByColumn<C[N]> | MayBeNull> }

/** Which types may be compared with one. */
interface Comparable {
  text: 'text' | 'enum'
  enum: 'text' | 'enum'
  small: IntGroup | 'decimal'
  int: IntGroup | 'decimal'
  big: IntGroup | 'decimal'
  decimal: IntGroup | 'decimal'
  float: 'float' | 'small' | 'int'
  bool: 'bool'
  date: 'date'
  time: 'time'
  timestamp: 'timestamp'
  timestamptz: 'timestamptz'
  uuid: 'uuid'
  json: 'json'
  bytes: 'bytes'
  interval: 'interval'
}

/** How a constant of a type is written. */
interface Literal<F extends string> {
  text: string
  enum: TypeScriptValue<F>['enum']
  small: number | bigint
  int: number | bigint
  big: number | bigint
  decimal: `${number}` | number | bigint
  float: number
  bool: boolean
  date: `${number}-${number}-${number}`
  time: `${number}:${number}:${number}`
  timestamp: `${number}-${number}-${number} ${number}:${number}:${number}`
  timestamptz: `${number}-${number}-${number} ${number}:${number}:${number}${'Z' | '+' | '-'}${string}`
  uuid: string
  json: never
  bytes: never
  interval: string
}

export type Case = string | number | boolean | null
interface Cases {
  readonly [text: string]: Case
}
export type Otherwise = 'reject' | 'keep' | 'null'

type Mapped<V, O extends Otherwise, F extends string> = O extends 'keep'
  ? Text<'text' | TraitsOf<F> | NullTrait<V>>
  : MappedTo<NonNullable<V>, TraitsOf<F> | NullTrait<V> | (O extends 'null' ? MayBeNull : never)>
type NullTrait<V> = null extends V ? MayBeNull : never
type MappedTo<V, T extends Trait> = [V] extends [string]
  ? Choice<`'${V}'` | T>
  : [V] extends [number]
    ? Whole<'int', 'int' | T>
    : Bool<'bool' | T>

/** What may stand behind `then` and `otherwise`: a value of the row, or a constant. */
export type Outcome = AnyValue | string | number | boolean

export interface When<G extends Group, F extends string> {
  then<const T extends Outcome>(value: T): Then<G | OutcomeGroup<T>, F | OutcomeHolds<T>>
}

export interface Then<G extends Group, F extends string> {
  when<E extends string>(condition: Bool<E>): When<G, F | Extract<E, Personal>>
  otherwise<const T extends Outcome>(value: T): ValueFor<Joined<G | OutcomeGroup<T>>, F | OutcomeHolds<T>>
}

type OutcomeGroup<T extends Outcome> = T extends AnyValue
  ? T[typeof group]
  : T extends string
    ? 'enum'
    : T extends number
      ? 'int'
      : 'bool'
type OutcomeHolds<T extends Outcome> = T extends AnyValue
  ? T[typeof holds]
  : T extends string
    ? `'${T}'`
    : T extends number
      ? 'int'
      : 'bool'
/** The one type of several branches. Branches of unlike types keep their union, which no column takes. */
type Joined<G extends Group> = [G] extends ['text' | 'enum']
  ? 'text' extends G
    ? 'text'
    : 'enum'
  : [G] extends [IntGroup]
    ? 'big' extends G
      ? 'big'
      : 'int'
    : G
