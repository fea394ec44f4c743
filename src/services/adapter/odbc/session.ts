import type { Env } from '../../../core/env.ts'
import { rawSql, type Sql } from '../../../core/sql.ts'
import { Connection } from './connection.ts'
import { renderFor } from './dialect.ts'
import { sourceError } from './errors.ts'
import { driverFacts, systemFacts, type DriverFacts, type SystemFacts } from './facts.ts'
import type { Statement, TextRow } from './messages.ts'
import type { Target } from './target.ts'

/** A connection whose driver and system are known, in a session that spells values exactly. */
export interface Session {
  readonly connection: Connection
  readonly facts: SystemFacts
  readonly driver: DriverFacts
  readonly target: Target
  /** Schema of the names that stand without one; `null` where there are no schemas. */
  readonly defaultSchema: string | null
  render(statement: Sql): Statement
  /** `object` is what is asked about, for an error. */
  query(statement: Sql, object: string | null, signal: AbortSignal, skip?: number): Promise<readonly TextRow[]>
}

/**
 * Opens a session. The name of the driver is known only once it is connected: one that needs keywords of its own is
 * connected again with them, once for each adapter, as `remembered` keeps the name.
 */
export async function openSession(
  env: Env,
  target: Target,
  remembered: { driver: string | null },
  signal: AbortSignal,
): Promise<Session> {
  let connection: Connection | null = null
  try {
    connection = await Connection.open(env, target, driverFacts(remembered.driver ?? ''), signal)
    const { driver: name } = connection.info
    const driver = driverFacts(name)
    if (remembered.driver === null && driver.keywords !== '') {
      await connection.close()
      connection = await Connection.open(env, target, driver, signal)
    }
    remembered.driver = name
    return await prepare(connection, driver, target, signal)
  } catch (error) {
    connection?.destroy()
    throw sourceError(error, target, null)
  }
}

async function prepare(
  connection: Connection,
  driver: DriverFacts,
  target: Target,
  signal: AbortSignal,
): Promise<Session> {
  const facts = systemFacts(connection.info)
  for (const text of facts.session) await connection.execute(text, signal)
  const render = (statement: Sql): Statement => renderFor(statement, facts, connection.info.quote)
  const query: Session['query'] = async (statement, object, signal, skip = 0) => {
    try {
      return await connection.query(render(statement), signal, { skip })
    } catch (error) {
      throw sourceError(error, target, object)
    }
  }
  const [schema] = facts.defaultSchema === null ? [] : await query(rawSql(facts.defaultSchema), null, signal)
  return { connection, facts, driver, target, defaultSchema: schema?.[0] ?? null, render, query }
}
