import type { Columns, Group, GroupOf, Key, Trait } from './column.ts'
import { aboutOf, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { RuleBound, RuleDef } from './model.ts'
import { re2Of } from './pattern.ts'
import { recordOf } from './record.ts'
import type { Keyed } from './source.ts'
import type { AnyValue, Condition } from './value.ts'
import { columnsOf as columnsRead } from '../core/expr.ts'

declare const checks: unique symbol

/** What a rule does with a row that breaks it. Each call gives a new rule. */
interface Severe {
  /** Reports the row and lets it pass. */
  warn(): this
  /** Sets the row aside until it is corrected: the default. */
  quarantine(): this
  /** Makes nothing of the load visible. */
  block(): this
  /** Ends the run with exit status 3 when more rows of a change set break it: a number of rows, or a share such as `'1%'`. */
  limit(most: number | `${number}%`): this
}

/** A rule for one column; `A` are the kinds of values that it can check. */
export interface Rule<in A extends string> extends Severe {
  readonly [checks]: (value: A) => void
}

/** A rule for whole rows: stands under `'*'`. */
export interface RowRule extends Severe {
  readonly [checks]: 'rows'
}

/** Kinds of values by the rules that can check them. Looked up, not named, so that compiler messages list the kinds. */
interface Checkable {
  text: 'text' | `'${string}'` | 'may be NULL' | 'personal data'
  whole: 'small' | 'int' | 'big' | 'may be NULL' | 'personal data'
  number: 'small' | 'int' | 'big' | 'decimal' | 'float' | 'may be NULL' | 'personal data'
  time: 'decimal' | 'date' | 'time' | 'timestamp' | 'timestamptz' | 'may be NULL' | 'personal data'
}

/** Kinds that can hold a key of this type. */
interface Refers {
  text: Checkable['text']
  enum: Checkable['text']
  small: Checkable['whole']
  int: Checkable['whole']
  big: Checkable['whole']
}
type ReferringTo<G extends Group> = G extends keyof Refers ? Refers[G] : G | Trait

type OneColumn<K extends Key> = K['length'] extends 1
  ? unknown
  : `a reference needs a key of one column; this one has ${K['length']}`

type Check = RuleDef['check']

/** A rule before the entity gives it its columns and its id. */
export interface RuleDraft {
  readonly check: Check
  /** Empty for a rule of one column: it takes the column that it stands under. */
  readonly columns: readonly string[]
  readonly severity: RuleDef['severity']
  readonly limit: RuleDef['limit']
  readonly uses: readonly Handle[]
}

const drafted = Symbol.for('naru.rule')

/** The draft behind a rule; `null` when `value` is none. */
export function draftOf(value: unknown): RuleDraft | null {
  return typeof value === 'object' && value !== null && drafted in value ? (value[drafted] as RuleDraft) : null
}

function ruleOf(draft: RuleDraft): object {
  return Object.freeze({
    [drafted]: draft,
    warn: () => ruleOf({ ...draft, severity: 'warn' }),
    quarantine: () => ruleOf({ ...draft, severity: 'quarantine' }),
    block: () => ruleOf({ ...draft, severity: 'block' }),
    limit: (most: number | string) => ruleOf({ ...draft, limit: limitOf(most) }),
  })
}

function limitOf(most: number | string): RuleDef['limit'] {
  if (typeof most === 'number' && Number.isSafeInteger(most) && most >= 0) return { rows: most }
  const share = /^(\d+(?:\.\d+)?)%$/.exec(String(most))
  if (share === null || Number(share[1]) > 100)
    throw mistake(`limit(${JSON.stringify(most)}): give a number of rows, or a share such as '1%'`)
  return { share: Number(share[1]) / 100 }
}

function make<R>(check: Check, columns: readonly string[] = [], uses: readonly Handle[] = []): R {
  return ruleOf({ check, columns, severity: 'quarantine', limit: null, uses }) as R
}

type Bound = number | bigint | null

function range(min: Bound, max: Bound): Rule<Checkable['number']>
function range(min: string | null, max: string | null): Rule<Checkable['time']>
function range(min: string | Bound, max: string | Bound): unknown {
  if (min === null && max === null) throw mistake('rule.range(null, null) checks nothing')
  const bound = (value: string | Bound): RuleBound => (typeof value === 'bigint' ? value.toString() : value)
  return make({ kind: 'range', min: bound(min), max: bound(max) })
}

/** Controls on the values of an entity. They run before repair (reported) and after it (acted on). */
export const rule = {
  /** A value must be there. */
  required: () => make<Rule<string>>({ kind: 'required' }),
  /** Both ends included; `null` leaves one open. Dates, times and exact decimals are written as text. */
  range,
  /** One of these values. */
  oneOf: <const V extends string | number>(...values: readonly V[]) =>
    make<Rule<[V] extends [string] ? Checkable['text'] : Checkable['number']>>({ kind: 'oneOf', values }),
  /** An RE2 pattern matches somewhere in the text. Give it as text, or as a regular expression that RE2 can do. */
  pattern: (pattern: string | RegExp) => make<Rule<Checkable['text']>>({ kind: 'pattern', re2: re2Of(pattern) }),
  /** The value stands in the key of an entity or of a source table. A missing value passes. */
  ref: <C extends Columns, K extends Key>(to: OneColumn<K> & Keyed<C, K>) =>
    make<Rule<ReferringTo<GroupOf<C[K[0]]>>>>({ kind: 'reference', to: targetOf(to) }, [], [to]),
  /** No two rows have the same values in these columns. */
  unique: (...columns: readonly [AnyValue, ...AnyValue[]]) =>
    make<RowRule>({ kind: 'unique' }, columns.map(columnName)),
  /** A condition over the columns of a row; a row passes unless it is false. */
  check: (condition: Condition) => {
    const found = recordOf(condition)
    if (found === null) throw mistake('rule.check() takes a condition such as e.arrival.ge(e.departure)')
    const columns = columnsRead(found.expr)
    if (columns.length === 0) throw mistake('rule.check() must read at least one column')
    return make<RowRule>({ kind: 'expression', expr: found.expr }, columns)
  },
} as const

function targetOf(to: Handle): { entity: string } | { source: string; table: string } {
  const found = aboutOf(to)
  if (found?.kind === 'entity') return { entity: found.def.name }
  if (found?.kind === 'table') return { source: found.def.source, table: found.def.name }
  throw mistake('rule.ref() takes an entity or a source table')
}

function columnName(value: AnyValue): string {
  const expr = recordOf(value)?.expr
  if (expr?.kind !== 'column') throw mistake('rule.unique() takes columns of the entity, unchanged')
  return expr.name
}
