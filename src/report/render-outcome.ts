import { plural } from './format.ts'
import { html, type Html } from './html.ts'
import type { ExportFacts, FactReconciliation, QualityReport, WarehouseFacts } from './model.ts'
import { cut, fold, mark, name, nothing, num, share, table, value } from './parts.ts'

/** What leaves, and what nobody outside will see. */
export function renderExports(exports: readonly ExportFacts[]): Html {
  if (exports.length === 0) return html`<p>The project exports nothing.</p>`
  return table({
    caption: 'Exports: rows that leave, and columns that are masked',
    columns: [{ title: 'Export' }, { title: 'Rows' }, { title: 'Rows that may leave' }, { title: 'Masked columns' }],
    rows: exports.map(it => [
      html`${name(it.name)}<small>of ${it.entity}, ${plural(it.columns, 'column')}</small>`,
      it.rows === null
        ? html`<span class="none">not built yet</span>`
        : html`${num(it.rows)} ${it.rowsOfEntity === null ? nothing : share(it.rows, it.rowsOfEntity)}`,
      html`${it.filtered ? 'filtered' : 'all'}`,
      masks(it),
    ]),
  })
}

function masks({ masks }: ExportFacts): Html {
  if (masks.length === 0) return html`<span class="none">none</span>`
  return html`<ul class="changes">
    ${masks.map(
      it => html`<li>${name(it.column)} ${it.mask}${it.personal ? html` ${mark('good', 'personal')}` : nothing}</li> `,
    )}
  </ul>`
}

/** Facts against their exports, and history that was changed. */
export function renderWarehouse({ facts, restatements }: WarehouseFacts): Html {
  const none = facts.length === 0 ? html`<p>No fact table was loaded yet.</p>` : nothing
  return html`${none}${facts.map(reconciliation)}
  ${restatements.length === 0 ? nothing : html`<h3>Changed after the fact</h3>`} ${restatements.map(restatement)}`
}

function reconciliation(it: FactReconciliation): Html {
  const different = it.measures.filter(measure => !measure.equal).length
  const judgement =
    different === 0
      ? mark('good', `all ${it.measures.length} equal`)
      : mark('bad', `${different} of ${it.measures.length} differ`)
  const run = it.inThisRun ? '' : `, as of run ${it.run}`
  return fold(
    html`${name(`fact_${it.fact}`)} against its export ${judgement}${run}`,
    table({
      caption: `Totals of fact_${it.fact} and of its export`,
      columns: [
        { title: 'Total' },
        { title: 'Exported', number: true },
        { title: 'In the fact', number: true },
        { title: 'Equal' },
      ],
      rows: it.measures.map(measure => [
        name(measure.measure),
        value(measure.exported),
        value(measure.inFact),
        measure.equal ? mark('good', 'equal') : mark('bad', 'differs'),
      ]),
    }),
    different > 0,
  )
}

function restatement({ table: dimension, what, rows }: QualityReport['warehouse']['restatements'][number]): Html {
  return fold(
    html`${name(dimension)} ${plural(rows.of, 'row')} ${what}`,
    table({
      caption: `Rows of ${dimension} that this run ${what}: ${cut(rows)}`,
      columns: [{ title: 'Key' }, { title: 'Change' }],
      rows: rows.shown.map(row => [
        value(row.key),
        html`<ul class="changes">
          ${row.changes.map(
            it =>
              html`<li>
                <small>${it.column}</small> ${value(it.before)} <span class="to">→</span> ${value(it.after)}
              </li> `,
          )}
        </ul>`,
      ]),
    }),
  )
}
