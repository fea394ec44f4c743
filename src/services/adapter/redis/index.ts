import { implement, option } from '../../../core/implementation.ts'
import type { ColumnDef } from '../../../core/types.ts'
import { limits } from '../options.ts'

const MiB = 1024 * 1024

/** A table of a Redis source, as the builder of the config hands it over. */
export interface RedisTableDef {
  /**
   * - hashes: a row for each hash whose key begins and ends so; a column for each field.
   * - strings: a row for each string whose key begins and ends so.
   * - stream: a row for each entry of one stream, whose key is `before`.
   */
  readonly kind: 'hashes' | 'strings' | 'stream'
  readonly before: string
  readonly after: string
  /** The column that holds what stands between, or the id of the entry. */
  readonly key: string
  readonly columns: readonly ColumnDef[]
  /** A stream that is read from its last id on. */
  readonly isAppended: boolean
}

/** The Redis adapter, described. */
export const redis = implement({
  service: 'adapter',
  kind: 'redis',
  summary:
    'Hashes, strings and streams of Redis 6 and newer. A scan is no snapshot: what changes while it runs may be in it or not.',
  needs: { ioredis: '>=5.4 <7' },
  options: {
    url: option.required.secret('Address of the server: rediss://user:password@host:6379/0; redis:// without TLS.'),
    tables: option.data('The tables: which keys, and the columns.', { default: {} }),
    connectTimeout: option.duration('Longest wait for a connection and its login.', { default: '15s' }),
    answerTimeout: option.duration('Longest wait for the answer to one command.', { default: '1m' }),
    scanCount: option.int('Keys that one SCAN looks at: how long it holds the server up.', {
      default: 1000,
      min: 1,
      max: 100_000,
    }),
    maxKeys: option.int('Most keys of one table. A scan may give a key twice, so each that was seen is remembered.', {
      default: 2_000_000,
      min: 1,
    }),
    rowsPerSecond: limits.rowsPerSecond,
    hours: limits.hours,
    maxValueBytes: option.int(
      'Largest row that is taken, in bytes of its values. A larger one is set aside as a reject and not fetched.',
      { default: 64 * MiB, min: 1024, max: 256 * MiB },
    ),
  },
  open: () => import('./open.ts'),
})
