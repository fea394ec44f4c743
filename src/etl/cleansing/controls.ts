import { fail } from '../../core/errors.ts'
import { ident, joinSql, sql, type Sql } from '../../core/sql.ts'
import type { RuleDef } from '../../config/model.ts'
import { isThere, type StageContext } from '../../run/context.ts'
import { compileRule, referenceTarget } from '../../run/rules.ts'
import type { Layout } from './layout.ts'
import type { Loss, Relation } from './relation.ts'

/** Something a repaired row can break, over relation `r`: a rule of the config or a built-in control. */
export type Control =
  | (Named & { readonly kind: 'row'; readonly broken: Sql; readonly join: Sql | null })
  | (Named & { readonly kind: 'unique'; readonly columns: readonly string[] })
  /** Not for this contributor; `note` says why. */
  | (Named & { readonly kind: 'skipped'; readonly note: string })

interface Named {
  readonly id: string
  readonly severity: RuleDef['severity']
  readonly limit: RuleDef['limit']
}

/** Every control of a contribution: lost values, missing values, repeated keys, then the rules of the entity. */
export async function controlsOf(ctx: StageContext, layout: Layout, relation: Relation): Promise<readonly Control[]> {
  const builtIn = [
    ...lossControls(relation.losses),
    ...presenceControls(layout, relation.losses),
    ...keyControl(layout),
  ]
  const rules: Control[] = []
  for (const [i, rule] of layout.feed.entity.rules.entries()) rules.push(await ruleControl(ctx, layout, rule, i))
  return [...builtIn, ...rules]
}

const quarantine = { severity: 'quarantine', limit: null } as const

function lossControls(losses: readonly Loss[]): readonly Control[] {
  const ids = [...new Set(losses.map(loss => loss.id))]
  return ids.map(id => {
    const flags = losses.filter(loss => loss.id === id).map(loss => ident('r', loss.flag))
    return { kind: 'row', id, ...quarantine, broken: sql`(${joinSql(flags, ' or ')})`, join: null }
  })
}

/** A column that may not be NULL. Where its value was lost on the way, that is the reason, not this. */
function presenceControls(layout: Layout, losses: readonly Loss[]): readonly Control[] {
  const { entity, contribution } = layout.feed
  return layout.columns
    .filter(({ column, given }) => (given ? !column.nullable || isKey(column.name) : isKey(column.name)))
    .map(({ column }) => {
      const lost = losses
        .filter(loss => loss.column === column.name)
        .map(loss => sql` and not ${ident('r', loss.flag)}`)
      const broken = sql`(${ident('r', column.name)} is null${joinSql(lost, '')})`
      return { kind: 'row', id: `${column.name}.not-null`, ...quarantine, broken, join: null }
    })

  function isKey(name: string): boolean {
    return contribution.match === null && entity.key.includes(name)
  }
}

/** A key that is computed may come out the same for two staged rows; a copied one cannot. */
function keyControl(layout: Layout): readonly Control[] {
  if (layout.keying !== 'derived') return []
  return [{ kind: 'unique', id: '_key.unique', ...quarantine, columns: layout.key }]
}

async function ruleControl(ctx: StageContext, layout: Layout, rule: RuleDef, i: number): Promise<Control> {
  const { feed } = layout
  const named = { id: rule.id, severity: rule.severity, limit: rule.limit }
  const notGiven = layout.columns.some(c => !c.given && rule.columns.includes(c.column.name))
  if (rule.check.kind === 'required' && notGiven) {
    return { kind: 'skipped', ...named, note: 'this contributor does not give the column' }
  }
  if (rule.check.kind === 'unique' && feed.contribution.match !== null) {
    return { kind: 'skipped', ...named, note: 'several rows of this contributor may stand for one record' }
  }
  const target = referenceTarget(rule, ctx.project)
  if (target !== null && !(await isThere(ctx, target.table))) {
    throw fail('REFERENCE_NOT_BUILT', { rule: rule.id, entity: feed.entity.name, to: target.name })
  }
  const column = (name: string): Sql => sql`${ident('r', name)}`
  const scope = { project: ctx.project, dialect: ctx.tx.dialect, entity: feed.entity, column }
  const compiled = compileRule(rule, scope, `lookup_${i}`)
  return compiled.kind === 'unique'
    ? { kind: 'unique', ...named, columns: rule.columns }
    : { kind: 'row', ...named, broken: compiled.broken, join: compiled.join }
}

/** The rows with the lookups that the controls need: what stands in FROM, as relation `r` and lookups. */
export function checkedRows(relation: Relation, controls: readonly Control[]): Sql {
  const joins = controls.flatMap(control => (control.kind === 'row' && control.join !== null ? [control.join] : []))
  return sql`(${relation.query}) r ${joinSql(joins, ' ')}`
}

/** True where a row must be set aside by what can be seen in the row itself; never NULL. */
export function isBad(controls: readonly Control[]): Sql {
  const broken = controls.flatMap(c => (c.kind === 'row' && c.severity !== 'warn' ? [c.broken] : []))
  return broken.length === 0 ? sql`false` : sql`coalesce(${joinSql(broken, ' or ')}, false)`
}
