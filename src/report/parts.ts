import { count, percent } from './format.ts'
import { html, type Html } from './html.ts'
import type { Sample } from './model.ts'

/** A section of the page, which the table of contents names. */
export interface Section {
  readonly id: string
  readonly title: string
  /** Said beside the title: `1,204 rows`. */
  readonly note: string
  readonly body: Html
}

export const nothing: Html = html``

/** A value of up to so many characters is not broken into lines. */
const SHORT = 24

/** A value of the data: NULL and the empty text are told apart. */
export function value(text: string | null): Html {
  if (text === null) return html`<span class="none">NULL</span>`
  if (text === '') return html`<span class="none">empty</span>`
  // A date or a number that breaks at its hyphen is hard to read.
  return text.length <= SHORT
    ? html`<span class="value short">${text}</span>`
    : html`<span class="value">${text}</span>`
}

/** A name of something in the project: a table, a column, a rule. */
export function name(text: string): Html {
  return html`<code>${text}</code>`
}

export type Tone = 'good' | 'attention' | 'bad' | 'quiet'

const signs: Readonly<Record<Tone, string>> = { good: '✓', attention: '!', bad: '✗', quiet: '·' }

/** A judgement, in colour, sign and words, so that none of them has to be seen alone. */
export function mark(tone: Tone, text: string): Html {
  return html`<span class="mark ${tone}"><span aria-hidden="true">${signs[tone]}</span> ${text}</span>`
}

/** Says how much of a list is shown. */
export function cut<T>(sample: Sample<T>, noun = 'rows'): string {
  const { shown, of } = sample
  if (shown.length < of) return `${count(shown.length)} of ${count(of)} ${noun}`
  return of === 1 ? `1 ${noun.replace(/s$/, '')}` : `all ${count(of)} ${noun}`
}

/** A share as a small bar with its number. */
export function share(part: number, whole: number, tone: Tone = 'quiet'): Html {
  const width = whole === 0 ? 0 : Math.min(100, (100 * part) / whole)
  const bar = html`<span class="bar ${tone}" aria-hidden="true"><i style="width:${width.toFixed(1)}%"></i></span>`
  return html`<span class="share">${bar}${percent(part, whole)}</span>`
}

export interface Column {
  readonly title: string
  /** Numbers stand to the right. */
  readonly number?: boolean
}

/** A table that scrolls inside its own box. The first cell of a row names the row. */
export function table(it: {
  readonly caption: string
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly Html[])[]
}): Html {
  const side = (i: number): string => (it.columns[i]?.number === true ? 'number' : '')
  const head = it.columns.map((column, i) => html`<th scope="col" class="${side(i)}">${column.title}</th>`)
  const cell = (content: Html, i: number): Html =>
    i === 0 ? html`<th scope="row">${content}</th>` : html`<td class="${side(i)}">${content}</td>`
  const rows = it.rows.map(
    row =>
      html`<tr>
        ${row.map(cell)}
      </tr> `,
  )
  return html`<div class="scroll" role="region" aria-label="${it.caption}" tabindex="0">
    <table>
      <caption>
        ${it.caption}
      </caption>
      <thead>
        <tr>
          ${head}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div> `
}

/** A part that is folded until it is wanted. */
export function fold(summary: Html, body: Html, open = false): Html {
  return html`<details${open ? html` open` : nothing}><summary>${summary}</summary>
${body}</details>
`
}

export function num(value: number | null): Html {
  return value === null ? html`<span class="none">–</span>` : html`${count(value)}`
}
