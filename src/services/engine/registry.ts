import { fail } from '../../core/errors.ts'
import { readOptions, type Implementation, type OptionTable } from '../../core/implementation.ts'
import type { EngineModule } from './contract.ts'
import { duckdb, duckdbPlace } from './duckdb/index.ts'
import { postgres, postgresPlace } from './postgres/index.ts'

/** An engine by its data-only description: `open` is what loads a driver. */
export interface EngineImplementation extends Implementation<OptionTable, EngineModule> {
  /** Where the data is, for people, without secrets. Throws `OPTION_INVALID` for a place where nothing lasts. */
  place(options: Readonly<Record<string, unknown>>, configDir: string): string
}

/** Every engine that this package has, by kind. */
export const engines: Readonly<Record<string, EngineImplementation>> = {
  duckdb: { ...duckdb, place: duckdbPlace },
  postgres: { ...postgres, place: postgresPlace },
}

/** The implementation of a kind and the options checked against its table. Throws `OPTION_INVALID` for a kind that is not there. */
export function engineFor(
  kind: string,
  given: object,
  known: Readonly<Record<string, EngineImplementation>> = engines,
): { readonly implementation: EngineImplementation; readonly options: Readonly<Record<string, unknown>> } {
  const where = `engine ${JSON.stringify(kind)}`
  if (!Object.hasOwn(known, kind)) {
    throw fail('OPTION_INVALID', { where, option: 'kind', problem: `is not one of ${Object.keys(known).join(', ')}` })
  }
  const implementation = known[kind] as EngineImplementation
  return { implementation, options: readOptions(implementation.options, given, where) }
}
