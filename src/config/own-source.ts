import type { GivenOptions, Implementation, OptionTable } from '../core/implementation.ts'
import type { OpenAdapter } from '../services/adapter/contract.ts'
import type { Technique } from './change.ts'
import { techniqueNames } from './change-def.ts'
import type { InstantGroup } from './column.ts'
import { mistake } from './mistake.ts'
import { database, type DatabaseOptions, type Schema, type Source } from './source.ts'

/** An adapter of your own: made by `implement` of `naru/adapter`. It is data: its driver is loaded when it is opened. */
export type OwnAdapter<T extends OptionTable> = Implementation<T, { readonly openAdapter: OpenAdapter }>

/** A system that is read by an adapter of your own. Its option table gives the options, as those of the package's do. */
export function source<const S extends string, T extends OptionTable, D extends Schema>(
  name: S,
  adapter: OwnAdapter<T>,
  options: GivenOptions<T> & DatabaseOptions<D, InstantGroup, Technique>,
): Source<S, D> {
  if (typeof adapter !== 'object' || adapter.service !== 'adapter' || typeof adapter.open !== 'function') {
    throw mistake(`source "${name}": its adapter is made by implement({ service: 'adapter', ... }) of naru/adapter`)
  }
  return database(name, adapter, options, { own: adapter, techniques: techniqueNames })
}
