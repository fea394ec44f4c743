import type { Expr, FnName } from '../core/expr.ts'
import type { ColumnType } from '../core/types.ts'
import type { Aggregate } from './model.ts'
import { constant, resultType, roundedType, type ArithmeticName } from './arithmetic.ts'
import type { MayBeNull } from './column.ts'
import { mistake } from './mistake.ts'
import { re2Of } from './pattern.ts'
import type { Case, Measure, Otherwise, Takes } from './value.ts'

/**
 * Row functions run once on stand-ins that record what is done with them. A stand-in carries its expression under a
 * symbol shared by every copy of this package, so that a config and its loader may hold different copies.
 */
const recorded = Symbol.for('naru.value')
const measured = Symbol.for('naru.measure')

export interface Recorded {
  readonly expr: Expr
  /** Whose columns it reads: a dimension's role in a summary, `null` for the row itself, `undefined` for a constant. */
  readonly role: string | null | undefined
}

export interface Measured {
  readonly aggregate: Aggregate
  readonly of: Recorded | null
}

/** The recording behind a stand-in; `null` when `value` is none. */
export function recordOf(value: unknown): Recorded | null {
  return typeof value === 'object' && value !== null && recorded in value ? (value[recorded] as Recorded) : null
}

export function measureOf(value: unknown): Measured | null {
  return typeof value === 'object' && value !== null && measured in value ? (value[measured] as Measured) : null
}

/** Makes the stand-in for a recording: the methods of its type. */
export function standIn(self: Recorded): object {
  const { kind } = self.expr.type
  return Object.freeze({
    [recorded]: self,
    [Symbol.toPrimitive]: refusePrimitive,
    ...valueMethods(self),
    ...(kind === 'text' || kind === 'enum' ? textMethods(self) : {}),
    ...(kind === 'int' || kind === 'decimal' || kind === 'float' ? numberMethods(self) : {}),
    ...(kind === 'bool' ? boolMethods(self) : {}),
    ...(kind === 'date' || kind === 'timestamp' ? timeMethods(self) : {}),
  })
}

function refusePrimitive(): never {
  throw mistake(
    'a column was used as a plain value (with +, <, a template string or the like). Row functions are recorded once and ' +
      'become SQL: use methods, such as .add(), .concat(), .lt() and when()',
  )
}

function call(fn: FnName, type: ColumnType, args: readonly Recorded[]): object {
  return standIn({ expr: { kind: 'call', fn, args: args.map(arg => arg.expr), type }, role: commonRole(args) })
}

/** An expression of a summary reads the fact or one dimension: the engine computes it before they are joined. */
export function commonRole(args: readonly Recorded[]): Recorded['role'] {
  const roles = new Set(args.map(arg => arg.role).filter(role => role !== undefined))
  if (roles.size > 1)
    throw mistake('an expression of a summary must read the fact alone, or one of its dimensions alone')
  return roles.values().next().value
}

/** A stand-in or a constant beside `self`, as a recording. */
export function operand(value: unknown, self: Recorded): Recorded {
  const found = recordOf(value)
  if (found !== null) return found
  if (['string', 'number', 'bigint', 'boolean'].includes(typeof value)) {
    return { expr: constant(value as string, self.expr.type), role: undefined }
  }
  throw mistake(`a column or a constant must stand here, not ${value === null ? 'null' : typeof value}`)
}

const bool: ColumnType = { kind: 'bool' }
const text: ColumnType = { kind: 'text' }
const int: ColumnType = { kind: 'int', bits: 32 }

function valueMethods(self: Recorded): object {
  const compare = (fn: FnName) => (other: unknown) => call(fn, bool, [self, operand(other, self)])
  return {
    as: (to: { readonly type: ColumnType }) =>
      standIn({ expr: { kind: 'cast', arg: self.expr, type: to.type }, role: self.role }),
    ifNull: (other: unknown) => call('coalesce', self.expr.type, [self, operand(other, self)]),
    isNull: () => call('isNull', bool, [self]),
    eq: compare('eq'),
    ne: compare('ne'),
    lt: compare('lt'),
    le: compare('le'),
    gt: compare('gt'),
    ge: compare('ge'),
    min: () => measure('min', self),
    max: () => measure('max', self),
    count: () => measure('count', self),
    countDistinct: () => measure('countDistinct', self),
  }
}

function textMethods(self: Recorded): object {
  const one = (fn: FnName) => () => call(fn, text, [self])
  const literal = (value: string): Recorded => ({ expr: { kind: 'literal', value, type: text }, role: undefined })
  const count = (value: number): Recorded => ({ expr: { kind: 'literal', value, type: int }, role: undefined })
  return {
    trim: one('trim'),
    lower: one('lower'),
    upper: one('upper'),
    normalize: one('normalize'),
    length: () => call('length', int, [self]),
    substring: (from: number, length?: number) =>
      call('substring', text, [self, count(from), ...(length === undefined ? [] : [count(length)])]),
    replace: (what: string, by: string) => call('replace', text, [self, literal(what), literal(by)]),
    replacePattern: (pattern: string | RegExp, by: string) =>
      call('replacePattern', text, [self, literal(re2Of(pattern)), literal(by)]),
    matches: (pattern: string | RegExp) => call('matches', bool, [self, literal(re2Of(pattern))]),
    concat: (...parts: unknown[]) => call('concat', text, [self, ...parts.map(part => operand(part, self))]),
    map: (cases: Readonly<Record<string, Case>>, otherwise: Otherwise = 'reject') =>
      standIn({
        expr: {
          kind: 'map',
          arg: self.expr,
          cases: Object.entries(cases),
          otherwise,
          type: typeOfCases(cases, otherwise),
        },
        role: self.role,
      }),
  }
}

function typeOfCases(cases: Readonly<Record<string, Case>>, otherwise: Otherwise): ColumnType {
  const kinds = new Set(
    Object.values(cases)
      .filter(value => value !== null)
      .map(value => typeof value),
  )
  if (kinds.size > 1) throw mistake('the values of a map must be of one type')
  if (otherwise === 'keep' || kinds.size === 0 || kinds.has('string')) return text
  return kinds.has('number') ? int : bool
}

function numberMethods(self: Recorded): object {
  const arithmetic = (name: ArithmeticName) => (other: unknown) => {
    const right = operand(other, self)
    return call(name, resultType(name, self.expr.type, right.expr.type), [self, right])
  }
  const same = self.expr.type.kind === 'int' ? ({ kind: 'int', bits: 64 } as const) : self.expr.type
  return {
    add: arithmetic('add'),
    subtract: arithmetic('subtract'),
    multiply: arithmetic('multiply'),
    divide: arithmetic('divide'),
    negate: () => call('negate', same, [self]),
    abs: () => call('abs', same, [self]),
    round: (digits: number) =>
      call('round', roundedType(self.expr.type, digits), [
        self,
        { expr: { kind: 'literal', value: digits, type: int }, role: undefined },
      ]),
    sum: () => measure('sum', self),
    avg: () => measure('avg', self),
  }
}

function boolMethods(self: Recorded): object {
  return {
    and: (other: unknown) => call('and', bool, [self, operand(other, self)]),
    or: (other: unknown) => call('or', bool, [self, operand(other, self)]),
    not: () => call('not', bool, [self]),
  }
}

function timeMethods(self: Recorded): object {
  const { type } = self.expr
  return {
    year: () => call('year', int, [self]),
    month: () => call('month', int, [self]),
    day: () => call('day', int, [self]),
    date: () => call('dateOf', { kind: 'date' }, [self]),
    inZone: (zone: string) => {
      if (type.kind !== 'timestamp') throw mistake('a date has no time of day to place in a zone')
      return call('inZone', { kind: 'timestamp', zoned: !type.zoned }, [
        self,
        { expr: { kind: 'literal', value: checkedZone(zone), type: text }, role: undefined },
      ])
    },
  }
}

function checkedZone(zone: string): string {
  try {
    Intl.DateTimeFormat('en', { timeZone: zone })
    return zone
  } catch (error) {
    throw Object.assign(mistake(`'${zone}' is not a time zone; write it like 'Asia/Seoul'`), { cause: error })
  }
}

function measure(aggregate: Aggregate, of: Recorded): object {
  return Object.freeze({ [measured]: { aggregate, of }, [Symbol.toPrimitive]: refusePrimitive })
}

/** The number of rows of a group. */
export function countRows(): Measure<bigint> {
  return Object.freeze({ [measured]: { aggregate: 'count', of: null } }) as unknown as Measure<bigint>
}

/** No value, for a nullable column that a source does not have. */
export const none = standIn({
  expr: { kind: 'literal', value: null, type: text },
  role: undefined,
}) as unknown as Takes<MayBeNull>

/**
 * The stand-ins of a row: made when they are first asked for. A name that is no column is refused, so that a config that
 * was not type-checked still fails on the right line.
 */
export function standInRow(where: string, names: readonly string[], make: (name: string) => unknown): object {
  const made = new Map<string, unknown>()
  const row: object = Object.create(null)
  for (const name of names) {
    const get = (): unknown => {
      if (!made.has(name)) made.set(name, make(name))
      return made.get(name)
    }
    Object.defineProperty(row, name, { enumerable: true, get })
  }
  return new Proxy(Object.freeze(row), {
    get: (target, name) => {
      if (typeof name === 'string' && !Object.hasOwn(target, name)) {
        throw mistake(`${where} has no column "${name}"; it has ${names.join(', ')}`)
      }
      return Reflect.get(target, name)
    },
  })
}
