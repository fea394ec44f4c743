import type { Project } from '../config/model.ts'
import type { Transaction } from '../services/engine/contract.ts'
import type { PersonalColumns } from './personal.ts'

/** What the readers of the report share: each reads one section of it. */
export interface ReportScope {
  readonly tx: Transaction
  readonly project: Project
  /** The run that is reported. Later ones are not looked at where the control tables keep runs apart. */
  readonly run: bigint
  readonly personal: PersonalColumns
}
