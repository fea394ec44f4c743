import type { Adapter, OpenAdapter } from '../contract.ts'
import { keptOpen, type Closing } from '../kept-open.ts'
import { limitsOf } from '../options.ts'
import { Client } from './client.ts'
import { HttpSnapshot } from './snapshot.ts'
import { targetOf } from './target.ts'

/**
 * An endpoint is read whole or from a moment on, over one connection. Each request is sent again by itself: a run that
 * began anew as well would multiply that.
 */
const oneByOne = { chunkRows: Number.MAX_SAFE_INTEGER, connections: 1, retries: 0 }

/** Opens the adapter; the first request is sent by its first look. */
export const openAdapter: OpenAdapter = async given => {
  const target = targetOf(given)
  const { env, stateDir } = given
  const client = new Client(env, target)
  const open = new Set<Closing>()
  const adapter: Adapter = {
    kind: 'http',
    tables: {
      can: { snapshot: false, chunks: false, range: false, totals: false },
      limits: limitsOf({ ...given.options, ...oneByOne }, given.source),
      openSnapshot: async () => keptOpen(open, new HttpSnapshot({ env, target, client, stateDir })),
    },
    close: async () => {
      client.close()
      for (const snapshot of open) await snapshot.close()
    },
  }
  return adapter
}
