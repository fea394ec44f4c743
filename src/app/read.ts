import { fail } from '../core/errors.ts'
import { fileExists } from '../core/files.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { databaseFile, openEngine, type OpenProject } from './project.ts'
import { summarize, type Summary } from './summary.ts'

/** True when a run has made the database already. */
export function databaseExists(open: OpenProject): Promise<boolean> {
  return fileExists(open.env, databaseFile(open))
}

/** Opens the database for reading; a run that is going on holds it, and the error names it. */
export async function openForReading(open: OpenProject, access: 'read' | 'people' = 'read'): Promise<Engine> {
  if (!(await databaseExists(open))) throw fail('DATABASE_MISSING', { path: databaseFile(open) })
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
