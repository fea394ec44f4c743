import type { Emit, RunEvent } from '../../core/events.ts'
import type { OpenProject } from '../project.ts'
import { askServer } from './ask.ts'
import type { Message } from './wire.ts'

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
  const asking = await askServer(open, { ask: 'work', job }, signal)
  if (asking === null) return null
  open.notice?.(`handed to ${asking.holder}, which has the database open`)
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
