import type { Emit } from '../core/events.ts'
import type { Bus } from '../services/bus/contract.ts'
import { openBus } from '../services/bus/registry.ts'
import type { OpenProject } from './project.ts'

/**
 * Opens the durable log of a project, in its state folder: what streams and events are kept in until everyone has them. Where
 * this process has it open already, it is that one, and closing it leaves it open.
 */
export async function openProjectBus(open: Pick<OpenProject, 'stateDir' | 'env' | 'bus'>, emit: Emit): Promise<Bus> {
  if (open.bus !== undefined) return sharedBus(open.bus)
  return openBus('log', {
    options: {},
    stateDir: open.stateDir,
    env: open.env,
    tell: ({ code, text }) => emit({ kind: 'note', level: 'warn', text, code }),
  })
}

function sharedBus(bus: Bus): Bus {
  return {
    kind: bus.kind,
    openTopic: (name, settings) => bus.openTopic(name, settings),
    lookAt: name => bus.lookAt(name),
    topics: () => bus.topics(),
    removeTopic: name => bus.removeTopic(name),
    close: async () => {},
  }
}
