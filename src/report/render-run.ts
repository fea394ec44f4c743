import { count, duration, plural } from './format.ts'
import { html, type Html } from './html.ts'
import type { Finding, JourneyStage, QualityReport, TableRows } from './model.ts'
import { mark, nothing, num } from './parts.ts'

/** The head of the page: what was run, and whether it can be trusted. */
export function renderHead(report: QualityReport): Html {
  const { run } = report
  const took = run.seconds === null ? '' : ` in ${duration(run.seconds)}`
  return html`<header>
    <p class="brand">Naru <span>quality report</span></p>
    <h1>${report.project}</h1>
    <p class="when">
      Run ${run.run} ${run.state === 'done' ? 'finished' : run.state}${took}, ${run.ended ?? run.began ?? ''} UTC
    </p>
    ${verdict(report.findings)}
  </header> `
}

function verdict(findings: readonly Finding[]): Html {
  const worst = findings[0]?.level ?? 'good'
  const open = findings.filter(it => it.level === 'attention').length
  if (worst === 'bad') return html`<p class="verdict bad">Do not use this data before you have read the findings.</p>`
  if (worst === 'good') return html`<p class="verdict good">Everything that was checked is in order.</p>`
  const things = open === 1 ? 'One thing asks' : `${count(open)} things ask`
  return html`<p class="verdict attention">The figures agree. ${things} for a look.</p>`
}

/** Tiles, findings and the journey: the first section. */
export function renderRun(report: QualityReport): Html {
  const error = report.run.error
  const failed =
    error === null
      ? nothing
      : html`<p class="failure">
          <strong>${error.code}</strong> ${error.text}. What is shown below stood before this run, but for what it left
          as evidence.
        </p>`
  return html`${failed} ${tiles(report)}
    <h3>Findings</h3>
    <ul class="findings">
      ${report.findings.map(it => html`<li>${mark(it.level, toneText(it))} ${it.text} <a href="#${it.section}">See ${it.section}</a></li> `)}
    </ul>
    <h3>The crossing</h3>
    <ol class="journey">
      ${report.journey.map(it => stage(it.stage, it.tables))}
    </ol> `
}

function toneText({ level }: Finding): string {
  return { bad: 'Wrong', attention: 'Look', good: 'Good' }[level]
}

function tiles(report: QualityReport): Html {
  const controls = report.tables.flatMap(table => table.controls)
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
  const facts: readonly (readonly [string, string])[] = [
    ['rows read', count(report.run.rowsRead)],
    ['control totals equal', `${count(controls.filter(it => it.equal === true).length)} of ${count(controls.length)}`],
    ['rows not readable', count(sum(report.tables.map(it => it.load?.rowsRejected ?? 0)))],
    ['cells repaired', count(sum(report.corrections.map(it => it.cells)))],
    ['rows in quarantine', count(sum(report.quarantine.map(it => it.rows)))],
    ['conflicts decided', count(sum(report.conflicts.map(it => it.cells)))],
  ]
  return html`<dl class="tiles">
    ${facts.map(
      ([label, figure]) =>
        html`<div>
          <dt>${label}</dt>
          <dd>${figure}</dd>
        </div> `,
    )}
  </dl> `
}

const stageTitles: Readonly<Record<JourneyStage, readonly [string, string]>> = {
  staged: ['Staging', 'as the sources have it'],
  integrated: ['ODS', 'repaired, one record for each thing'],
  exported: ['Export', 'masked, what may leave'],
  warehouse: ['Warehouse', 'with history, ready to ask'],
}

function stage(stage: JourneyStage, tables: readonly TableRows[]): Html {
  const [title, text] = stageTitles[stage]
  const rows = tables.map(it => html`<li><code>${it.table}</code> <span>${num(it.rows)}</span></li> `)
  return html`<li>
    <h4>${title}</h4>
    <p>${text}</p>
    ${
      tables.length === 0
        ? html`<p class="none">no tables yet</p>`
        : html`<ul aria-label="${plural(tables.length, 'table')}">
            ${rows}
          </ul>`
    }
  </li> `
}
