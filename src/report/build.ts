import type { Project } from '../config/model.ts'
import type { Transaction } from '../services/engine/contract.ts'
import { findingsOf } from './findings.ts'
import type { QualityReport } from './model.ts'
import { personalData } from '../plan/personal.ts'
import { readCorrections } from './read-corrections.ts'
import { readConflicts, readMatches } from './read-matches.ts'
import { readExports, readJourney, readWarehouse } from './read-outcome.ts'
import { readQuarantine } from './read-quarantine.ts'
import { readRules } from './read-rules.ts'
import { readRun } from './read-run.ts'
import { readStaged } from './read-staged.ts'
import type { ReportScope } from './scope.ts'

/**
 * Reads the quality report of the last finished run, or of `run`, from the control tables. What the config no longer
 * names is left out: nobody says which of it is personal. Throws `REPORT_NO_RUN`.
 */
export async function buildReport(tx: Transaction, project: Project, run?: bigint): Promise<QualityReport> {
  const facts = await readRun(tx, run)
  const scope: ReportScope = { tx, project, run: BigInt(facts.run), personal: personalData(project) }
  const report = {
    format: 1 as const,
    project: project.name,
    run: facts,
    journey: await readJourney(scope),
    tables: await readStaged(scope),
    rules: await readRules(scope),
    quarantine: await readQuarantine(scope),
    corrections: await readCorrections(scope),
    matches: await readMatches(scope),
    conflicts: await readConflicts(scope),
    exports: await readExports(scope),
    warehouse: await readWarehouse(scope),
  }
  return { ...report, findings: findingsOf(report) }
}
