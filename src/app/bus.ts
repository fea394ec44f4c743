import type { Emit } from '../core/events.ts'
import type { Bus } from '../services/bus/contract.ts'
import type { OpenProject } from './project.ts'

/** Opens the durable log of a project, in its state folder. */
export async function openProjectBus(open: Pick<OpenProject, 'stateDir' | 'env'>, emit: Emit): Promise<Bus> {
  throw new Error('not there yet')
}
