import type { Finding, QualityReport, SectionId } from './model.ts'
import { count, plural } from './format.ts'

/** What a reader has to know first. Each looks at one section; none of them reads a value. */
export function findingsOf(report: Omit<QualityReport, 'findings'>): readonly Finding[] {
  const found = [
    ...runFindings(report),
    ...controlFindings(report),
    ...rejectFindings(report),
    ...stoppedFindings(report),
    ...quarantineFindings(report),
    ...matchFindings(report),
    ...warehouseFindings(report),
  ]
  const order = ['bad', 'attention', 'good']
  return found.sort((a, b) => order.indexOf(a.level) - order.indexOf(b.level))
}

type Facts = Omit<QualityReport, 'findings'>

function finding(level: Finding['level'], section: SectionId, text: string): Finding {
  return { level, text, section }
}

function runFindings({ run }: Facts): readonly Finding[] {
  if (run.error === null) return []
  return [finding('bad', 'run', `The run failed and published nothing: ${run.error.code}.`)]
}

function controlFindings({ tables }: Facts): readonly Finding[] {
  const different = tables.filter(table => table.controls.some(control => control.equal === false))
  const controls = tables.flatMap(table => table.controls)
  const open = controls.filter(control => control.equal === null).length
  const found = different.map(({ source, table }) =>
    finding('bad', 'staged', `What was staged of ${source}.${table} does not agree with its source.`),
  )
  if (open > 0) {
    const text = `${plural(open, 'control total')} cannot be compared, because rows were rejected.`
    found.push(finding('attention', 'staged', text))
  }
  if (different.length === 0 && controls.length > open) {
    const equal = controls.length - open
    found.push(
      finding(
        'good',
        'staged',
        `${plural(equal, 'control total')} ${equal === 1 ? 'agrees' : 'agree'} with the sources.`,
      ),
    )
  }
  return found
}

function rejectFindings({ tables }: Facts): readonly Finding[] {
  const rejected = tables.reduce((sum, table) => sum + (table.load?.rowsRejected ?? 0), 0)
  const refused = tables.flatMap(table => table.files?.counts ?? []).filter(it => it.state === 'refused')
  const files = refused.reduce((sum, it) => sum + it.files, 0)
  return [
    ...(rejected > 0 ? [finding('attention', 'staged', `${plural(rejected, 'row')} could not be read.`)] : []),
    ...(files > 0 ? [finding('attention', 'staged', `${plural(files, 'file')} refused.`)] : []),
  ]
}

function stoppedFindings({ tables }: Facts): readonly Finding[] {
  return tables.flatMap(({ source, table, stopped }) => {
    if (stopped === null) return []
    const text = `${source}.${table} is as it was before run ${stopped.run}, which could not read it: ${stopped.text}.`
    return [finding('attention', 'staged', text)]
  })
}

function quarantineFindings({ quarantine, rules }: Facts): readonly Finding[] {
  const rows = quarantine.reduce((sum, it) => sum + it.rows, 0)
  const warned = rules.filter(it => it.severity === 'warn' && (it.after?.rowsFailed ?? 0) > 0)
  const found: Finding[] = []
  if (rows > 0) {
    const names = quarantine.filter(it => it.rows > 0).map(it => `${count(it.rows)} of ${it.entity}`)
    found.push(finding('attention', 'quarantine', `${plural(rows, 'row')} in quarantine: ${names.join(', ')}.`))
  }
  for (const { entity, rule, after } of warned) {
    const text = `${plural(after?.rowsFailed ?? 0, 'row')} of ${entity} passed with a warning of ${rule}.`
    found.push(finding('attention', 'rules', text))
  }
  if (rows === 0 && warned.length === 0 && rules.length > 0) {
    found.push(finding('good', 'rules', `Every row passed ${plural(rules.length, 'rule')}.`))
  }
  return found
}

function matchFindings({ matches, conflicts }: Facts): readonly Finding[] {
  const alone = matches
    .filter(it => it.unmatched > 0)
    .map(it =>
      finding(
        'attention',
        'matches',
        `${count(it.unmatched)} of ${it.contributor} found no ${it.entity} to belong to.`,
      ),
    )
  const undecided = conflicts.flatMap(it => it.winners).filter(it => it.winner === null)
  const cells = undecided.reduce((sum, it) => sum + it.cells, 0)
  if (cells === 0) return alone
  return [...alone, finding('attention', 'matches', `${plural(cells, 'conflict')} that no source won.`)]
}

function warehouseFindings({ warehouse: { facts } }: Facts): readonly Finding[] {
  const different = facts.filter(fact => fact.measures.some(measure => !measure.equal))
  if (different.length > 0) {
    return different.map(it => finding('bad', 'warehouse', `fact_${it.fact} does not agree with its export.`))
  }
  if (facts.length === 0) return []
  const text = `${facts.map(it => `fact_${it.fact}`).join(', ')} ${facts.length === 1 ? 'agrees' : 'agree'} with what was exported.`
  return [finding('good', 'warehouse', text)]
}
