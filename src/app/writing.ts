import { isNaruError, messageOf } from '../core/errors.ts'
import type { Emit } from '../core/events.ts'
import { localCoordinator } from '../services/coordinator/local/open.ts'
import type { Engine } from '../services/engine/contract.ts'
import { refuseUnable } from './check/engine-limits.ts'
import { openEngine, type OpenProject } from './project.ts'
import { serve } from './server/serve.ts'

/** A command that has just begun to read the database is waited for. */
const HELD_MS_MAX = 5_000
const LOOK_AGAIN_MS = 50

/** Who writes, and what it can be asked meanwhile. */
export interface Writer {
  /** As others are told: `naru run`. */
  readonly command: string
  readonly signal: AbortSignal
  readonly emit: Emit
}

/** Opens the engine for writing, while nobody else runs this project; other commands are answered meanwhile. */
export async function writing<T>(open: OpenProject, writer: Writer, body: (engine: Engine) => Promise<T>): Promise<T> {
  return holding(open, writer, async engine => {
    const close = await serveIfPossible(open, engine, writer)
    try {
      return await body(engine)
    } finally {
      await close()
    }
  })
}

/** The same without the answers: for who serves in a way of its own. */
export async function holding<T>(
  open: OpenProject,
  { command, signal }: Pick<Writer, 'command' | 'signal'>,
  body: (engine: Engine) => Promise<T>,
): Promise<T> {
  const lease = await localCoordinator(open.env, open.stateDir).acquire('run', command)
  try {
    const engine = await openToWrite(open, signal)
    try {
      refuseUnable(open.project, engine.dialect)
      return await body(engine)
    } finally {
      await engine.close()
    }
  } finally {
    await lease.release()
  }
}

/** The lease is ours, so whoever has the database open only reads it, and not for long unless it is another tool. */
async function openToWrite(open: OpenProject, signal: AbortSignal): Promise<Engine> {
  const { clock } = open.env
  const untilMs = clock.monotonicMs() + HELD_MS_MAX
  for (;;) {
    try {
      return await openEngine(open, 'write')
    } catch (error) {
      if (!isNaruError(error, 'ENGINE_HELD') || clock.monotonicMs() > untilMs) throw error
      await clock.sleep(LOOK_AGAIN_MS, signal)
    }
  }
}

/** Where no socket can be made (a folder on a file system without them) the work is done all the same, and said. */
async function serveIfPossible(
  open: OpenProject,
  engine: Engine,
  { command, emit }: Pick<Writer, 'command' | 'emit'>,
): Promise<() => Promise<void>> {
  try {
    const { close } = await serve(open, engine, { command })
    return close
  } catch (error) {
    const text = `other commands get no answer until this one ends: ${messageOf(error)}`
    emit({ kind: 'note', level: 'warn', text, code: 'SERVER_SOCKET' })
    return async () => {}
  }
}
