import { plural, size } from './format.ts'
import { html, type Html } from './html.ts'
import type { ControlTotal, FileFacts, RejectReason, StagedTable } from './model.ts'
import { cut, fold, mark, name, nothing, num, table, value } from './parts.ts'

/** Both ends of every load, and what did not come through. */
export function renderStaged(tables: readonly StagedTable[]): Html {
  if (tables.length === 0) return html`<p>The project has no source tables.</p>`
  return html`${overview(tables)}${tables.map(details)}`
}

function overview(tables: readonly StagedTable[]): Html {
  return table({
    caption: 'Rows at the source and rows staged, for each table',
    columns: [
      { title: 'Table' },
      { title: 'At the source', number: true },
      { title: 'Staged', number: true },
      { title: 'Rejected', number: true },
      { title: 'Control totals' },
      { title: 'Load' },
    ],
    rows: tables.map(it => {
      const rows = it.controls.find(control => control.column === '' && control.measure === 'rows')
      return [
        name(nameOf(it)),
        figures(rows?.source ?? null),
        figures(rows?.staged ?? null),
        num(it.load?.rowsRejected ?? null),
        judgement(it.controls),
        loadText(it),
      ]
    }),
  })
}

function nameOf(it: StagedTable): string {
  return `${it.source}.${it.table}`
}

function figures(text: string | null): Html {
  return text !== null && /^\d{1,15}$/.test(text) ? num(Number(text)) : value(text)
}

function judgement(controls: readonly ControlTotal[]): Html {
  const different = controls.filter(it => it.equal === false).length
  const open = controls.filter(it => it.equal === null).length
  if (controls.length === 0) return mark('quiet', 'none')
  if (different > 0) return mark('bad', `${different} of ${controls.length} differ`)
  if (open > 0) return mark('attention', `${controls.length - open} of ${controls.length} equal`)
  return mark('good', controls.length === 1 ? 'equal' : `all ${controls.length} equal`)
}

function loadText({ load }: StagedTable): Html {
  if (load === null) return html`<span class="none">never read</span>`
  const what = `${load.scope === 'all' ? 'everything' : 'changes'} by ${load.technique}`
  if (!load.inThisRun) return html`load ${load.load}, ${what} <em>(of run ${load.run}: this run read nothing)</em>`
  return html`load ${load.load}, ${what}${load.state === 'published' ? '' : `, ${load.state}`}`
}

function details(it: StagedTable): Html {
  const parts = [
    it.controls.length > 1 ? controlFold(it) : nothing,
    ...it.rejects.map(reject => rejectFold(it, reject)),
    it.files === null ? nothing : fileFold(it, it.files),
  ]
  return html`${parts}`
}

function controlFold(it: StagedTable): Html {
  const wrong = it.controls.some(control => control.equal === false)
  const title = html`${name(nameOf(it))} control totals ${judgement(it.controls)}`
  const columns = [...new Set(it.controls.map(control => control.column))]
  const measures = ['rows', 'hash', 'count', 'sum', 'min', 'max'].filter(measure =>
    it.controls.some(control => control.measure === measure),
  )
  const cell = (column: string, measure: string): Html =>
    controlCell(it.controls.find(control => control.column === column && control.measure === measure))
  return fold(
    title,
    table({
      caption: `Control totals of ${nameOf(it)}, computed by the source and again after staging`,
      columns: [{ title: 'Column' }, ...measures.map(title => ({ title, number: true }))],
      rows: columns.map(column => [columnName(column), ...measures.map(measure => cell(column, measure))]),
    }),
    wrong,
  )
}

function columnName(column: string): Html {
  if (column === '') return html`whole table`
  return column === 'keys' ? html`sweep of the keys` : name(column)
}

function controlCell(control: ControlTotal | undefined): Html {
  if (control === undefined) return nothing
  if (control.equal === true) return html`${figures(control.staged)} ${mark('good', '')}`
  const both = html`${figures(control.source)} at the source, ${figures(control.staged)} staged`
  return html`${both} ${control.equal === null ? mark('attention', 'not comparable') : mark('bad', 'differs')}`
}

function rejectFold(it: StagedTable, { reason, rows }: RejectReason): Html {
  return fold(
    html`${name(nameOf(it))} rejects: ${name(reason)} ${mark('attention', plural(rows.of, 'row'))}`,
    table({
      caption: `${reason}: ${cut(rows)}`,
      columns: [{ title: 'File' }, { title: 'Line', number: true }, { title: 'Key' }, { title: 'What is wrong' }],
      rows: rows.shown.map(row => [value(row.file), num(row.line), value(row.key), value(row.detail)]),
    }),
  )
}

function fileFold(it: StagedTable, { counts, files }: FileFacts): Html {
  const tone = (state: string): 'good' | 'attention' | 'quiet' =>
    state === 'loaded' ? 'good' : state === 'refused' ? 'attention' : 'quiet'
  const states = counts.map(({ state, files: n }) => html` ${mark(tone(state), `${n} ${state}`)}`)
  if (files.of === 0) return html`<p>${name(nameOf(it))}: no files yet.</p>`
  return fold(
    html`${name(nameOf(it))} files${states}`,
    table({
      caption: `Files of ${nameOf(it)}: ${cut(files, 'files')}`,
      columns: [
        { title: 'File' },
        { title: 'State' },
        { title: 'Why' },
        { title: 'Size', number: true },
        { title: 'Seen (UTC)' },
      ],
      rows: files.shown.map(file => [
        value(file.name),
        mark(tone(file.state), file.state),
        file.reason === null ? nothing : value(file.reason),
        html`${file.bytes === null ? '' : size(file.bytes)}`,
        html`${file.taken ?? ''}${file.inThisRun ? ' (this run)' : ''}`,
      ]),
    }),
  )
}
