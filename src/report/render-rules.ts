import { count, plural } from './format.ts'
import { html, type Html } from './html.ts'
import type { RuleOutcome, RulePhase } from './model.ts'
import { cut, fold, mark, name, nothing, share, table, value, type Tone } from './parts.ts'

/** Every rule before and after repair; those that no row broke are folded. */
export function renderRules(rules: readonly RuleOutcome[]): Html {
  if (rules.length === 0) return html`<p>No rule was evaluated yet.</p>`
  const broken = rules.filter(it => failedIn(it.before) > 0 || failedIn(it.after) > 0)
  const held = rules.filter(it => !broken.includes(it))
  const worst = [...broken].sort(
    (a, b) => failedIn(b.after) - failedIn(a.after) || failedIn(b.before) - failedIn(a.before),
  )
  return html`${broken.length === 0 ? html`<p>${mark('good', 'No rule was broken.')}</p>` : ruleTable('Rules that rows broke', worst)}
  ${held.length === 0 ? nothing : fold(html`${plural(held.length, 'rule')} that no row broke`, ruleTable('Rules that no row broke', held))}`
}

function failedIn(phase: RulePhase | null): number {
  return phase?.rowsFailed ?? 0
}

function ruleTable(caption: string, rules: readonly RuleOutcome[]): Html {
  return table({
    caption,
    columns: [
      { title: 'Rule' },
      { title: 'Entity' },
      { title: 'Before repair' },
      { title: 'After repair' },
      { title: 'Then' },
      { title: 'Keys of rows that broke it' },
    ],
    rows: rules.map(it => [
      html`${name(it.rule)}<small>${it.asks}</small>`,
      html`${it.entity}<small>from ${it.contributor}${it.inThisRun ? '' : `, as of run ${it.run}`}</small>`,
      phase(it.before, 'quiet'),
      phase(it.after, it.severity === 'warn' ? 'attention' : 'bad'),
      action(it),
      keys(it),
    ]),
  })
}

function phase(it: RulePhase | null, tone: Tone): Html {
  if (it === null) return html`<span class="none">not measured</span>`
  if (it.rowsFailed === null) return html`<small>${it.note ?? 'not evaluated'}</small>`
  if (it.rowsFailed === 0) return html`0<small>of ${count(it.rowsChecked)}</small>`
  return html`${count(it.rowsFailed)} ${share(it.rowsFailed, it.rowsChecked, tone)}<small
      >of ${count(it.rowsChecked)}</small
    >`
}

const actions: Readonly<Record<string, string>> = {
  warn: 'reported',
  quarantine: 'set aside',
  block: 'stops the run',
}

function action({ severity, limitRows, after }: RuleOutcome): Html {
  const over = limitRows !== null && failedIn(after) > limitRows
  const limit = limitRows === null ? nothing : html`<small>at most ${plural(limitRows, 'row')}</small>`
  return html`${actions[severity] ?? severity}${over ? mark('bad', 'over its limit') : nothing}${limit}`
}

function keys({ before, after }: RuleOutcome): Html {
  const found = failedIn(after) > 0 ? after?.keys : before?.keys
  if (found === undefined || found.of === 0) return nothing
  return html`<ul class="chips">
      ${found.shown.map(key => html`<li>${value(key)}</li>`)}
    </ul>
    <small>${cut(found, 'keys')}</small>`
}
