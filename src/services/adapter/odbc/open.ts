import type { Adapter, OpenAdapter, TableDescription } from '../contract.ts'
import type { WritesTables } from '../contract-writes.ts'
import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { keptOpen, type Closing } from '../kept-open.ts'
import { limitsOf } from '../options.ts'
import { describe, readCatalog } from './catalog.ts'
import { openSession, type Session } from './session.ts'
import { OdbcSnapshot } from './snapshot.ts'
import { targetOf, type Target } from './target.ts'
import type { WriteFacts } from './write-facts.ts'
import { OdbcWriter } from './writer.ts'

/** Opens the adapter; the first connection is made by its first method, in a process of its own. */
export const openAdapter: OpenAdapter = async given => {
  const target = targetOf(given)
  const { env } = given
  const limits = limitsOf(given.options, given.source)
  if (limits.connections > 1) {
    const problem = 'must be 1: a view through ODBC is one transaction of one connection'
    throw fail('OPTION_INVALID', { where: `source "${given.source}"`, option: 'connections', problem })
  }
  const open = new Set<Closing>()
  const remembered: { driver: string | null } = { driver: null }
  // What the system can do is known once it is connected; before, no more is claimed than any driver keeps.
  let can = { snapshot: false, chunks: true, range: true, totals: false }
  const writes = writesOf(env, target, remembered)
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
        return keptOpen(open, snapshot)
      },
    },
    writes: writes.tables,
    close: async () => {
      await writes.close()
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

/** Writing: what can be done is known once connected, and the session that told it serves the first write. */
function writesOf(
  env: Env,
  target: Target,
  remembered: { driver: string | null },
): { readonly tables: WritesTables; close(): Promise<void> } {
  let facts: WriteFacts | null = null
  let can: WritesTables['can'] = { modes: [], totals: false }
  let idle: Session | null = null
  const writers = new Set<Closing>()
  const connect = async (signal: AbortSignal): Promise<Session> => {
    const session = idle ?? (await openSession(env, target, remembered, signal))
    idle = null
    try {
      facts = writeFacts(session)
    } catch (error) {
      await session.connection.close()
      throw error
    }
    can = { modes: ['update', 'upsert', 'delete'], totals: session.facts.totals !== null }
    return session
  }
  const tables: WritesTables = {
    get can() {
      return can
    },
    typeName: type => facts?.typeName(type) ?? null,
    connect: async signal => {
      idle = await connect(signal)
    },
    openWriter: async (wanted, signal) => {
      const session = await connect(signal)
      return keptOpen(writers, await OdbcWriter.open(session, writeFacts(session), wanted, signal))
    },
  }
  const close = async (): Promise<void> => {
    await Promise.all([...writers].map(writer => writer.close()))
    await idle?.connection.close()
  }
  return { tables, close }
}

/** Throws `ODBC_WRITES_UNKNOWN` for a system that nobody knows how to write, or a driver without transactions. */
function writeFacts({ facts, connection: { info }, target: { source } }: Session): WriteFacts {
  if (facts.writes !== null && info.hasTransactions) return facts.writes
  throw fail('ODBC_WRITES_UNKNOWN', { source, dbms: info.dbms === '' ? 'the system behind the driver' : info.dbms })
}
