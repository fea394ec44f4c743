import type { Columns, NameOf } from './column.ts'
import { checkedColumns, checkedOptions } from './handle.ts'
import { mistake } from './mistake.ts'
import { defaultContract, type ContractDef } from './model.ts'
import type { Schema } from './source.ts'

/**
 * What becomes of a table whose shape in the source is no longer the one of the config. In one word for every kind of
 * change: `freeze` leaves the table as it is staged with an error that names the change, `evolve` follows it and reports
 * it, `discard` reports new columns and leaves them (all else freezes). Or by kind of change; what is not named is as
 * without a contract: new columns are reported and left, everything else freezes.
 */
export type Contract = 'freeze' | 'evolve' | 'discard' | ContractByChange

export interface ContractByChange {
  /** New columns: `evolve` stages them, as personal data until the config says what they are. */
  readonly added?: 'freeze' | 'evolve' | 'discard'
  /** Columns that are gone: `evolve` stages NULL from now on. */
  readonly dropped?: 'freeze' | 'evolve'
  /** Columns of another type: `evolve` takes the rows that fit the type of the config, and rejects the others. */
  readonly types?: 'freeze' | 'evolve'
  /** Another key in the source: `evolve` goes on knowing rows by the key of the config. */
  readonly key?: 'freeze' | 'evolve'
}

/** Contracts by table; `*` for every table that is not named. */
export type Contracts<N extends string> = { readonly [T in N | '*']?: Contract }

/** New names in the source, by table and column of the config: `{ flight: { delay: 'delay_minutes' } }`. */
export type Renamed<S extends Schema> = {
  readonly [T in keyof S]?: { readonly [N in NameOf<S[T]['columns']>]?: string }
}

/** What each word means; `discard` is the contract that a table has without one. */
const words: Readonly<Record<string, ContractDef>> = {
  freeze: { added: 'freeze', dropped: 'freeze', types: 'freeze', key: 'freeze' },
  // A key that changed may mean that rows are other things now: nobody but a person can say that they are not.
  evolve: { added: 'evolve', dropped: 'evolve', types: 'evolve', key: 'freeze' },
}

const kinds: Readonly<Record<keyof ContractDef, readonly string[]>> = {
  added: ['freeze', 'evolve', 'discard'],
  dropped: ['freeze', 'evolve'],
  types: ['freeze', 'evolve'],
  key: ['freeze', 'evolve'],
}

/** The contract of one table: its own, or that of `*`, or the one of the whole source. */
export function contractOf(
  where: string,
  given: Contract | Contracts<string> | undefined,
  table: string,
  base: ContractDef = defaultContract,
): ContractDef {
  if (given === undefined) return base
  if (typeof given === 'string' || isByChange(given)) return contractDef(where, given, base)
  const byTable = given as Readonly<Record<string, Contract | undefined>>
  const own = byTable[table] ?? byTable['*']
  return own === undefined ? base : contractDef(where, own, base)
}

/** A table may be called `added`: then contracts by table name more than that, or a word below it is no policy. */
function isByChange(given: object): given is ContractByChange {
  const names = Object.keys(given)
  return names.length > 0 && names.every(name => Object.hasOwn(kinds, name))
}

function contractDef(where: string, given: Contract, base: ContractDef): ContractDef {
  if (given === 'discard') return base
  if (typeof given === 'string') {
    const word = words[given]
    if (word === undefined) throw mistake(`${where}: there is no contract "${given}"; use freeze, evolve or discard`)
    return word
  }
  checkedOptions(`${where}, contract`, given, Object.keys(kinds))
  for (const [kind, policy] of Object.entries(given)) {
    const known = kinds[kind as keyof ContractDef]
    if (!known.includes(String(policy))) {
      throw mistake(`${where}: the contract of ${kind} is one of ${known.join(', ')}, not "${String(policy)}"`)
    }
  }
  return { ...base, ...given }
}

/** Refuses contracts and new names of tables and columns that do not exist, for configs that were not type-checked. */
export function assertKnown(
  source: string,
  schema: Schema,
  given: { readonly contract?: Contract | Contracts<string>; readonly renamed?: Renamed<Schema> },
): void {
  const { contract, renamed } = given
  assertContracts(source, Object.keys(schema), contract)
  if (renamed === undefined) return
  checkedOptions(`the new names of source "${source}"`, renamed, Object.keys(schema))
  for (const [table, names] of Object.entries(renamed)) {
    const columns: Columns = schema[table]?.columns ?? {}
    checkedColumns(`table ${source}.${table}`, Object.keys(names ?? {}), Object.keys(columns))
  }
}

/** Refuses contracts of tables that do not exist. */
export function assertContracts(
  source: string,
  tables: readonly string[],
  contract: Contract | Contracts<string> | undefined,
): void {
  if (typeof contract !== 'object' || isByChange(contract)) return
  checkedOptions(`the contract of source "${source}"`, contract, ['*', ...tables])
}
