import { ident, rawSql, sql, type Sql } from '../../core/sql.ts'
import type { Cell, Engine } from './contract.ts'

/** The parts of the page on engines, in its order. */
export const promiseGroups = [
  'Transactions and queries',
  'Types',
  'Casts',
  'NULL',
  'Text',
  'Order and comparison of text',
  'Regular expressions',
  'Arithmetic and decimals',
  'Division',
  'Rounding',
  'Dates and time zones',
  'Windows',
  'Merge',
  'History of type 2',
  'What stages count on',
] as const

export type PromiseGroup = (typeof promiseGroups)[number]

/** The same promises in one group. */
export function inGroup(group: PromiseGroup, promises: readonly EnginePromise[]): readonly GroupedPromise[] {
  return promises.map(promise => ({ ...promise, group }))
}

/** One promise of the engine contract, checked against an empty engine of its own. */
export interface EnginePromise {
  readonly name: string
  readonly check: (engine: Engine) => Promise<void>
}

/** A promise and the part of the page on engines that it stands in. */
export interface GroupedPromise extends EnginePromise {
  readonly group: PromiseGroup
}

/** A signal that never aborts. */
export const signal: AbortSignal = new AbortController().signal
/** The table of a promise that needs only one. */
export const t = ident('t')

/** The numbers 1 to `count` (at most 1,000,000) as a relation with the column `n`, in SQL that every engine has. */
export function numbers(count: number): Sql {
  return sql`(select a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d + 1 as n
    from ${digits} as a(d), ${digits} as b(d), ${digits} as c(d), ${digits} as e(d), ${digits} as f(d), ${digits} as g(d)
    where a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d < ${count})`
}

const digits = rawSql(`(values ${Array.from({ length: 10 }, (_, d) => `(cast(${d} as bigint))`).join(', ')}) `)

/** Every row of a query. */
export async function all(engine: Engine, text: string): Promise<readonly (readonly Cell[])[]> {
  const result = await engine.query(rawSql(text), signal)
  const rows: (readonly Cell[])[] = []
  for await (const page of result.pages) rows.push(...page)
  return rows
}
