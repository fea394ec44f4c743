import { histogram } from './chart.ts'
import { count, figure, percent, plural } from './format.ts'
import { html, type Html } from './html.ts'
import type { ColumnFacts, StagedTable, TableProfile } from './model.ts'
import { fold, mark, name, nothing, share, table, value } from './parts.ts'

/** Statistics of every column; folded from this many columns on. */
const OPEN_COLUMNS = 40

export function renderColumns(tables: readonly StagedTable[]): Html {
  const profiled = tables.flatMap(it => (it.profile === null ? [] : [{ table: it, profile: it.profile }]))
  if (profiled.length === 0) return html`<p>No table was profiled yet.</p>`
  const columns = profiled.reduce((sum, it) => sum + it.profile.columns.length, 0)
  return html`${profiled.map(it =>
    fold(
      html`${name(`${it.table.source}.${it.table.table}`)} ${summaryText(it.profile)}`,
      profileTable(it.table, it.profile),
      columns <= OPEN_COLUMNS,
    ),
  )}`
}

function summaryText(profile: TableProfile): string {
  const rows = `${profile.scope === 'delta' ? 'changed ' : ''}${profile.rows === 1 ? 'row' : 'rows'}`
  const run = profile.inThisRun ? '' : `, as of run ${profile.run}: nothing changed since`
  return `${plural(profile.columns.length, 'column')} over ${count(profile.rows)} ${rows}${run}`
}

function profileTable(it: StagedTable, profile: TableProfile): Html {
  const sampled =
    profile.sampleRows === null
      ? ''
      : `; distributions and frequent values from ${count(profile.sampleRows)} rows chosen by their key`
  return table({
    caption: `Columns of ${it.source}.${it.table}${sampled}`,
    columns: [
      { title: 'Column' },
      { title: 'Filled' },
      { title: 'Different values', number: true },
      { title: 'Smallest' },
      { title: 'Largest' },
      { title: 'Mean', number: true },
      { title: 'Distribution' },
      { title: 'Most frequent' },
    ],
    rows: profile.columns.map(column => columnRow(column, profile)),
  })
}

function columnRow(it: ColumnFacts, profile: TableProfile): readonly Html[] {
  const bound = (text: string | null): Html => (text === null ? hidden(it) : value(text))
  return [
    html`${name(it.column)}<small>${it.type}${it.personal ? ', personal' : ''}</small>${drift(it)}`,
    filled(it),
    html`${it.distinctAbout === 0 ? '0' : `≈ ${count(it.distinctAbout)}`}`,
    bound(it.min),
    bound(it.max),
    it.mean === null
      ? nothing
      : html`${figure(it.mean)}${it.stddev === null ? nothing : html`<small>± ${figure(it.stddev)}</small>`}`,
    it.histogram === null ? lengths(it) : histogram(it.histogram),
    frequent(it, profile),
  ]
}

function hidden({ personal }: ColumnFacts): Html {
  return personal ? html`<span class="none">masked</span>` : nothing
}

function filled(it: ColumnFacts): Html {
  const present = it.rows - it.nulls
  const misfits = it.castable === null ? 0 : present - it.castable
  const misfit =
    misfits > 0 ? html`<small>${mark('attention', `${count(misfits)} do not fit the type`)}</small>` : nothing
  return html`${share(present, it.rows)}${misfit}`
}

function lengths({ lengthMin, lengthMax }: ColumnFacts): Html {
  if (lengthMin === null || lengthMax === null) return nothing
  const range = lengthMin === lengthMax ? count(lengthMin) : `${count(lengthMin)} to ${count(lengthMax)}`
  return html`<small>${range} ${lengthMax === 1 ? 'character' : 'characters'}</small>`
}

function frequent(it: ColumnFacts, profile: TableProfile): Html {
  if (it.top === null) return hidden(it)
  const rows = profile.sampleRows ?? profile.rows
  const chips = it.top.map(top => html`<li>${value(top.value)} <b>${percent(top.count, rows)}</b></li>`)
  return html`<ul class="chips">
    ${chips}
  </ul>`
}

/** Shown when it is worth a look: a tenth of a point of NULLs, a tenth of a deviation of the mean. */
function drift({ drift }: ColumnFacts): Html {
  if (drift === null) return nothing
  const signed = (number: number): string => `${number > 0 ? '+' : '−'}${figure(Number(Math.abs(number).toFixed(1)))}`
  const points = 100 * (drift.nullShareChange ?? 0)
  const moved = drift.meanChangeInStddev ?? 0
  const told = [
    ...(Math.abs(points) >= 0.1 ? [`NULLs ${signed(points)} points`] : []),
    ...(Math.abs(moved) >= 0.1 ? [`mean ${signed(moved)} deviations`] : []),
  ]
  if (told.length === 0) return nothing
  return html`<small>${mark('attention', `${told.join(', ')} since run ${drift.previousRun}`)}</small>`
}
