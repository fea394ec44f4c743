import type { SecretRef } from '../core/secret.ts'
import { cassandra as adapter } from '../services/adapter/cassandra/index.ts'
import type { Duration, ReadingTechnique } from './change.ts'
import type { InstantGroup } from './column.ts'
import { database, type DatabaseOptions, type LimitOptions, type Schema, type Source } from './source.ts'

export interface CassandraOptions extends LimitOptions {
  /** `cassandra://user:password@host1,host2:9042/keyspace`, as `env('NAME')` or `file('path')`; `cassandras://` with TLS. */
  readonly url: SecretRef
  /** Data centre whose nodes are asked; all nodes in turn unless given. */
  readonly localDataCenter?: string
  /** How many replicas must agree on what is read; `local_quorum` unless given. */
  readonly consistency?: 'one' | 'local_one' | 'quorum' | 'local_quorum' | 'all'
  /** Longest wait for a connection and its login. */
  readonly connectTimeout?: Duration
  /** Longest wait for the answer to one statement or page. */
  readonly answerTimeout?: Duration
}

/**
 * A Cassandra cluster. Its clock and its replicas are not one: the timestamp technique needs a `lag`, the version
 * technique an `overlap`. CQL has no OR, so there is no combined technique.
 */
export function cassandra<const S extends string, D extends Schema>(
  name: S,
  options: CassandraOptions & DatabaseOptions<D, InstantGroup, Exclude<ReadingTechnique, 'combined'>>,
): Source<S, D> {
  return database(name, adapter, options, { techniques: ['full', 'timestamp', 'version'] })
}
