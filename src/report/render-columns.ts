import { histogram } from './chart.ts'
import { count, digits, figure, percent, plural } from './format.ts'
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
      { title: 'Values' },
      { title: 'Distribution' },
      { title: 'Most frequent' },
    ],
    rows: profile.columns.map(column => [
      html`${name(column.column)}<small>${column.type}${column.personal ? ', personal' : ''}</small>${drift(column)}`,
      filled(column),
      values(column),
      column.histogram === null ? nothing : histogram(column.histogram),
      frequent(column, profile),
    ]),
  })
}

function filled(it: ColumnFacts): Html {
  const present = it.rows - it.nulls
  const misfits = it.castable === null ? 0 : present - it.castable
  const misfit =
    misfits > 0 ? html`<small>${mark('attention', `${count(misfits)} do not fit the type`)}</small>` : nothing
  return html`${share(present, it.rows)}${misfit}`
}

/** The range first, then what is known of the values between. */
function values(it: ColumnFacts): Html {
  const different = it.distinctAbout === 0 ? [] : [`about ${count(it.distinctAbout)} different`]
  const mean = it.mean === null ? [] : [`mean ${figure(it.mean)}${it.stddev === null ? '' : ` ± ${figure(it.stddev)}`}`]
  return html`<div class="range">${range(it)}<small>${[...different, ...mean, ...lengths(it)].join('; ')}</small></div>`
}

function range({ personal, min, max, type }: ColumnFacts): Html {
  if (personal) return html`<span class="none">masked</span>`
  if (min === null || max === null) return nothing
  const shown = (bound: string): Html => (type.startsWith('int') ? html`${digits(bound)}` : value(bound))
  return min === max ? shown(min) : html`${shown(min)} <span class="to">to</span> ${shown(max)}`
}

function lengths({ lengthMin, lengthMax }: ColumnFacts): readonly string[] {
  if (lengthMin === null || lengthMax === null) return []
  const range = lengthMin === lengthMax ? '' : `${count(lengthMin)} to `
  return [`${range}${plural(lengthMax, 'character')}`]
}

/** Values that many rows have: what fewer have says nothing about the column. */
const FREQUENT_SHARE = 0.01

function frequent(it: ColumnFacts, profile: TableProfile): Html {
  if (it.top === null) return nothing
  const rows = profile.sampleRows ?? profile.rows
  const tops = it.top.filter(top => top.count >= FREQUENT_SHARE * rows)
  if (tops.length === 0) return html`<small>no single value in more than 1 %</small>`
  return html`<ul class="tops">
    ${tops.map(top => html`<li title="${top.value}">${value(top.value)} <b>${percent(top.count, rows)}</b></li> `)}
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
