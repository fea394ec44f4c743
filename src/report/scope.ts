import type { ContributionDef, Project } from '../config/model.ts'
import type { Transaction } from '../services/engine/contract.ts'
import type { PersonalData } from '../plan/personal.ts'

/** What the readers of the report share: each reads one section of it. */
export interface ReportScope {
  readonly tx: Transaction
  readonly project: Project
  /** The run that is reported. Later ones are not looked at where the control tables keep runs apart. */
  readonly run: bigint
  /**
   * The control tables are masked where they are written; the report masks again, so that no single mistake there brings
   * a personal value onto a page that people pass around.
   */
  readonly personal: PersonalData
}

export function contributionOf(project: Project, entity: string, contributor: string): ContributionDef | undefined {
  return project.entities.find(it => it.name === entity)?.contributions.find(it => it.as === contributor)
}
