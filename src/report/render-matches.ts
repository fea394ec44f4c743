import { histogram } from './chart.ts'
import { count, percent, plural } from './format.ts'
import { html, type Html } from './html.ts'
import type { ConflictingColumn, MatchedContributor, MatchedRow, Sample } from './model.ts'
import { cut, mark, name, nothing, share, table, value } from './parts.ts'

/** Which source rows found their record, and where sources disagreed. */
export function renderMatches(matches: readonly MatchedContributor[], conflicts: readonly ConflictingColumn[]): Html {
  if (matches.length === 0 && conflicts.length === 0) {
    return html`<p>
      Every entity has one source that gives its key: there was nothing to match and nothing to decide.
    </p>`
  }
  return html`${
    matches.length === 0
      ? nothing
      : html`<h3>Matches</h3>
          ${overview(matches)}`
  }
  ${matches.map(doubtful)}
  ${
    conflicts.length === 0
      ? nothing
      : html`<h3>Conflicts</h3>
          ${conflicts.map(conflict)}`
  }`
}

function overview(matches: readonly MatchedContributor[]): Html {
  return table({
    caption: 'Source rows and the golden records they belong to',
    columns: [
      { title: 'Entity' },
      { title: 'By' },
      { title: 'Matched' },
      { title: 'Without a match' },
      { title: 'Scores' },
    ],
    rows: matches.map(it => [
      html`${name(it.entity)}<small>from ${it.contributor}</small>`,
      html`${it.by}`,
      html`${count(it.matched)} ${share(it.matched, it.matched + it.unmatched, 'good')}`,
      it.unmatched === 0 ? mark('good', 'none') : mark('attention', plural(it.unmatched, 'row')),
      it.scores === null ? nothing : histogram(it.scores),
    ]),
  })
}

function doubtful(it: MatchedContributor): Html {
  const whose = `${it.entity} from ${it.contributor}`
  const rows = (caption: string, sample: Sample<MatchedRow>): Html =>
    sample.of === 0
      ? nothing
      : table({
          caption: `${caption}: ${cut(sample)}`,
          columns: [
            { title: 'Source row' },
            { title: 'Golden record' },
            { title: 'Score', number: true },
            { title: 'Found by' },
          ],
          rows: sample.shown.map(row => [
            value(row.sourceKey),
            value(row.goldenKey),
            html`${row.score === null ? '' : row.score.toFixed(3)}`,
            html`${row.rule}`,
          ]),
        })
  return html`${rows(`${whose}, without a match`, it.without)}${rows(`${whose}, the weakest matches`, it.weakest)}`
}

function conflict(it: ConflictingColumn): Html {
  const won = it.winners.map(({ winner, cells }) =>
    winner === null
      ? html`<li>${mark('attention', 'nobody')} <b>${percent(cells, it.cells)}</b></li>`
      : html`<li>${name(winner)} <b>${percent(cells, it.cells)}</b></li>`,
  )
  return html`<h4>${name(`${it.entity}.${it.column}`)} ${plural(it.cells, 'cell')}, won by</h4>
    <ul class="chips">
      ${won}
    </ul>
    ${table({
      caption: `Conflicts in ${it.entity}.${it.column}: ${cut(it.samples, 'cells')}`,
      columns: [{ title: 'Key' }, { title: 'Values' }, { title: 'Winner' }, { title: 'Why' }],
      rows: it.samples.shown.map(sample => [
        value(sample.key),
        html`<ul class="changes">
          ${sample.values.map(given => {
            const said = html`<small>${given.contributor}</small> ${value(given.value)}`
            return given.contributor === sample.winner ? html`<li class="won">${said}</li> ` : html`<li>${said}</li> `
          })}
        </ul>`,
        sample.winner === null ? mark('attention', 'nobody') : name(sample.winner),
        html`${sample.rule}`,
      ]),
    })}`
}
