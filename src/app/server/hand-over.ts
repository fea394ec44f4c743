import { fail } from '../../core/errors.ts'
import type { Emit, RunEvent } from '../../core/events.ts'
import type { OpenProject } from '../project.ts'
import { ask, whoServes } from './ask.ts'
import { configHash, holderName } from './greeting.ts'
import type { Message } from './wire.ts'

/** The command that other commands may hand their work to. */
export const serverCommand = 'naru start'

/** Work that writes, by its kind; the rest is what the kind needs. */
export type Job = Message & { readonly kind: 'run' | 'resync' | 'undo' | 'fix' | 'recycle' }

/**
 * Hands work that writes to the server of this project, which does it between its ticks, and gives its result; `null` when no
 * server runs. An abort cancels this work there and nothing else. Throws what the work threw, and `SERVER_CONFIG` when the server works by
 * another configuration.
 */
export async function handOver(
  open: OpenProject,
  job: Job,
  { emit, signal }: { readonly emit: Emit; readonly signal: AbortSignal },
): Promise<unknown> {
  const who = await whoServes(open, signal)
  if (who?.command !== serverCommand) return null
  const holder = holderName(who)
  if (who.config !== configHash(open)) throw fail('SERVER_CONFIG', { holder })
  open.notice?.(`handed to ${holder}, which has the database open`)
  const asking = await ask(open, { ask: 'work', job }, signal)
  if (asking === null) throw fail('SERVER_ENDING', { holder })
  try {
    for (;;) {
      const line = await asking.next()
      if ('event' in line) emit(line['event'] as RunEvent)
      if ('done' in line) return line['result'] ?? true
    }
  } finally {
    asking.close()
  }
}
