import { fail } from '../core/errors.ts'
import type { Emit } from '../core/events.ts'
import { fix, listQuarantine, recycle, showQuarantine, type QuarantineRow } from '../etl/cleansing/quarantine.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { databasePlace, type OpenProject } from './project.ts'
import { databaseExists, reading } from './read.ts'
import { handOver } from './server/hand-over.ts'
import { writing } from './writing.ts'

export type QuarantineAction = 'list' | 'show' | 'fix' | 'recycle'

/** What a person can do with rows in quarantine. An entity with several contributors is searched in all of them. */
export function quarantineActions(
  open: OpenProject,
  { signal, emit }: { readonly signal: AbortSignal; readonly emit: Emit },
): {
  list(entity: string | undefined, limit: number): Promise<readonly QuarantineRow[]>
  show(entity: string, key: string): Promise<readonly QuarantineRow[]>
  fix(cell: FixedCell): Promise<void>
  recycle(entity: string | undefined, key: string | undefined): Promise<number>
} {
  return {
    list: (entity, limit) =>
      reading(open, signal, async tx => [
        ...(await listQuarantine(tx, { entity, state: 'open' }, limit)),
        ...(await listQuarantine(tx, { entity, state: 'recycle' }, limit)),
      ]),
    show: (entity, key) => reading(open, signal, tx => find(tx, open, { entity, key })),
    fix: async cell => {
      if ((await handOver(open, { kind: 'fix', cell }, { emit, signal })) !== null) return
      await changing(open, signal, emit, engine => engine.transaction(signal, tx => fixIn(tx, open, cell)))
    },
    recycle: async (entity, key) => {
      const handed = await handOver(open, { kind: 'recycle', entity, key }, { emit, signal })
      if (handed !== null) return handed as number
      return changing(open, signal, emit, engine => engine.transaction(signal, tx => recycle(tx, { entity, key })))
    },
  }
}

/** A value of a row in quarantine, as a person names it. */
export interface FixedCell {
  readonly entity: string
  readonly key: string
  readonly column: string
  readonly value: string
}

/** Sets one value of a row in quarantine. */
export async function fixIn(tx: Transaction, open: OpenProject, cell: FixedCell): Promise<void> {
  const [row] = await find(tx, open, cell)
  await fix(tx, open.project, { ...cell, contributor: row?.contributor ?? '' })
}

async function find(
  tx: Transaction,
  { project }: OpenProject,
  { entity, key }: Pick<FixedCell, 'entity' | 'key'>,
): Promise<readonly QuarantineRow[]> {
  const known = project.entities.find(it => it.name === entity)
  const rows: QuarantineRow[] = []
  for (const { as } of known?.contributions ?? []) {
    rows.push(...(await showQuarantine(tx, { entity, contributor: as, key })))
  }
  if (rows.length === 0) throw fail('QUARANTINE_NONE', { entity, contributor: 'any source', key })
  return rows
}

/** One small change by a person, under the same lease as a run. */
async function changing<T>(
  open: OpenProject,
  signal: AbortSignal,
  emit: Emit,
  body: (engine: Engine) => Promise<T>,
): Promise<T> {
  if (!(await databaseExists(open))) throw fail('DATABASE_MISSING', { path: databasePlace(open) })
  return writing(open, { command: 'naru quarantine', signal, emit }, body)
}
