import type { Adapter, OpenAdapter } from '../contract.ts'
import { limitsOf } from '../options.ts'
import { readCatalog } from './catalog.ts'
import { Connection, targetOf } from './connection.ts'
import { CassandraSnapshot } from './snapshot.ts'

/** Opens the adapter; the session begins with its first method. */
export const openAdapter: OpenAdapter = async given => {
  const target = targetOf(given)
  const { env } = given
  let session: Promise<Connection> | null = null
  const connect = async (signal: AbortSignal): Promise<Connection> => {
    session ??= Connection.open(env, target, signal)
    try {
      return await session
    } catch (error) {
      session = null // a cluster that was down may be up the next time
      throw error
    }
  }
  const adapter: Adapter = {
    kind: 'cassandra',
    describes: {
      describe: async signal => {
        const connection = await connect(signal)
        try {
          const tables = await readCatalog(connection, target, signal)
          return tables.map(({ name, columns, key, rowsEstimate }) => ({ name, columns, key, rowsEstimate }))
        } catch (error) {
          throw connection.problem(error, null)
        }
      },
    },
    tables: {
      can: { snapshot: false, chunks: false, range: true, totals: false },
      limits: limitsOf(given.options, given.source),
      openSnapshot: async signal => CassandraSnapshot.open(await connect(signal), target, signal),
    },
    close: async () => {
      const connection = await session?.catch(() => null)
      await connection?.close()
    },
  }
  return adapter
}
