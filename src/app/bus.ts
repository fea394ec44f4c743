import type { Emit } from '../core/events.ts'
import type { Bus } from '../services/bus/contract.ts'
import { openBus } from '../services/bus/registry.ts'
import type { OpenProject } from './project.ts'

/** Opens the durable log of a project, in its state folder: what streams and events are kept in until everyone has them. */
export async function openProjectBus(open: Pick<OpenProject, 'stateDir' | 'env'>, emit: Emit): Promise<Bus> {
  return openBus('log', {
    options: {},
    stateDir: open.stateDir,
    env: open.env,
    tell: ({ code, text }) => emit({ kind: 'note', level: 'warn', text, code }),
  })
}
