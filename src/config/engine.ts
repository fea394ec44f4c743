import { readOptions, type GivenOptions } from '../core/implementation.ts'
import { duckdb as implementation } from '../services/engine/duckdb/index.ts'
import type { EngineDef } from './model.ts'

/** Written out, not derived: deriving it would make a user's compiler read the types of the engine's driver. */
export interface DuckdbOptions {
  /** The database file, relative to the folder of the configuration or absolute; made when it is missing. */
  readonly path: string
  /** Memory that the engine may use for its work before it goes to disk: `'2GB'` unless given. */
  readonly memory?: string
  /** Processors that the engine may use; 0, the default, means all. */
  readonly threads?: number
}

/** The embedded engine: one DuckDB file. Needs nothing installed. */
export function duckdb(options: DuckdbOptions): EngineDef {
  const given: GivenOptions<typeof implementation.options> = options
  readOptions(implementation.options, given, 'engine duckdb')
  return Object.freeze({ kind: implementation.kind, options: Object.freeze({ ...given }) })
}
