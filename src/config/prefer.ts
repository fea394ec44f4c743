import type { ColumnDef } from '../core/types.ts'
import type { Columns, NamesOfGroup } from './column.ts'
import { checkedColumns } from './handle.ts'
import { mistake } from './mistake.ts'
import type { PreferDef } from './model.ts'

declare const names: unique symbol

type TimeNames<C extends Columns> = NamesOfGroup<
  C,
  'date' | 'timestamp' | 'timestamptz',
  'a date or time column: this entity has none'
>

/** Which contributor wins where they disagree. `S` are the contributors and `C` the columns of the entity. */
export interface Prefer<S extends string, C extends Columns> {
  readonly [names]: (contributor: S, columns: C) => void
}

const preferred = Symbol.for('naru.prefer')

function make(def: PreferDef): Prefer<string, Columns> {
  return Object.freeze({ [preferred]: def }) as unknown as Prefer<string, Columns>
}

/** Conflict rules. The names are checked where the rule stands in `.conflicts()`. */
export const prefer = {
  /** The first of these contributors that has a value. */
  first: <S extends string, C extends Columns>(...order: readonly [NoInfer<S>, ...NoInfer<S>[]]) =>
    make({ kind: 'first', order }) as Prefer<S, C>,
  /** The contributor whose value in the time column `by` is the latest. */
  latest: <S extends string, C extends Columns>(by: TimeNames<NoInfer<C>>) =>
    make({ kind: 'latest', by }) as Prefer<S, C>,
  /** The longest text. */
  longest: <S extends string, C extends Columns>() => make({ kind: 'longest' }) as Prefer<S, C>,
  /** All must agree; otherwise the cell is NULL, or the old value stays and the row is set aside. */
  agree: <S extends string, C extends Columns>(otherwise: 'quarantine' | 'null') =>
    make({ kind: 'agree', otherwise }) as Prefer<S, C>,
} as const

/** The definition behind a conflict rule, with its names checked against the entity. */
export function preferDef(
  where: string,
  value: unknown,
  contributors: readonly string[],
  columns: readonly ColumnDef[],
): PreferDef {
  if (typeof value !== 'object' || value === null || !(preferred in value)) {
    throw mistake(`${where}: a conflict rule is made by prefer.first(), latest(), longest() or agree()`)
  }
  const def = value[preferred] as PreferDef
  if (def.kind === 'latest')
    checkedColumns(
      where,
      [def.by],
      columns.map(column => column.name),
    )
  if (def.kind !== 'first') return def
  const stranger = def.order.find(name => !contributors.includes(name))
  if (stranger !== undefined)
    throw mistake(`${where}: "${stranger}" gives nothing here; contributors are ${contributors.join(', ')}`)
  return def
}
