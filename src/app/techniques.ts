import { combinedFacts, planCombined } from '../capture/combined.ts'
import { eventFacts } from '../capture/event.ts'
import type { TechniqueFacts } from '../capture/facts.ts'
import { fullFacts, planFull } from '../capture/full.ts'
import { logFacts } from '../capture/log.ts'
import { statusFacts } from '../capture/status.ts'
import { planTimestamp, timestampFacts } from '../capture/timestamp.ts'
import { triggerFacts } from '../capture/trigger.ts'
import { planVersion, versionFacts } from '../capture/version.ts'
import type { ChangeDef } from '../config/model.ts'
import type { PlanRead } from '../run/technique.ts'

/** How the next read of a table is planned, by the name of its technique. A stream has no reads: what is read of its table is all of it. */
export const techniques: Readonly<Record<string, PlanRead>> = {
  full: planFull,
  timestamp: planned('timestamp', planTimestamp),
  version: planned('version', planVersion),
  combined: planned('combined', planCombined),
  status: planFull,
  trigger: planFull,
  event: planFull,
  log: planFull,
}

/** What every technique sees and costs. Files have no technique to choose. */
export const techniqueFacts: Readonly<Record<Exclude<ChangeDef['technique'], 'files'>, TechniqueFacts>> = {
  full: fullFacts,
  timestamp: timestampFacts,
  version: versionFacts,
  status: statusFacts,
  combined: combinedFacts,
  trigger: triggerFacts,
  event: eventFacts,
  log: logFacts,
}

type Plan<T extends ChangeDef['technique']> = (
  table: Parameters<PlanRead>[0],
  change: Extract<ChangeDef, { technique: T }>,
  ...view: [Parameters<PlanRead>[1], Parameters<PlanRead>[2]]
) => ReturnType<PlanRead>

function planned<T extends 'timestamp' | 'version' | 'combined'>(technique: T, plan: Plan<T>): PlanRead {
  return (table, view, position) => {
    const { change } = table
    if (change.technique !== technique) throw new TypeError(`${table.name} is not read by ${technique}`)
    return plan(table, change as Extract<ChangeDef, { technique: T }>, view, position)
  }
}
