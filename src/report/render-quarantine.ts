import { count, plural } from './format.ts'
import { html, type Html } from './html.ts'
import type { CorrectedColumn, QuarantinedContributor, QuarantinedRow, Sample } from './model.ts'
import { cut, fold, mark, name, nothing, num, table, value } from './parts.ts'

/** Rows that wait for a person, with all they broke. */
export function renderQuarantine(found: readonly QuarantinedContributor[]): Html {
  if (found.length === 0) return html`<p>${mark('good', 'Nothing waits in quarantine.')}</p>`
  return html`${found.map(contributor)}`
}

function contributor(it: QuarantinedContributor): Html {
  const facts = [
    `${count(it.newInThisRun)} new in this run`,
    ...(it.resolvedInThisRun > 0 ? [`${count(it.resolvedInThisRun)} resolved by it`] : []),
    ...(it.held > 0 ? [`an older version of ${count(it.held)} is still in use`] : []),
  ]
  return html`<h3>${name(it.entity)} from ${name(it.contributor)}: ${plural(it.rows, 'row')}</h3>
    <p>${facts.join('; ')}. <code>naru quarantine list ${it.entity}</code></p>
    ${it.rules.map(({ rule, rows }) =>
      fold(
        html`${name(rule)} ${mark('attention', plural(rows.of, 'row'))}`,
        rowTable(rule, rows),
        rows.shown.length === rows.of,
      ),
    )}`
}

function rowTable(rule: string, rows: Sample<QuarantinedRow>): Html {
  const columns = [...new Set(rows.shown.flatMap(row => row.values?.map(it => it.column) ?? []))]
  const cell = (row: QuarantinedRow, column: string): Html => {
    const found = row.values?.find(it => it.column === column)
    if (found === undefined) return nothing
    const isBroken = row.rules.some(id => id.slice(0, id.lastIndexOf('.')) === column)
    return isBroken ? html`<mark>${value(found.value)}</mark>` : value(found.value)
  }
  return table({
    caption: `Rows that broke ${rule}: ${cut(rows)}`,
    columns: [{ title: 'Key' }, { title: 'Broke' }, ...columns.map(title => ({ title }))],
    rows: rows.shown.map(row => [
      html`${value(row.key)}${row.held ? html`<small>older version in use</small>` : nothing}`,
      html`<ul class="chips">
          ${row.rules.map(id => html`<li>${name(id)}</li>`)}
        </ul>
        ${row.values === null ? html`<small>the row is too long to show</small>` : nothing}`,
      ...columns.map(column => cell(row, column)),
    ]),
  })
}

/** Repaired cells by column, with the changes that were made most often. */
export function renderCorrections(found: readonly CorrectedColumn[]): Html {
  if (found.length === 0) return html`<p>No cell was repaired.</p>`
  return table({
    caption: 'Repaired cells by column, and the changes that were made most often',
    columns: [
      { title: 'Column' },
      { title: 'Cells', number: true },
      { title: 'In this run', number: true },
      { title: 'Changes' },
    ],
    rows: found.map(it => [
      html`${name(`${it.entity}.${it.column}`)}<small
          >from ${it.contributor}${it.repair === 'fix' ? ', set by a person' : ''}</small
        >`,
      num(it.cells),
      num(it.newInThisRun),
      html`<ul class="changes">
          ${it.changes.shown.map(
            change =>
              html`<li>
                ${value(change.before)} <span class="to">→</span> ${value(change.after)} <b>× ${count(change.cells)}</b>
              </li> `,
          )}
        </ul>
        <small>${cut(it.changes, 'different changes')}</small>`,
    ]),
  })
}
