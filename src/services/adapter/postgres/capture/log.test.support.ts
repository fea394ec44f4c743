import type { CapturedTable, ChangeStream } from '../../contract-capture.ts'
import { realEnv } from '../../../../core/env.ts'
import { postgresDialect } from '../../../../systems/postgres/dialect.ts'
import { startTestDatabase, type TestDatabase } from '../../../../testing/postgres/database.ts'
import { logicalSettings, logSystem } from '../../../../testing/postgres/log.ts'
import { inTime, type CaptureSystem } from '../../conformance-capture-support.ts'

/** The statement that makes a table. */
export function create({ remote, columns, key }: CapturedTable): string {
  const list = columns.map(it => `${it.name} ${postgresDialect.type(it.type)}`)
  const primary = key.length === 0 ? '' : `, primary key (${key.join(', ')})`
  return `drop table if exists ${remote} cascade; create table ${remote} (${list.join(', ')}${primary})`
}

/** Reads and confirms, where there is a stream, until something is true. */
export async function until(condition: () => Promise<boolean>, open?: ChangeStream): Promise<void> {
  await inTime('a condition', async () => {
    while (!(await condition())) {
      if (open === undefined) {
        await realEnv().clock.sleep(20)
        continue
      }
      const came = await open.next()
      if (!('kind' in came) && came.position !== null) await open.confirm(came.position)
    }
  })
}

/** A database whose changes are read from its log, for one file of tests: started before them, stopped behind them. */
export interface LogBench {
  readonly database: TestDatabase
  readonly system: CaptureSystem
  run(statement: string): Promise<unknown>
  /** The text of one value. */
  one(statement: string): Promise<string | null>
}

export async function startLogBench(): Promise<LogBench> {
  const database = await startTestDatabase({ ...logicalSettings, logical_decoding_work_mem: '64kB' })
  const { client } = database
  return {
    database,
    system: logSystem(database),
    run: statement => client.query(statement),
    one: async statement => {
      const { rows } = await client.query<{ readonly it: string | null }>(`select (${statement})::text as it`)
      return rows[0]?.it ?? null
    },
  }
}
