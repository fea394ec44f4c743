import type { Env } from '../../../core/env.ts'
import { describedColumn, type Adapter, type OpenAdapter, type TableDescription } from '../contract.ts'
import { advises } from './advice.ts'
import { LogCaptures } from './capture/captures.ts'
import { logSettings } from './capture/settings.ts'
import { readCatalog } from './catalog.ts'
import { duringSession } from './during.ts'
import { keptOpen, type Closing } from '../kept-open.ts'
import { limitsOf } from '../options.ts'
import { privilegesOf } from './privileges.ts'
import { PostgresSnapshot } from './snapshot.ts'
import { eventCaptures } from './change-table/event.ts'
import { triggerCaptures } from './change-table/trigger.ts'
import { statusCaptures } from './claim/captures.ts'
import { targetOf, type Target } from './target.ts'
import { postgresDialect } from '../../../systems/postgres/dialect.ts'
import { PostgresWriter } from './writer.ts'

/** Opens the adapter; the first connection is made by its first method. */
export const openAdapter: OpenAdapter = async given => {
  const target = targetOf(given)
  const { env } = given
  const settings = logSettings(given)
  const log = new LogCaptures({ env, target, settings })
  const open = new Set<Closing>()
  const adapter: Adapter = {
    kind: 'postgres',
    dialect: postgresDialect,
    describes: { describe: signal => describe(env, target, signal) },
    tables: {
      can: { snapshot: true, chunks: true, range: true, totals: true, commonOrder: { sorts: ['text', 'enum'] } },
      limits: limitsOf(given.options, given.source),
      openSnapshot: async signal => keptOpen(open, await PostgresSnapshot.open(env, target, signal)),
    },
    captures: {
      log,
      trigger: triggerCaptures(env, target),
      event: eventCaptures(env, target),
      status: statusCaptures(env, target),
    },
    advises: advises(env, target),
    privileges: privilegesOf(target, settings),
    writes: {
      can: { modes: ['update', 'upsert', 'delete', 'call'], totals: true },
      typeName: type => postgresDialect.type(type),
      openWriter: async (write, signal) => keptOpen(open, await PostgresWriter.open(env, target, write, signal)),
    },
    close: async () => {
      await Promise.all([log, ...open].map(it => it.close()))
    },
  }
  return adapter
}

async function describe(env: Env, target: Target, signal: AbortSignal): Promise<readonly TableDescription[]> {
  return duringSession(env, target)('read', signal, async connection => {
    const tables = await readCatalog(connection, { schemas: target.schemas }, signal)
    return tables.map(({ name, columns, key, rowsEstimate }) => ({
      name,
      key,
      rowsEstimate,
      columns: columns.map(describedColumn),
    }))
  })
}
