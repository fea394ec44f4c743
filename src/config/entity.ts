import {
  columnDefs,
  keyList,
  type Columns,
  type GroupOf,
  type Holds,
  type Key,
  type KeyOf,
  type MayBeNull,
  type NameOf,
  type NamesOfGroup,
  type OneOrMore,
} from './column.ts'
import {
  resolve,
  withFrom,
  withMatch,
  type Draft,
  type FromOptions,
  type MatchGiven,
  type RowFunction,
} from './contribution.ts'
import { columnsRow, fitted } from './fit.ts'
import { about, checkedColumns, checkedName, checkedOptions, deepFreeze, type About, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { EntityDef } from './model.ts'
import { assertMarked } from './personal.ts'
import { preferDef, type Prefer } from './prefer.ts'
import { ruleDefs } from './rule-ids.ts'
import type { RowRule, Rule } from './rule.ts'
import type { Keyed, Table } from './source.ts'
import type { Condition, Fits, FitsMatch, Row, Takes, TakenByColumn, ValueFor } from './value.ts'

/** Columns that the entity does not have, as a sentence for the compiler's message. */
type NoStrangers<C, R> = { readonly [N in Exclude<keyof R, keyof C> & string]?: `this entity has no column ${N}` }
type NoKeys<R, K extends Key> = {
  readonly [N in Extract<keyof R, K[number]> & string]?: `the match finds the key ${N}; it must not be given`
}
type TextNames<C extends Columns> = NamesOfGroup<C, 'text' | 'enum', 'a text column: this entity has none'>
type OneOrList<T> = T | readonly T[]

/** A golden key found by a match: it may be missing. */
type GoldenKey<C extends Columns, K extends Key> = K extends readonly [infer N extends NameOf<C>]
  ? ValueFor<GroupOf<C[N]>, Exclude<Holds<C[N]>, MayBeNull> | MayBeNull>
  : 'only an entity with one key column can be resolved'

export interface MatchOptions<C extends Columns, D extends Columns, R, A extends string> {
  /** Text columns that the mapping gives, each compared by likeness with these columns of the golden records. */
  readonly compare: { readonly [N in keyof R & TextNames<C>]?: readonly TextNames<C>[] }
  /** Columns whose equality raises the score. */
  readonly support?: readonly (keyof R & NameOf<C>)[]
  /** 0 to 1: a best pair below it is no match. */
  readonly threshold?: number
  /** The contributor's name; the source's unless given. */
  readonly as?: A
  readonly where?: (row: Row<D>) => Condition
}

/** A real thing of the business: one golden record per key. Each method gives a new entity; use the last one. */
export interface Entity<N extends string, C extends Columns, K extends Key, S extends string, M> extends Keyed<C, K> {
  readonly entityName: N

  /**
   * Adds what a source table gives: a value for each column of the entity. The function runs once and is recorded.
   * The contributor is called like its source unless `as` is given.
   */
  from<T extends string, D extends Columns, R extends Fits<C>, const A extends string = T>(
    table: Table<T, D, Key>,
    row: (row: Row<D>) => NoStrangers<C, R> & R,
    options?: { readonly as?: A; readonly where?: (row: Row<D>) => Condition },
  ): Entity<N, C, K, S | A, M>

  /**
   * Adds a source table whose rows do not carry the key. They are found among the golden records by likeness, add to the
   * record they match, and never create one.
   */
  match<T extends string, D extends Columns, R extends FitsMatch<C>, const A extends string = T>(
    table: Table<T, D, Key>,
    row: (row: Row<D>) => NoStrangers<C, R> & NoKeys<R, K> & R,
    options: MatchOptions<C, D, NoInfer<R>, A>,
  ): Entity<N, C, K, S | A, M & { readonly [X in A]: Row<D> }>

  /** The key that a row's match found, missing where there is none. `row` is a row of the table given to `match`. */
  resolve<const A extends NameOf<M>>(contributor: A, row: M[A]): GoldenKey<C, K>

  /** Controls by column, and under `'*'` those over several columns. */
  rules(
    rules: { readonly [X in keyof C]?: OneOrList<Rule<Holds<C[X]>>> } & {
      readonly '*'?: (row: Row<C>) => OneOrList<RowRule>
    },
  ): this

  /** Repairs by column, over the mapped values. Each changed cell leaves a correction record. */
  cleanse(repairs: { readonly [X in keyof C]?: (row: Row<C>) => Takes<TakenByColumn<C[X]>> }): this

  /** Who wins where contributors disagree: by column, `'*'` for the rest. */
  conflicts(prefers: { readonly [X in keyof C | '*']?: Prefer<S, C> }): this
}

/** Declares an entity: its key and its columns come first, sources are fitted to them. */
export function entity<const N extends string, C extends Columns, const K extends OneOrMore<NameOf<C>>>(
  name: N,
  options: { readonly key: K; readonly columns: C },
): Entity<N, C, KeyOf<K>, never, unknown> {
  checkedName('entity', name)
  checkedOptions(`entity ${name}`, options, ['key', 'columns'])
  const key = keyList(options.key)
  checkedColumns(`entity ${name}`, key, Object.keys(options.columns))
  Object.keys(options.columns).forEach(column => checkedColumnName(name, column))
  const columns = columnDefs(options.columns)
  const nullable = columns.find(column => key.includes(column.name) && column.nullable)
  if (nullable !== undefined) throw mistake(`the key column ${name}.${nullable.name} may not be NULL`)
  const def: EntityDef = { name, columns, key, contributions: [], rules: [], cleanse: [], conflicts: [] }
  return entityOf({ def, uses: [], matchers: new Map() }) as Entity<N, C, KeyOf<K>, never, unknown>
}

/** Names that begin with `_` are control columns of Naru. */
function checkedColumnName(entity: string, column: string): void {
  if (column.startsWith('_') || column === '*' || column === '')
    throw mistake(`the column name ${entity}.${JSON.stringify(column)} is reserved`)
}

function entityOf(draft: Draft): object {
  const { def } = draft
  const handle: About = { kind: 'entity', def: deepFreeze(def), uses: draft.uses }
  return Object.freeze({
    [about]: handle,
    entityName: def.name,
    from: (table: Handle, row: RowFunction, options: FromOptions = {}) =>
      entityOf(withFrom(draft, table, row, options)),
    match: (table: Handle, row: RowFunction, options: MatchGiven) => entityOf(withMatch(draft, table, row, options)),
    resolve: (contributor: string, row: unknown) => resolve(draft, contributor, row),
    rules: (rules: Readonly<Record<string, unknown>>) => withRules(draft, rules),
    cleanse: (repairs: Readonly<Record<string, RowFunction>>) => withCleanse(draft, repairs),
    conflicts: (prefers: Readonly<Record<string, unknown>>) => withConflicts(draft, prefers),
  })
}

function withRules(draft: Draft, rules: Readonly<Record<string, unknown>>): object {
  const { def } = draft
  const row = columnsRow(`entity ${def.name}`, def.columns)
  const { defs, uses } = ruleDefs(def, rules, row)
  return entityOf({ ...draft, def: { ...def, rules: [...def.rules, ...defs] }, uses: [...draft.uses, ...uses] })
}

function withCleanse(draft: Draft, repairs: Readonly<Record<string, RowFunction>>): object {
  const { def } = draft
  checkedColumns(
    `entity ${def.name}`,
    Object.keys(repairs),
    def.columns.map(column => column.name),
  )
  const row = columnsRow(`entity ${def.name}`, def.columns)
  const made = def.columns.flatMap(column => {
    const repair = repairs[column.name]
    if (repair === undefined) return []
    const expr = fitted(def.name, column, repair(row))
    assertMarked(def.name, column, expr, def)
    return [{ column: column.name, expr }]
  })
  const twice = made.find(({ column }) => def.cleanse.some(other => other.column === column))
  if (twice !== undefined) throw mistake(`${def.name}.${twice.column} is cleansed twice`)
  return entityOf({ ...draft, def: { ...def, cleanse: [...def.cleanse, ...made] } })
}

function withConflicts(draft: Draft, prefers: Readonly<Record<string, unknown>>): object {
  const { def } = draft
  checkedColumns(`entity ${def.name}`, Object.keys(prefers), ['*', ...def.columns.map(column => column.name)])
  const contributors = def.contributions.map(({ as }) => as)
  const made = Object.entries(prefers).map(([column, value]) => ({
    column,
    prefer: preferDef(`conflicts of ${def.name}.${column}`, value, contributors, def.columns),
  }))
  const twice = made.find(({ column }) => def.conflicts.some(other => other.column === column))
  if (twice !== undefined) throw mistake(`${def.name}.${twice.column} has two conflict rules`)
  return entityOf({ ...draft, def: { ...def, conflicts: [...def.conflicts, ...made] } })
}
