import { fail } from '../core/errors.ts'
import { readOptions, type Implementation, type OptionTable } from '../core/implementation.ts'
import type { OpenAdapter } from '../services/adapter/contract.ts'
import { cassandra } from '../services/adapter/cassandra/index.ts'
import { events } from '../services/adapter/events/index.ts'
import { files } from '../services/adapter/files/index.ts'
import { mysql } from '../services/adapter/mysql/index.ts'
import { odbc } from '../services/adapter/odbc/index.ts'
import { http } from '../services/adapter/http/index.ts'
import { postgres } from '../services/adapter/postgres/index.ts'
import { redis } from '../services/adapter/redis/index.ts'
import { sqlite } from '../services/adapter/sqlite/index.ts'

/** An adapter by its data-only description: `open` is what loads a driver. */
export type AdapterImplementation = Implementation<OptionTable, { readonly openAdapter: OpenAdapter }>

/** Every adapter that this package has, by kind. */
export const adapters: Readonly<Record<string, AdapterImplementation>> = {
  postgres,
  mysql,
  sqlite,
  odbc,
  cassandra,
  redis,
  files,
  http,
  events,
}

/** The implementation of a source's adapter, and the source's options checked against its table. */
export function adapterFor(
  kind: string,
  source: string,
  given: object,
  known: Readonly<Record<string, AdapterImplementation>> = adapters,
): { readonly implementation: AdapterImplementation; readonly options: Readonly<Record<string, unknown>> } {
  const implementation = known[kind]
  if (implementation === undefined) {
    const problem = `is not one of ${Object.keys(known).join(', ')}`
    throw fail('OPTION_INVALID', { where: `source "${source}"`, option: 'adapter', problem })
  }
  return { implementation, options: readOptions(implementation.options, given, `source "${source}"`) }
}
