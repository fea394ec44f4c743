import { fail } from '../core/errors.ts'
import { fix, listQuarantine, recycle, showQuarantine, type QuarantineRow } from '../etl/cleansing/quarantine.ts'
import { localCoordinator } from '../services/coordinator/local/open.ts'
import type { Transaction } from '../services/engine/contract.ts'
import { databasePlace, openEngine, type OpenProject } from './project.ts'
import { databaseExists, reading } from './read.ts'

export type QuarantineAction = 'list' | 'show' | 'fix' | 'recycle'

/** What a person can do with rows in quarantine. An entity with several contributors is searched in all of them. */
export function quarantineActions(
  open: OpenProject,
  signal: AbortSignal,
): {
  list(entity: string | undefined, limit: number): Promise<readonly QuarantineRow[]>
  show(entity: string, key: string): Promise<readonly QuarantineRow[]>
  fix(cell: { entity: string; key: string; column: string; value: string }): Promise<void>
  recycle(entity: string | undefined, key: string | undefined): Promise<number>
} {
  const find = async (tx: Transaction, entity: string, key: string): Promise<readonly QuarantineRow[]> => {
    const known = open.project.entities.find(it => it.name === entity)
    const rows: QuarantineRow[] = []
    for (const { as } of known?.contributions ?? []) {
      rows.push(...(await showQuarantine(tx, { entity, contributor: as, key })))
    }
    if (rows.length === 0) throw fail('QUARANTINE_NONE', { entity, contributor: 'any source', key })
    return rows
  }
  return {
    list: (entity, limit) =>
      reading(open, signal, async tx => [
        ...(await listQuarantine(tx, { entity, state: 'open' }, limit)),
        ...(await listQuarantine(tx, { entity, state: 'recycle' }, limit)),
      ]),
    show: (entity, key) => reading(open, signal, tx => find(tx, entity, key)),
    fix: ({ entity, key, column, value }) =>
      writing(open, signal, async tx => {
        const [row] = await find(tx, entity, key)
        const contributor = row?.contributor ?? ''
        await fix(tx, open.project, { entity, contributor, key, column, value })
      }),
    recycle: (entity, key) => writing(open, signal, tx => recycle(tx, { entity, key })),
  }
}

/** One small change by a person, under the same lease as a run. */
async function writing<T>(open: OpenProject, signal: AbortSignal, body: (tx: Transaction) => Promise<T>): Promise<T> {
  if (!(await databaseExists(open))) throw fail('DATABASE_MISSING', { path: databasePlace(open) })
  const lease = await localCoordinator(open.env, open.stateDir).acquire('run', 'naru quarantine')
  try {
    const engine = await openEngine(open, 'write')
    try {
      return await engine.transaction(signal, body)
    } finally {
      await engine.close()
    }
  } finally {
    await lease.release()
  }
}
