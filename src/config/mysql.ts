import type { SecretRef } from '../core/secret.ts'
import { mysql as mysqlAdapter } from '../services/adapter/mysql/index.ts'
import type { Duration, Guarded, Technique } from './change.ts'
import { readingTechniques, techniqueNames } from './change-def.ts'
import type { InstantGroup } from './column.ts'
import { database, type DatabaseOptions, type Filtered, type LimitOptions, type Schema, type Source } from './source.ts'

export interface MysqlOptions extends LimitOptions {
  /** `mysql://user:password@host:port/database`, as `env('NAME')` or `file('path')`. */
  readonly url: SecretRef
  /** Databases that `naru pull` describes, separated by commas; that of the address unless given. */
  readonly schemas?: string
  /** Encryption: `verify` checks the certificate of the server, `unverified` takes any; off unless given. */
  readonly tls?: 'off' | 'verify' | 'unverified'
  /** File with the certificates (PEM) that the one of the server is checked against; those of Node unless given. */
  readonly ca?: string
  /** Lock all writers for the moment in which several connections open one view: needed for `connections` over 1. */
  readonly readLock?: boolean
  /** Dates with zeros in them, which no date type holds: set the row aside (`reject`, the default), or take NULL for them. */
  readonly zeroDates?: 'reject' | 'null'
  /** Tables that are not InnoDB are in no snapshot: `refuse` them (the default), or `accept` each as it is at its moment. */
  readonly otherEngines?: 'refuse' | 'accept'
  /** Number under which the log is read, among the replicas of the server: none may have the same. Made from the name and the address of the source unless given. */
  readonly serverId?: number
  /** Longest wait for a connection and its login. */
  readonly connectTimeout?: Duration
  /** Longest wait for the server to go on: with a statement, or with the next piece of a table. */
  readonly statementTimeout?: Duration
}

/** A database of MySQL or MariaDB. */
export function mysql<const S extends string, D extends Schema>(
  name: S,
  options: MysqlOptions & Guarded & Filtered<NoInfer<D>> & DatabaseOptions<D, InstantGroup, Technique>,
): Source<S, D> {
  return database(name, mysqlAdapter, options, {
    techniques: techniqueNames,
    kept: ['trigger', 'event'],
    filters: readingTechniques,
  })
}
