import { fail } from '../core/errors.ts'
import { engineFor } from '../services/engine/registry.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { databasePlace, engineSite, openEngine, type OpenProject } from './project.ts'
import { summarize, type Summary } from './summary.ts'

/** True when a run has made the database already. */
export async function databaseExists(open: OpenProject): Promise<boolean> {
  const { implementation } = engineFor(open.project.engine.kind, open.project.engine.options)
  return (await implementation.open()).databaseExists(engineSite(open))
}

/** Opens the database for reading; a run that is going on holds it, and the error names it. */
export async function openForReading(open: OpenProject, access: 'read' | 'people' = 'read'): Promise<Engine> {
  if (!(await databaseExists(open))) throw fail('DATABASE_MISSING', { path: databasePlace(open) })
  return openEngine(open, access)
}

/** Runs `body` on a consistent view of the database, and closes it. */
export async function reading<T>(
  open: OpenProject,
  signal: AbortSignal,
  body: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const engine = await openForReading(open)
  try {
    return await engine.transaction(signal, body)
  } finally {
    await engine.close()
  }
}

export function readSummary(open: OpenProject, signal: AbortSignal): Promise<Summary> {
  return reading(open, signal, tx => summarize(tx, open.project))
}
