import { readOptions, type GivenOptions } from '../core/implementation.ts'
import { duckdb as duckdbEngine } from '../services/engine/duckdb/index.ts'
import { postgres as postgresEngine } from '../services/engine/postgres/index.ts'
import type { SecretRef } from '../core/secret.ts'
import type { Duration } from './change.ts'
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
  const given: GivenOptions<typeof duckdbEngine.options> = options
  readOptions(duckdbEngine.options, given, 'engine duckdb')
  return Object.freeze({ kind: duckdbEngine.kind, options: Object.freeze({ ...given }) })
}

/** Written out likewise. */
export interface PostgresOptions {
  /** Address of the database, given as `env('WAREHOUSE_URL')`: it holds a password. */
  readonly url: SecretRef
  /** Longest wait for a connection and its login: `'15s'` unless given. */
  readonly connectTimeout?: Duration
  /** Longest time that one statement may take on the server: `'6h'` unless given. */
  readonly statementTimeout?: Duration
  /** Longest time that a run waits for queries to leave a table that it has to make anew: `'10m'` unless given. */
  readonly lockTimeout?: Duration
  /** Memory that one sort or join may use before it goes to disk, as the server's `work_mem`: `'64MB'` unless given. */
  readonly memory?: string
}

/**
 * A database of PostgreSQL 17 or newer: staging, ODS and warehouse are schemas in it. It must be in UTF-8 and compare
 * text by bytes. Needs the package `pg`.
 */
export function postgres(options: PostgresOptions): EngineDef {
  const given: GivenOptions<typeof postgresEngine.options> = options
  readOptions(postgresEngine.options, given, 'engine postgres')
  return Object.freeze({ kind: postgresEngine.kind, options: Object.freeze({ ...given }) })
}
