import type { Env } from '../../../core/env.ts'
import { exactTypeName, mysqlDialect } from '../../../systems/mysql/dialect.ts'
import { describedColumn, type Adapter, type OpenAdapter, type TableDescription } from '../contract.ts'
import { keptOpen, type Closing } from '../kept-open.ts'
import { limitsOf } from '../options.ts'
import { advises } from './advice.ts'
import { LogCaptures } from './capture/log.ts'
import { readCatalog } from './catalog.ts'
import { eventCaptures } from './change-table/event.ts'
import { triggerCaptures } from './change-table/trigger.ts'
import { statusCaptures } from './claim/captures.ts'
import { duringSession } from './during.ts'
import { privilegesOf } from './privileges.ts'
import { MysqlSnapshot } from './snapshot.ts'
import { targetOf, type Target } from './target.ts'
import { MysqlWriter } from './writer.ts'

/** Opens the adapter; the first connection is made by its first method. */
export const openAdapter: OpenAdapter = async given => {
  const target = await targetOf(given)
  const { env } = given
  const log = new LogCaptures(env, target)
  const open = new Set<Closing>()
  const adapter: Adapter = {
    kind: 'mysql',
    dialect: mysqlDialect,
    describes: { describe: signal => describe(env, target, signal) },
    tables: {
      can: {
        snapshot: true,
        chunks: true,
        range: true,
        totals: true,
        commonOrder: { sorts: ['text', 'enum', 'uuid'] },
      },
      limits: limitsOf(given.options, given.source),
      openSnapshot: async signal => keptOpen(open, await MysqlSnapshot.open(env, target, signal)),
    },
    advises: advises(env, target),
    privileges: privilegesOf(target),
    writes: {
      can: { modes: ['update', 'upsert', 'delete', 'call'], totals: true },
      typeName: exactTypeName,
      openWriter: async (wanted, signal) => keptOpen(open, await MysqlWriter.open(env, target, wanted, signal)),
    },
    captures: {
      log,
      trigger: triggerCaptures(env, target),
      event: eventCaptures(env, target),
      status: statusCaptures(env, target),
    },
    close: async () => {
      await log.close()
      await Promise.all([...open].map(it => it.close()))
    },
  }
  return adapter
}

async function describe(env: Env, target: Target, signal: AbortSignal): Promise<readonly TableDescription[]> {
  return duringSession(env, target)('read', signal, async connection => {
    const tables = await readCatalog(connection, target.schemas, target.database, signal)
    return tables.map(({ name, columns, key, rowsEstimate }) => ({
      name,
      key,
      rowsEstimate,
      columns: columns.filter(column => column.readable).map(describedColumn),
    }))
  })
}
