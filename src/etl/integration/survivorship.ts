import { asText } from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { PreferDef } from '../../config/model.ts'
import type { ColumnDef } from '../../core/types.ts'
import { columnList } from '../../run/tables.ts'
import { cleansedOf, goldenKeyText, identityKeyText, type Contributed, type Integration } from './golden.ts'

/**
 * Survivorship (M47): which contributor's value a golden record keeps, column by column. Contributors are numbered in
 * the order in which the entity declares them; only values that are not NULL compete, and the order breaks every tie.
 */
export interface Survival {
  readonly column: ColumnDef
  readonly prefer: PreferDef
  /** Numbers of the contributors that give the column, best first where the rule names an order. */
  readonly givers: readonly number[]
}

/** Every contribution with its number, those that give the key and those that are matched. */
export function numbered(it: Integration): readonly (Contributed & { readonly at: number })[] {
  const order = it.entity.contributions.map(contribution => contribution.as)
  return [...it.keyed, ...it.matched]
    .map(from => ({ ...from, at: order.indexOf(from.contribution.as) }))
    .sort((a, b) => a.at - b.at)
}

export function survivalOf(it: Integration): readonly Survival[] {
  const { entity } = it
  const contributors = numbered(it)
  const everywhere = entity.conflicts.find(conflict => conflict.column === '*')?.prefer
  return entity.columns
    .filter(column => !entity.key.includes(column.name))
    .map(column => {
      const own = entity.conflicts.find(conflict => conflict.column === column.name)?.prefer
      const prefer = own ?? everywhere ?? { kind: 'first', order: [] }
      const givers = contributors
        .filter(({ contribution }) => contribution.map.some(m => m.column === column.name))
        .map(({ at }) => at)
      return { column, prefer, givers: prefer.kind === 'first' ? ordered(it, givers, prefer.order) : givers }
    })
}

function ordered(it: Integration, givers: readonly number[], order: readonly string[]): readonly number[] {
  const place = (at: number): number => {
    const named = order.indexOf(it.entity.contributions[at]?.as ?? '')
    return named === -1 ? order.length + at : named
  }
  return [...givers].sort((a, b) => place(a) - place(b))
}

/** `v0_name`: what contributor 0 gives for the column, in the relation of all contributions side by side. */
export function valueOf(at: number, column: string): Ident {
  return ident(`v${at}_${column}`)
}

/** One row for each golden key: what every contributor gives, side by side. Keys that nobody gives have none. */
export function sideBySide(it: Integration, keys: Ident): Sql {
  const { entity } = it
  const attributes = entity.columns.filter(column => !entity.key.includes(column.name))
  const contributors = numbered(it)
  const key = joinSql(entity.key.map(name => ident(name)))
  const values = contributors.flatMap(({ at }) =>
    attributes.map(({ name }) => sql`${ident(`c${at}`, name)} as ${valueOf(at, name)}`),
  )
  const held = contributors.map(({ at }) => sql`coalesce(${ident(`c${at}`, '_held')}, false)`)
  const joins = contributors.map(from => {
    const rows = from.contribution.match === null ? sql`${cleansedOf(it, from)}` : sql`(${matchedRows(it, from, keys)})`
    return sql`left join ${rows} ${ident(`c${from.at}`)} using (${key})`
  })
  // A contribution that gives the key is there when its control column is.
  const given = contributors
    .filter(({ contribution }) => contribution.match === null)
    .map(({ at }) => sql`${ident(`c${at}`, '_held')} is not null`)
  return sql`
    select ${joinSql([key, ...values])}, ${joinSql(held, ' or ')} as "_held"
    from (select ${columnList(entity.key)} from ${keys}) k ${joinSql(joins, ' ')} where ${joinSql(given, ' or ')}`
}

/** The identity that stands for its contributor in each golden record: the most like it, then the first by key. */
function matchedRows(it: Integration, from: Contributed, keys: Ident): Sql {
  const { entity } = it
  const { contribution } = from
  const attributes = entity.columns.filter(column => !entity.key.includes(column.name))
  return sql`
    select ${columnList([...entity.key, ...attributes.map(c => c.name), '_held'])} from (
      select ${columnList(entity.key, 'k')}, ${columnList([...attributes.map(c => c.name), '_held'], 'c')},
        row_number() over (partition by ${columnList(entity.key, 'k')} order by x.score desc nulls last, x.source_key) as "_nth"
      from ${cleansedOf(it, from)} c
    join naru.crosswalk x on x.entity = ${entity.name} and x.contributor = ${contribution.as}
      and x.source_key = ${identityKeyText(contribution, 'c')}
      join ${keys} k on x.golden_key = ${goldenKeyText(entity, 'k')}) r
    where "_nth" = 1`
}

/** True where two contributors give different values. */
export function disagree({ column, givers }: Survival): Sql {
  const pairs = givers.flatMap((a, i) =>
    givers.slice(i + 1).map(b => sql`${valueOf(a, column.name)} <> ${valueOf(b, column.name)}`),
  )
  return pairs.length === 0 ? sql`false` : sql`coalesce(${joinSql(pairs, ' or ')}, false)`
}

/** For each contributor of the column, best first, the condition under which it wins. */
function wins({ column, prefer, givers }: Survival): readonly { readonly at: number; readonly when: Sql }[] {
  const value = (at: number): Ident => valueOf(at, column.name)
  const has = (at: number): Sql => sql`${value(at)} is not null`
  switch (prefer.kind) {
    case 'first':
    case 'agree':
      return givers.map(at => ({ at, when: has(at) }))
    case 'latest':
      return greatest(at => sql`${valueOf(at, prefer.by)}`)
    case 'longest':
      return greatest(at => sql`length(${asText(value(at))})`)
  }

  function greatest(measure: (at: number) => Sql): readonly { readonly at: number; readonly when: Sql }[] {
    // greatest() passes over NULL: a value without a time loses against one that has it.
    const best = sql`greatest(${joinSql(givers.map(at => sql`case when ${has(at)} then ${measure(at)} end`))})`
    return givers.map(at => ({ at, when: sql`${has(at)} and ${measure(at)} is not distinct from ${best}` }))
  }
}

/** The value that survives. */
export function survivor(survival: Survival): Sql {
  const [only, ...more] = survival.givers
  const { name } = survival.column
  if (only === undefined) return sql`${valueOf(0, name)}`
  if (more.length === 0) return sql`${valueOf(only, name)}`
  const whens = wins(survival).map(({ at, when }) => sql`when ${when} then ${valueOf(at, name)}`)
  const value = sql`case ${joinSql(whens, ' ')} end`
  return survival.prefer.kind === 'agree' ? sql`case when not ${disagree(survival)} then ${value} end` : value
}

/** The name of the contributor whose value survives; NULL where they had to agree and did not. */
export function winner(it: Integration, survival: Survival): Sql {
  if (survival.prefer.kind === 'agree') return sql`cast(${null} as varchar)`
  const name = (at: number): string => it.entity.contributions[at]?.as ?? ''
  const whens = wins(survival).map(({ at, when }) => sql`when ${when} then ${name(at)}`)
  return sql`case ${joinSql(whens, ' ')} end`
}

/** The rule as people read it. */
export function ruleText(it: Integration, { prefer, givers }: Survival): string {
  switch (prefer.kind) {
    case 'first':
      return `first of ${givers.map(at => it.entity.contributions[at]?.as).join(', ')}`
    case 'latest':
      return `latest ${prefer.by}`
    case 'longest':
      return 'longest'
    case 'agree':
      return prefer.otherwise === 'null' ? 'agree, otherwise NULL' : 'agree, otherwise held'
  }
}
