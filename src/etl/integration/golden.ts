import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { ContributionDef, EntityDef } from '../../config/model.ts'
import type { ChangeSet, StageContext } from '../../run/context.ts'
import { keyText } from '../../run/keys.ts'
import { cleansedTable } from '../../run/mapping.ts'
import { columnList, equalKeys } from '../../run/tables.ts'

/** One contribution of an entity and what changed in its cleansed table. */
export interface Contributed {
  readonly contribution: ContributionDef
  readonly changes: ChangeSet
}

/** What the parts of integration know about one entity. */
export interface Integration {
  readonly entity: EntityDef
  /** `ods.<entity>` */
  readonly target: Ident
  /** Contributions that give the key, and those that are found by likeness. */
  readonly keyed: readonly Contributed[]
  readonly matched: readonly Contributed[]
  /** Everything is computed again, not only what the change sets touch. */
  readonly full: boolean
  /** A temporary table of this entity. */
  readonly temp: (what: string) => Ident
}

export function cleansedOf(it: Integration, from: Contributed): Ident {
  return cleansedTable(it.entity, from.contribution)
}

/** The text of the entity's key in relation `alias`, as the crosswalk has it. */
export function goldenKeyText(entity: EntityDef, alias: string): Sql {
  return keyText(entity.key.map(name => sql`${ident(alias, name)}`))
}

/** The text of an identity's key in relation `alias`: its mapped values in the order of the map. */
export function identityKeyText(contribution: ContributionDef, alias: string): Sql {
  return keyText(contribution.map.map(m => sql`${ident(alias, `_k_${m.column}`)}`))
}

/** Every key that a contribution gives. */
export function allKeys(it: Integration): Sql {
  const key = columnList(it.entity.key)
  return joinSql(
    it.keyed.map(from => sql`select ${key} from ${cleansedOf(it, from)}`),
    ' union ',
  )
}

/**
 * The golden records as identities meet them: of each column the first value in order of contribution. What identities
 * add is left out, so that a match never rests on itself, and every order of runs comes to the same matches.
 */
export function goldenBase(it: Integration, columns: readonly string[]): Sql {
  const { key } = it.entity
  const values = columns
    .filter(column => !key.includes(column))
    .map(column => {
      const given = it.keyed.map((_, at) => ident(`c${at}`, column))
      return sql`coalesce(${joinSql(given)}) as ${ident(column)}`
    })
  const joins = it.keyed.map(
    (from, at) => sql`left join ${cleansedOf(it, from)} ${ident(`c${at}`)} on ${equalKeys('k', `c${at}`, key)}`,
  )
  return sql`select ${joinSql([columnList(key, 'k'), ...values])} from (${allKeys(it)}) k ${joinSql(joins, ' ')}`
}

/** Makes one of the entity's temporary tables anew. */
export async function makeTemp(ctx: StageContext, table: Ident, query: Sql): Promise<Ident> {
  await ctx.tx.replaceTemp(table, query)
  return table
}

/** Names and types of a relation's columns, in order; none when there is no such relation. */
export async function columnsOf(
  ctx: StageContext,
  relation: Ident,
): Promise<readonly { readonly name: string; readonly type: string }[]> {
  return ctx.tx.columns(relation)
}
