import { plural } from './format.ts'
import { html, type Html } from './html.ts'
import type { QualityReport, SectionId } from './model.ts'
import type { Section } from './parts.ts'
import { renderColumns } from './render-columns.ts'
import { renderMatches } from './render-matches.ts'
import { renderExports, renderWarehouse } from './render-outcome.ts'
import { renderCorrections, renderQuarantine } from './render-quarantine.ts'
import { renderRules } from './render-rules.ts'
import { renderHead, renderRun } from './render-run.ts'
import { renderStaged } from './render-staged.ts'
import { style } from './style.ts'

/**
 * The report as one HTML file that needs neither network nor script. Its policy forbids both: the page is all there
 * is, whatever stands in the data.
 */
export function renderReport(report: QualityReport): string {
  const sections = sectionsOf(report)
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <title>Quality report: ${report.project}, run ${report.run.run}</title>
        <style>
          ${style}
        </style>
      </head>
      <body>
        <a class="skip" href="#content">Skip to the report</a>
        ${renderHead(report)}
        <div class="page">
          <nav aria-label="Contents">
            <ol>
              ${sections.map(it => html`<li><a href="#${it.id}">${it.title}</a></li> `)}
            </ol>
          </nav>
          <main id="content">${sections.map(renderSection)}</main>
        </div>
        <footer>
          <p>
            Made by Naru from the control tables of ${report.project}. Personal values are masked; samples are short and
            say how short.
          </p>
        </footer>
      </body>
    </html> `
  return page.text
}

function renderSection({ id, title, note, body }: Section): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title">
    <h2 id="${id}-title">${title}</h2>
    <p class="note">${note}</p>
    ${body}
  </section> `
}

function sectionsOf(report: QualityReport): readonly Section[] {
  const section = (id: SectionId, title: string, note: string, body: Html): Section => ({ id, title, note, body })
  const { tables, quarantine, corrections } = report
  const waiting = quarantine.reduce((sum, it) => sum + it.rows, 0)
  const repaired = corrections.reduce((sum, it) => sum + it.cells, 0)
  return [
    section('run', 'Overview', runNote(report), renderRun(report)),
    section(
      'staged',
      'Staged tables',
      'What the sources said of their rows, against what arrived.',
      renderStaged(tables),
    ),
    section(
      'columns',
      'Columns',
      'What the staged values are like, before anything is repaired.',
      renderColumns(tables),
    ),
    section('rules', 'Rules', 'Measured on values as they came, and acted on after repair.', renderRules(report.rules)),
    section('quarantine', 'Quarantine', `${plural(waiting, 'row')} set aside now.`, renderQuarantine(quarantine)),
    section(
      'corrections',
      'Corrections',
      `${plural(repaired, 'cell')} repaired, each on record.`,
      renderCorrections(corrections),
    ),
    section(
      'matches',
      'Matches and conflicts',
      'Who is who, and who was believed.',
      renderMatches(report.matches, report.conflicts),
    ),
    section(
      'exports',
      'Exports',
      'The only tables that leave, and what of them is masked.',
      renderExports(report.exports),
    ),
    section(
      'warehouse',
      'Warehouse',
      'Facts against their exports, and history that was changed.',
      renderWarehouse(report.warehouse),
    ),
  ]
}

function runNote({ run }: QualityReport): string {
  const began = run.began === null ? '' : `Began ${run.began} UTC`
  return run.asOf === null || run.asOf === run.began ? `${began}.` : `${began}; its rows carry ${run.asOf} UTC.`
}
