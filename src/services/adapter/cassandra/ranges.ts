import { sql } from '../../../core/sql.ts'
import type { PlaceRange } from '../contract.ts'
import type { CatalogTable } from './catalog.ts'
import type { Connection } from './connection.ts'

/** The tokens of the partitioner that every cluster has unless it is very old. */
const partitioner = 'org.apache.cassandra.dht.Murmur3Partitioner'
const tokenMin = -(2n ** 63n)
const tokens = 2n ** 64n

/** Ranges that even a table without an estimate is cut into: an empty one costs a few milliseconds. */
const piecesMin = 16
const piecesMax = 8192

/**
 * Cuts the ring of tokens into equal ranges, of about `rows` rows by the nodes' estimate of partitions. Tokens are spread
 * evenly by their hash. Empty when the cluster has another partitioner.
 */
export async function tokenRanges(
  connection: Connection,
  table: CatalogTable,
  rows: number,
  signal: AbortSignal,
): Promise<readonly PlaceRange[]> {
  const [local] = await connection.rows(sql`select partitioner from system.local`, signal)
  if (local?.['partitioner'] !== partitioner) return []
  const estimates = await connection.rows(
    sql`select range_start, range_end, partitions_count from system.size_estimates
      where keyspace_name = ${table.keyspace} and table_name = ${table.table}`,
    signal,
  )
  const partitions = estimates.reduce((sum, row) => sum + Number(String(row['partitions_count'])), 0)
  const pieces = BigInt(Math.max(piecesMin, Math.min(piecesMax, Math.ceil(partitions / rows))))
  const bounds = Array.from({ length: Number(pieces) - 1 }, (_, i) =>
    String(tokenMin + (tokens * BigInt(i + 1)) / pieces),
  )
  return [...bounds, null].map((to, i) => ({ from: i === 0 ? null : (bounds[i - 1] ?? null), to }))
}
