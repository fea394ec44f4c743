import { fail, isNaruError } from '../core/errors.ts'
import { engineFor } from '../services/engine/registry.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { personalTables } from '../plan/personal.ts'
import { databasePlace, engineSite, openEngine, type OpenProject } from './project.ts'
import { whoServes } from './server/ask.ts'
import { holderName } from './server/greeting.ts'
import { remoteEngine } from './server/remote-engine.ts'
import { summarize, type Summary } from './summary.ts'

/** Longest wait for a process that has the database open and does not answer yet, or not any more. */
const HELD_MS_MAX = 3_000
const LOOK_AGAIN_MS = 50
/** Times that a command asks again when the process it asked was ending. */
const TRIES = 5

/** True when a run has made the database already. */
export async function databaseExists(open: OpenProject): Promise<boolean> {
  const { implementation } = engineFor(open.project.engine.kind, open.project.engine.options)
  return (await implementation.open()).databaseExists(engineSite(open))
}

/**
 * Opens the database for reading; when another process has it open, that process is asked instead, which is said. Throws
 * `ENGINE_HELD` for one that answers nobody: another tool.
 */
export async function openForReading(
  open: OpenProject,
  signal: AbortSignal,
  access: 'read' | 'people' = 'read',
): Promise<Engine> {
  if (!(await databaseExists(open))) throw fail('DATABASE_MISSING', { path: databasePlace(open) })
  const { clock } = open.env
  const untilMs = clock.monotonicMs() + HELD_MS_MAX
  for (;;) {
    const remote = await remotely(open, signal, access)
    if (remote !== null) return remote
    try {
      return await openEngine(open, access)
    } catch (error) {
      // It may be about to serve, or about to end.
      if (!isNaruError(error, 'ENGINE_HELD') || clock.monotonicMs() > untilMs) throw error
      await clock.sleep(LOOK_AGAIN_MS, signal)
    }
  }
}

async function remotely(open: OpenProject, signal: AbortSignal, access: 'read' | 'people'): Promise<Engine | null> {
  const greeting = await whoServes(open, signal)
  if (greeting === null) return null
  open.notice?.(`asked ${holderName(greeting)}, which has the database open`)
  const { kind, options } = open.project.engine
  const { dialect, can } = await engineFor(kind, options).implementation.open()
  const people = access === 'people' ? personalTables(open.project) : null
  return remoteEngine({ open, kind, dialect, can, people })
}

/**
 * Runs `body` on an open database, and closes it. `body` only reads, and is run again when the process that was asked ended
 * meanwhile.
 */
export async function withReader<T>(
  open: OpenProject,
  asked: { readonly signal: AbortSignal; readonly access?: 'read' | 'people' },
  body: (engine: Engine) => Promise<T>,
): Promise<T> {
  const { signal, access } = asked
  for (let tried = 1; ; tried++) {
    const engine = await openForReading(open, signal, access)
    try {
      return await body(engine)
    } catch (error) {
      if (!isNaruError(error, 'SERVER_ENDING') || tried === TRIES) throw error
    } finally {
      await engine.close()
    }
    await open.env.clock.sleep(LOOK_AGAIN_MS * tried, signal)
  }
}

/** Runs `body` on a consistent view of the database, and closes it. */
export async function reading<T>(
  open: OpenProject,
  signal: AbortSignal,
  body: (tx: Transaction) => Promise<T>,
): Promise<T> {
  return withReader(open, { signal }, engine => engine.transaction(signal, body))
}

/** The state of every table, and what was rejected in the run. */
export function readSummary(open: OpenProject, run: bigint, signal: AbortSignal): Promise<Summary> {
  return reading(open, signal, tx => summarize(tx, open.project, run))
}
