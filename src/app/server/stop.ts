import { fail, isNaruError } from '../../core/errors.ts'
import { localCoordinator } from '../../services/coordinator/local/open.ts'
import type { ProjectPlace } from '../project.ts'
import { ask, whoServes } from './ask.ts'
import { holderName, serverCommand } from './greeting.ts'

/** Longest wait for a server to end. It promises 10 s. */
const STOP_MS_MAX = 30_000
const LOOK_MS = 50

/** What a server was stopped in; `null` when none ran. */
export interface StoppedServer {
  readonly process: number
  /** What was going on, and was taken back. */
  readonly inFlight: string | null
}

/** Asks the server of a project to end, and waits until it has. Throws `SERVER_ONCE` for a command that is no server, `SERVER_STAYS`. */
export async function stopServer(open: ProjectPlace, signal: AbortSignal): Promise<StoppedServer | null> {
  const who = await whoServes(open, signal)
  if (who === null) return null
  const holder = holderName(who)
  if (who.command !== serverCommand) throw fail('SERVER_ONCE', { holder })
  const inFlight = await askToEnd(open, signal)
  await untilFree(open, holder, signal)
  return { process: who.process, inFlight }
}

/** What was going on. Whoever ends already does not say it. */
async function askToEnd(open: ProjectPlace, signal: AbortSignal): Promise<string | null> {
  const asking = await ask(open, { ask: 'stop' }, signal)
  try {
    const { inFlight = null } = ((await asking?.next())?.['result'] ?? {}) as { readonly inFlight?: string | null }
    return inFlight
  } catch (error) {
    if (isNaruError(error, 'SERVER_ENDING') || isNaruError(error, 'SERVER_GONE')) return null
    throw error
  } finally {
    asking?.close()
  }
}

/** The lease is given back last of all. */
async function untilFree({ env, stateDir }: ProjectPlace, holder: string, signal: AbortSignal): Promise<void> {
  const untilMs = env.clock.monotonicMs() + STOP_MS_MAX
  for (;;) {
    try {
      const lease = await localCoordinator(env, stateDir).acquire('run', 'naru stop')
      return await lease.release()
    } catch (error) {
      if (!isNaruError(error, 'RUN_HELD')) throw error
      if (env.clock.monotonicMs() > untilMs) throw fail('SERVER_STAYS', { holder, seconds: STOP_MS_MAX / 1000 })
      await env.clock.sleep(LOOK_MS, signal)
    }
  }
}
