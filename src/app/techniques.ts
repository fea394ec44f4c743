import { planFull } from '../capture/full.ts'
import { planTimestamp } from '../capture/timestamp.ts'
import { fail } from '../core/errors.ts'
import type { PlanRead } from '../run/technique.ts'

/** How changes are seen, by the name of the technique. */
export const techniques: Readonly<Record<string, PlanRead>> = {
  full: planFull,
  timestamp: (table, view, position) => {
    if (table.change.technique !== 'timestamp')
      throw fail('INTERNAL', { what: `${table.name} is not read by timestamp` })
    return planTimestamp(table, table.change, view, position)
  },
}
