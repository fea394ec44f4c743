import type { JsonList } from '../core/json-list.ts'
import type { ColumnDef } from '../core/types.ts'
import { columnDefs, keyList, t, type Column, type Columns, type KeyOf, type NameOf, type OneOrMore } from './column.ts'
import { checkedColumns, checkedName, checkedOptions, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { Table } from './source.ts'

/** A list within each record, as a table of its own: `<table>_<list>`, with the key of its record. */
export interface ListOptions<C> {
  /** Where the list stands in the record; its name unless given. */
  readonly path?: string
  readonly columns: C & Columns
  /** Tells the elements of one record apart; a column `position` counts them when it is left out. */
  readonly key?: OneOrMore<NameOf<C>>
  /** Where a column's value stands in the element, when that is not its name: `'price.amount'`; `''` is the element. */
  readonly at?: { readonly [N in keyof C]?: string }
}

/** By table, then by list. What a table without lists has here is unknown, so the constraint says no more. */
export interface ListsByName {
  readonly [table: string]: unknown
}

/** The columns of lists (`L`) and their keys (`M`), told by what stands in `children`. */
export type WithLists<L extends ListsByName, M extends ListsByName> = {
  readonly [N in keyof L]: { readonly children?: { readonly [C in keyof L[N]]: ListOptions<L[N][C]> } }
} & { readonly [N in keyof M]: { readonly children?: { readonly [C in keyof M[N]]: { readonly key?: M[N][C] } } } }

/** The columns that hold the key of the record: `orders_id`. */
type ParentColumns<E extends string, C extends Columns, K extends OneOrMore<string>> = {
  readonly [N in KeyOf<K>[number] & keyof C & string as `${E}_${N}`]: C[N]
}
type ParentKey<E extends string, K extends readonly string[]> = { readonly [I in keyof K]: `${E}_${K[I]}` }

type Position = { readonly position: Column<'int', 'int'> }

/** The list tables of one table, as a union of what each is. */
type ListTables<E extends string, C extends Columns, K extends OneOrMore<string>, L, M> = string extends keyof L
  ? never
  : {
      [N in keyof L & string]: unknown extends Own<M, N>
        ? {
            readonly name: `${E}_${N}`
            readonly columns: ParentColumns<E, C, K> & Position & L[N]
            readonly key: readonly [...ParentKey<E, KeyOf<K>>, 'position']
          }
        : {
            readonly name: `${E}_${N}`
            readonly columns: ParentColumns<E, C, K> & L[N]
            readonly key: readonly [...ParentKey<E, KeyOf<K>>, ...OwnKey<Own<M, N>>]
          }
    }[keyof L & string]

/** The declared key of a list; `unknown` when it has none. */
type Own<M, N extends string> = N extends keyof M ? M[N] : unknown
type OwnKey<K> = K extends string ? readonly [K] : K extends readonly string[] ? K : never

/** The columns of tables or endpoints, by name. */
export interface ColumnsByName {
  readonly [name: string]: Columns
}

/** Their keys, by name. */
export interface KeysByName {
  readonly [name: string]: OneOrMore<string>
}

/** A source of tables (`T` their columns, `K` their keys) and of the lists within them. */
export type SourceWithLists<
  S extends string,
  T extends ColumnsByName,
  K extends KeysByName,
  L extends ListsByName,
  M extends ListsByName,
> = Handle & { readonly [N in keyof T]: Table<S, T[N], KeyOf<K[N & keyof K]>> } & {
  readonly [
    Q in Extract<
      {
        [N in keyof T & string]: ListTables<N, T[N], K[N & keyof K], L[N & keyof L], M[N & keyof M]>
      }[keyof T & string],
      AnyListTable
    > as Q['name']
  ]: Table<S, Q['columns'], Q['key']>
}

/** What `ListTables` gives. */
interface AnyListTable {
  readonly name: string
  readonly columns: Columns
  readonly key: readonly [string, ...string[]]
}

/** The table of records, as far as its lists ask for it. */
interface Records {
  readonly name: string
  readonly columns: Columns
  readonly key: readonly string[]
  /** Where a column's value stands in the record, when that is not its name. */
  readonly at: Readonly<Record<string, string | undefined>>
}

/** Lists as they are given, whatever their columns. */
export type AnyLists = Readonly<Record<string, ListOptions<Columns>>>

/** The tables of the lists of one table: their columns are the key of the record, then `position` or none, then their own. */
export function listTables(
  source: string,
  records: Records,
  children: AnyLists | undefined,
): readonly { readonly list: string; readonly name: string; readonly columns: Columns; readonly def: JsonList }[] {
  return Object.entries(children ?? {}).map(([list, given]) => {
    const name = `${records.name}_${list}`
    const where = `table ${source}.${name}`
    checkedName('list', list)
    checkedOptions(where, given, ['path', 'columns', 'key', 'at'])
    const parentKey = records.key.map(column => ({ column, as: `${records.name}_${column}` }))
    const position = given.key === undefined ? 'position' : null
    const added = Object.fromEntries([
      ...parentKey.map(({ column, as }) => [as, records.columns[column] as Columns[string]]),
      ...(position === null ? [] : [[position, t.int()]]),
    ]) as Columns
    const taken = Object.keys(added).find(column => Object.hasOwn(given.columns, column))
    if (taken !== undefined) throw mistake(`${where} has a column "${taken}" of its own; it is added by itself`)
    const def: JsonList = {
      list: dotted(given.path ?? list),
      parent: Object.fromEntries(parentKey.map(({ column, as }) => [as, dotted(records.at[column] ?? column)])),
      position,
      key: [...parentKey.map(({ as }) => as), ...(given.key === undefined ? ['position'] : keyList(given.key))],
      at: pathsOf(where, given.columns, given.at ?? {}),
    }
    return { list, name, columns: { ...added, ...given.columns }, def }
  })
}

/** The names of members in a path such as `data.items`. */
export function dotted(path: string): readonly string[] {
  return path === '' ? [] : path.split('.')
}

/** The paths of columns, by column. */
export function pathsOf(
  where: string,
  columns: Columns,
  at: Readonly<Record<string, string | undefined>>,
): JsonList['at'] {
  checkedColumns(where, Object.keys(at), Object.keys(columns))
  return Object.fromEntries(Object.entries(at).map(([name, path]) => [name, dotted(path ?? name)]))
}

/** JSON has texts, numbers and truth values: the other types are read from texts, an interval from nothing. */
export function readable(where: string, columns: Columns): readonly ColumnDef[] {
  const defs = columnDefs(columns)
  const odd = defs.find(column => column.type.kind === 'interval')
  if (odd !== undefined) throw mistake(`${where}: column "${odd.name}" cannot be an interval; take it as text`)
  return defs
}
