import type { Adapter, OpenAdapter, TableDescription } from '../contract.ts'
import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { limitsOf } from '../options.ts'
import { describe, readCatalog } from './catalog.ts'
import { openSession } from './session.ts'
import { OdbcSnapshot } from './snapshot.ts'
import { targetOf, type Target } from './target.ts'

/** Opens the adapter; the first connection is made by its first method, in a process of its own. */
export const openAdapter: OpenAdapter = async given => {
  const target = targetOf(given)
  const { env } = given
  const limits = limitsOf(given.options, given.source)
  if (limits.connections > 1) {
    const problem = 'must be 1: a view through ODBC is one transaction of one connection'
    throw fail('OPTION_INVALID', { where: `source "${given.source}"`, option: 'connections', problem })
  }
  const open = new Set<OdbcSnapshot>()
  const remembered: { driver: string | null } = { driver: null }
  // What the system can do is known once it is connected; before, no more is claimed than any driver keeps.
  let can = { snapshot: false, chunks: true, range: true, totals: false }
  const adapter: Adapter = {
    kind: 'odbc',
    describes: { describe: signal => describeAll(env, target, remembered, signal) },
    tables: {
      get can() {
        return can
      },
      limits,
      openSnapshot: async signal => {
        const snapshot = await OdbcSnapshot.open(env, target, remembered, signal)
        const { facts, connection } = snapshot.session
        can = {
          snapshot: facts.hasSnapshot && connection.info.hasTransactions,
          chunks: true,
          range: true,
          totals: facts.totals !== null,
        }
        open.add(snapshot)
        return snapshot
      },
    },
    close: async () => {
      await Promise.all([...open].map(snapshot => snapshot.close()))
    },
  }
  return adapter
}

async function describeAll(
  env: Env,
  target: Target,
  remembered: { driver: string | null },
  signal: AbortSignal,
): Promise<readonly TableDescription[]> {
  const session = await openSession(env, target, remembered, signal)
  try {
    return (await readCatalog(session, signal)).map(describe)
  } finally {
    await session.connection.close()
  }
}
