import type { SecretRef } from '../core/secret.ts'
import { odbc as odbcAdapter } from '../services/adapter/odbc/index.ts'
import type { Duration } from './change.ts'
import type { InstantGroup } from './column.ts'
import { database, type DatabaseOptions, type LimitOptions, type Schema, type Source } from './source.ts'

export interface OdbcOptions extends LimitOptions {
  /** Connection string (`DSN=erp;UID=naru;PWD=...`) or the name of a data source, as `env('NAME')` or `file('path')`: it may hold a password. */
  readonly dsn: SecretRef
  /** Schemas that `naru pull` describes, separated by commas; all that the account may see unless given. */
  readonly schemas?: string
  /** Longest wait for a connection and its login. */
  readonly connectTimeout?: Duration
  /** Longest wait for the driver to go on: with a statement, or with the next rows of a table. */
  readonly statementTimeout?: Duration
}

/**
 * Any system with an ODBC driver on this machine. Where it has no type for times (SQLite), the timestamp technique takes
 * a text column with ISO 8601 in UTC.
 */
export function odbc<const S extends string, D extends Schema>(
  name: S,
  options: OdbcOptions & DatabaseOptions<D, InstantGroup | 'text'>,
): Source<S, D> {
  return database(name, odbcAdapter, options, { stamps: ['timestamp', 'text'] })
}
