import { afterAll, beforeAll, test } from 'vitest'
import { writesPromises } from '../../src/services/adapter/conformance-writes.ts'
import type { Behind } from './odbc-systems.ts'
import { prepareOdbc } from './odbc.ts'

/** Registers the promises of writes of a system behind ODBC. A file for each system, so that they run beside each other. */
export function odbcWrites(start: (folder: string) => Promise<Behind>, totals: boolean): void {
  let odbc: ReturnType<typeof prepareOdbc>
  let behind: Behind
  beforeAll(async () => {
    odbc = prepareOdbc()
    behind = await start(odbc.folder)
  })
  afterAll(async () => {
    await behind.stop()
    odbc.remove()
  })

  const can = { modes: ['update', 'upsert', 'delete'], totals } as const
  for (const promise of writesPromises.filter(it => it.when?.(can) ?? true)) {
    test(promise.name, () => promise.check(behind.writes))
  }
}
