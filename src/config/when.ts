/* oxlint-disable unicorn/no-thenable -- `then` is the word of SQL, and nobody awaits a half-written choice */
import type { Expr } from '../core/expr.ts'
import { typeText, type ColumnType } from '../core/types.ts'
import { resultType } from './arithmetic.ts'
import type { Personal } from './column.ts'
import { mistake } from './mistake.ts'
import { commonRole, operand, recordOf, standIn, type Recorded } from './record.ts'
import type { Bool, Condition, Outcome, Then, When } from './value.ts'

const bool: ColumnType = { kind: 'bool' }
const int: ColumnType = { kind: 'int', bits: 32 }
const text: ColumnType = { kind: 'text' }

/**
 * A choice by condition: `when(r.qty.gt(0)).then('in').otherwise('out')`. Use it instead of `? :`. What personal data
 * decides is personal.
 */
export function when<F extends string>(condition: Bool<F>): When<never, Extract<F, Personal>> {
  return branch([], condition) as When<never, Extract<F, Personal>>
}

type Branch = { readonly when: Recorded; readonly then: Recorded }

function branch(done: readonly Branch[], condition: unknown): object {
  const test = recordOf(condition)
  if (test === null) throw mistake('when() takes a condition such as r.qty.gt(0)')
  return {
    then: (value: Outcome): Then<never, never> => {
      const branches = [...done, { when: test, then: outcome(value) }]
      return {
        when: (next: Condition) => branch(branches, next),
        otherwise: (other: Outcome) => choose(branches, outcome(other)),
      } as unknown as Then<never, never>
    },
  }
}

function outcome(value: unknown): Recorded {
  const type: ColumnType = typeof value === 'boolean' ? bool : typeof value === 'number' ? int : text
  return operand(value, { expr: { kind: 'literal', value: null, type }, role: undefined })
}

function choose(branches: readonly Branch[], otherwise: Recorded): object {
  const results = [...branches.map(b => b.then), otherwise]
  const expr: Expr = {
    kind: 'case',
    branches: branches.map(b => ({ when: b.when.expr, then: b.then.expr })),
    otherwise: otherwise.expr,
    type: commonType(results.map(result => result.expr.type)),
  }
  return standIn({ expr, role: commonRole([...branches.map(b => b.when), ...results]) })
}

function commonType(types: readonly ColumnType[]): ColumnType {
  const [first = text] = types
  if (types.every(type => typeText(type) === typeText(first))) return first
  const kinds = new Set(types.map(type => type.kind))
  if ([...kinds].every(kind => kind === 'text' || kind === 'enum')) return text
  if ([...kinds].every(kind => kind === 'int')) return { kind: 'int', bits: 64 }
  if ([...kinds].every(kind => kind === 'int' || kind === 'decimal')) {
    return types.reduce((a, b) => widest(a, b))
  }
  throw mistake(`the branches of when() give ${[...kinds].join(' and ')}; make them one type with .as()`)
}

function widest(a: ColumnType, b: ColumnType): ColumnType {
  const sum = resultType('add', a, b)
  return sum.kind === 'decimal' ? { ...sum, precision: Math.max(sum.scale, sum.precision - 1) } : sum
}
