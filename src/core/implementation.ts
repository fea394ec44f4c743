import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { fail, systemCodeOf } from './errors.ts'
import type { SecretRef } from './secret.ts'

/** One option of an implementation: gives its type, its default, its validation and its line in the reference page. */
export interface Option<T> {
  readonly kind: 'text' | 'int' | 'flag' | 'choice' | 'secret' | 'duration' | 'data'
  readonly description: string
  readonly required: boolean
  readonly default?: T
  readonly min?: number
  readonly max?: number
  readonly choices?: readonly string[]
}

/** The options of an implementation, by name. */
export type OptionTable = { readonly [name: string]: Option<unknown> }

/** What a user may write for an option table: required options, and the others left out. */
export type GivenOptions<T extends OptionTable> = {
  readonly [N in keyof T as T[N]['required'] extends true ? N : never]: T[N] extends Option<infer V> ? V : never
} & {
  readonly [N in keyof T as T[N]['required'] extends true ? never : N]?: T[N] extends Option<infer V> ? V : never
}

/** What an implementation reads after validation: defaults are filled in. */
export type ReadOptions<T extends OptionTable> = {
  readonly [N in keyof T]: T[N] extends Option<infer V>
    ? T[N] extends { required: true } | { default: unknown }
      ? V
      : V | undefined
    : never
}

type Required<T> = Option<T> & { readonly required: true }
type Defaulted<T> = Option<T> & { readonly required: false; readonly default: T }
type Optional<T> = Option<T> & { readonly required: false }

/** Builders of option-table rows. `required.text('…')` has no default and must be given. */
export const option = {
  text: (description: string, more?: { default: string }): Defaulted<string> | Optional<string> => ({
    kind: 'text',
    description,
    required: false,
    ...more,
  }),
  int: (description: string, more: { default: number; min?: number; max?: number }): Defaulted<number> => ({
    kind: 'int',
    description,
    required: false,
    ...more,
  }),
  flag: (description: string, more: { default: boolean }): Defaulted<boolean> => ({
    kind: 'flag',
    description,
    required: false,
    ...more,
  }),
  choice: <const C extends readonly string[]>(
    description: string,
    more: { choices: C; default: C[number] },
  ): Defaulted<C[number]> => ({ kind: 'choice', description, required: false, ...more }),
  /** Milliseconds, written as `'30s'`, `'10m'`, `'1d'`. */
  duration: (description: string, more: { default: string }): Defaulted<string> => ({
    kind: 'duration',
    description,
    required: false,
    ...more,
  }),
  /** Plain data of the config's own builder, which checks it: what no single value can say. */
  data: (description: string, more: { default: object }): Defaulted<object> => ({
    kind: 'data',
    description,
    required: false,
    ...more,
  }),
  secret: (description: string): Optional<SecretRef> => ({ kind: 'secret', description, required: false }),
  required: {
    text: (description: string): Required<string> => ({ kind: 'text', description, required: true }),
    /** A value that may carry a password: given as `env('NAME')` or `file('path')`, never as text. */
    secret: (description: string): Required<SecretRef> => ({ kind: 'secret', description, required: true }),
  },
}

/** An implementation of a service: plain data. Importing it loads nothing; `open` is the only way to its driver. */
export interface Implementation<T extends OptionTable, Module> {
  readonly service: 'adapter' | 'engine' | 'storage' | 'bus'
  readonly kind: string
  readonly summary: string
  /** Packages that `open` imports, with the versions that are known to work. A test compares them with the real imports. */
  readonly needs: { readonly [packageName: string]: string }
  readonly options: T
  readonly open: () => Promise<Module>
}

/** Makes the description of an implementation; nothing is loaded. */
export function implement<T extends OptionTable, Module>(it: Implementation<T, Module>): Implementation<T, Module> {
  return Object.freeze(it)
}

/** Checks given options against the table and fills in defaults. `where` names the object in errors: `source "ops"`. */
export function readOptions<T extends OptionTable>(table: T, given: object, where: string): ReadOptions<T> {
  const values = given as Record<string, unknown>
  for (const name of Object.keys(values)) {
    if (!Object.hasOwn(table, name)) {
      throw fail('OPTION_INVALID', { where, option: name, problem: `is not one of ${Object.keys(table).join(', ')}` })
    }
  }
  const read: Record<string, unknown> = {}
  for (const [name, row] of Object.entries(table)) {
    const value = values[name] ?? row.default
    if (value === undefined) {
      if (row.required)
        throw fail('OPTION_INVALID', { where, option: name, problem: `must be given: ${row.description}` })
      continue
    }
    const problem = problemOf(row, value)
    if (problem !== null) throw fail('OPTION_INVALID', { where, option: name, problem })
    read[name] = value
  }
  return read as ReadOptions<T>
}

function problemOf(row: Option<unknown>, value: unknown): string | null {
  switch (row.kind) {
    case 'text':
      return typeof value === 'string' ? null : 'must be text'
    case 'flag':
      return typeof value === 'boolean' ? null : 'must be true or false'
    case 'int':
      if (!Number.isSafeInteger(value)) return 'must be a whole number'
      if (row.min !== undefined && (value as number) < row.min) return `must be at least ${row.min}`
      if (row.max !== undefined && (value as number) > row.max) return `must be at most ${row.max}`
      return null
    case 'choice':
      return row.choices?.includes(value as string) === true ? null : `must be one of ${row.choices?.join(', ')}`
    case 'duration':
      return typeof value === 'string' && durationMs(value) !== null
        ? null
        : "must be a duration such as '30s', '10m' or '1d'"
    case 'data':
      return typeof value === 'object' && value !== null ? null : 'must be an object'
    case 'secret':
      return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'secret'
        ? null
        : "must be given as env('NAME') or file('path'), so that it never stands in the configuration"
  }
}

const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of a duration such as `'250ms'`, `'30s'`, `'10m'`, `'2h'`, `'1d'`; `null` when it is none. */
export function durationMs(text: string): number | null {
  const match = /^(\d+)(ms|s|m|h|d)$/.exec(text)
  return match === null ? null : Number(match[1]) * (unitMs[match[2] as string] as number)
}

/**
 * Loads a driver that the user installed: looked up from the folder of the user's config first, then from Naru's own.
 * Throws `DRIVER_MISSING` with the install command.
 */
export async function loadDriver<M>(
  name: string,
  asked: { readonly service: string; readonly kind: string; readonly from: string; readonly own: () => Promise<M> },
): Promise<M> {
  const resolve = createRequire(path.join(asked.from, 'noop.js')).resolve
  let found: string | undefined
  try {
    found = resolve(name)
  } catch {
    found = undefined // not installed beside the config: Naru's own folder is the next place to look
  }
  try {
    return found === undefined ? await asked.own() : ((await import(pathToFileURL(found).href)) as M)
  } catch (error) {
    const code = systemCodeOf(error)
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error
    throw fail('DRIVER_MISSING', { package: name, service: asked.service, kind: asked.kind }, { cause: error })
  }
}
