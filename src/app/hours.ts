import { gateOf } from '../etl/interface/index.ts'
import { limitsOf } from '../services/adapter/options.ts'
import type { OpenProject } from './project.ts'
import type { Hours } from './status.ts'

/** When each source with hours may be read again; `null` for those that may be read now. */
export function sourceHours({ project, env }: Pick<OpenProject, 'project' | 'env'>): Hours {
  const opens = project.sources.map(({ name, options }) => {
    if (typeof options['hours'] !== 'string') return [name, null] as const
    const gate = gateOf(env.clock, { ...limitsOf({ rowsPerSecond: 0, ...options }, name), rowsPerSecond: null })
    return [name, gate.isOpen() ? null : gate.opens] as const
  })
  return Object.fromEntries(opens)
}
