import type {
  Project,
  SourceDef,
  SourceTableDef,
  EntityDef,
  ExportDef,
  DimensionDef,
  FactDef,
  SummaryDef,
} from './model.ts'
import { mistake } from './mistake.ts'

/** Shared by every copy of this package: a config and its loader may hold different ones. */
export const about: unique symbol = Symbol.for('naru.about') as never

/** What a builder's result stands for, and the handles it was made from. */
export type About =
  | { readonly kind: 'source'; readonly def: SourceDef; readonly uses: readonly Handle[] }
  | {
      readonly kind: 'table'
      readonly def: SourceTableDef
      readonly source: SourceDef
      readonly uses: readonly Handle[]
    }
  | { readonly kind: 'entity'; readonly def: EntityDef; readonly uses: readonly Handle[] }
  | { readonly kind: 'export'; readonly def: ExportDef; readonly uses: readonly Handle[] }
  | { readonly kind: 'dimension'; readonly def: DimensionDef; readonly uses: readonly Handle[] }
  | { readonly kind: 'fact'; readonly def: FactDef; readonly uses: readonly Handle[] }
  | { readonly kind: 'summary'; readonly def: SummaryDef; readonly uses: readonly Handle[] }

/** A value that a builder gave: hidden data for `defineConfig`, and methods for the user. */
export interface Handle {
  readonly [about]: About
}

export function aboutOf(value: unknown): About | null {
  return typeof value === 'object' && value !== null && about in value ? (value[about] as About) : null
}

const projectBrand = Symbol.for('naru.project')

/** Freezes the result of `defineConfig` and marks it; the mark is no part of the data. */
export function markProject(project: Project): Project {
  return deepFreeze(Object.defineProperty({ ...project }, projectBrand, { value: true }))
}

export function isProject(value: unknown): value is Project {
  return typeof value === 'object' && value !== null && projectBrand in value
}

const nameLengthMax = 40

/** A name of the config becomes a table name: short, plain, the same on every system. */
export function checkedName(what: string, name: unknown): void {
  if (typeof name !== 'string' || !/^[a-z][a-z0-9_]*$/.test(name)) {
    throw mistake(`the ${what} name ${JSON.stringify(name)} must be lower-case letters, digits and _, a letter first`)
  }
  if (name.length > nameLengthMax) {
    throw mistake(`the ${what} name "${name}" has ${name.length} characters; ${nameLengthMax} is the most`)
  }
}

/** Refuses options that do not exist, for configs that were not type-checked. */
export function checkedOptions(where: string, given: unknown, known: readonly string[]): void {
  if (typeof given !== 'object' || given === null) throw mistake(`${where} takes an object of options`)
  for (const name of Object.keys(given)) {
    if (!known.includes(name))
      throw mistake(`${where}: there is no option "${name}"; the options are ${known.join(', ')}`)
  }
}

/** Refuses columns that do not exist, for configs that were not type-checked. */
export function checkedColumns(where: string, given: readonly string[], known: readonly string[]): void {
  for (const name of given) {
    if (!known.includes(name)) throw mistake(`${where} has no column "${name}"; it has ${known.join(', ')}`)
  }
}

/** Freezes plain data through and through. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.freeze(value)
    Object.values(value).forEach(deepFreeze)
  }
  return value
}
