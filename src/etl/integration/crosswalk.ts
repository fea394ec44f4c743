import { equalKeys } from '../../run/tables.ts'
import { asText, hashOfRow, wide } from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { MatchDef } from '../../config/model.ts'
import type { StageContext } from '../../run/context.ts'
import { keyText } from '../../run/keys.ts'
import {
  cleansedOf,
  columnsOf,
  goldenBase,
  goldenKeyText,
  identityKeyText,
  makeTemp,
  type Contributed,
  type Integration,
} from './golden.ts'
import { findMatches } from './match.ts'

/** What a crosswalk update did. `changed` is a temporary table of the golden keys (text) whose source rows changed. */
export interface CrosswalkUpdate {
  readonly moved: boolean
  readonly changed: Ident | null
}

/**
 * Matches the identities of a contributor again when a compared value changed on either side, and keeps the result.
 * All of them: a new record changes how rare its words are for every identity, and identities are few.
 */
export async function updateMatches(
  ctx: StageContext,
  it: Integration,
  from: Contributed & { readonly match: MatchDef },
): Promise<CrosswalkUpdate> {
  const temp = (what: string): Ident => it.temp(`${from.contribution.as}_${what}`)
  const { compare, support, threshold } = from.match
  const golden = goldenSide(it, unique([...compare.flatMap(c => c.against), ...support]))
  const identities = identitySide(it, from, unique([...compare.map(c => c.column), ...support]))
  const basis = await basisOf(ctx, from.match, [golden, identities])
  if (await isKnown(ctx, it, from, basis)) return { moved: false, changed: null }

  await makeTemp(ctx, temp('golden'), sql`select row_number() over (order by "_key") as _g, * from (${golden})`)
  await makeTemp(ctx, temp('identities'), sql`select row_number() over (order by "_key") as _i, * from (${identities})`)
  const columns = compare.map(c => ({ golden: c.against, identity: c.column }))
  const matches = await findMatches(ctx.tx, { columns, support, threshold, temp })
  const rows = sql`
    select i."_key" as source_key, g."_key" as golden_key, m.score, m.rule
    from ${matches} m join ${temp('identities')} i using (_i) left join ${temp('golden')} g using (_g)`
  const update = await writeCrosswalk(ctx, it, from, { rows, within: null })
  await rememberBasis(ctx, it, from, basis)
  for (const what of temporary) await ctx.tx.execute(sql`drop table if exists ${temp(what)}`)
  return update
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)]
}

/** The working tables of a matching, large for a large entity: they go as soon as it is done. */
const temporary = [
  'golden',
  'identities',
  'golden_text',
  'text',
  'golden_words',
  'words',
  'golden_vocabulary',
  'vocabulary',
  'alike',
  'weights',
  'golden_weights',
  'candidates',
  'hits',
  'scores',
  'matches',
]

/** The golden records as identities are compared with them: `_key` and text columns. */
function goldenSide(it: Integration, columns: readonly string[]): Sql {
  return sql`
    select ${goldenKeyText(it.entity, 'b')} as "_key", ${textColumns('b', columns)} from (${goldenBase(it, columns)}) b`
}

/** The identities likewise. One without any value is nobody. */
function identitySide(it: Integration, from: Contributed, columns: readonly string[]): Sql {
  const key = identityKeyText(from.contribution, 'c')
  return sql`select ${key} as "_key", ${textColumns('c', columns)} from ${cleansedOf(it, from)} c where ${key} is not null`
}

function textColumns(alias: string, columns: readonly string[]): Sql {
  return joinSql(columns.map(name => sql`${asText(ident(alias, name))} as ${ident(name)}`))
}

/** A fingerprint of everything that decides the matches, the settings included. */
async function basisOf(ctx: StageContext, match: MatchDef, sides: readonly Sql[]): Promise<string> {
  const sums = sides.map(
    side => sql`(select count(*) || ':' || coalesce(sum(${wide(hashOfRow(ident('s')))}), 0) from (${side}) s)`,
  )
  const [row] = await ctx.tx.rows(sql`
    select md5(${JSON.stringify(match)} || ':' || ${joinSql(sums, ` || ':' || `)}) as basis`)
  return row?.['basis'] as string
}

async function isKnown(ctx: StageContext, it: Integration, from: Contributed, basis: string): Promise<boolean> {
  const known = await ctx.tx.rows(
    sql`select 1 from naru.match_basis where ${ofContributor(it, from)} and basis = ${basis}`,
  )
  return known.length > 0
}

async function rememberBasis(ctx: StageContext, it: Integration, from: Contributed, basis: string): Promise<void> {
  await ctx.tx.execute(sql`delete from naru.match_basis where ${ofContributor(it, from)}`)
  await ctx.tx.execute(sql`
    insert into naru.match_basis values (${it.entity.name}, ${from.contribution.as}, ${basis}, ${ctx.run.id})`)
}

/** The rows of a contributor that gives the key: each source row and the golden record that its key names. */
export async function updateKeyed(
  ctx: StageContext,
  it: Integration,
  from: Contributed,
  touched: Ident | null,
): Promise<void> {
  const { entity } = it
  const among =
    touched === null ? sql`` : sql`where exists (select 1 from ${touched} t where ${equalKeys('t', 'c', entity.key)})`
  const rows = sql`
    select ${await sourceKeyText(ctx, it, from)} as source_key, ${goldenKeyText(entity, 'c')} as golden_key,
      cast(1 as double precision) as score, 'key' as rule
    from ${cleansedOf(it, from)} c ${among}`
  const within = touched === null ? null : sql`select ${goldenKeyText(entity, 't')} from ${touched} t`
  await writeCrosswalk(ctx, it, from, { rows, within })
}

/** A computed key has the key of the source beside it; a copied one is the source's own, in the source's order. */
async function sourceKeyText(ctx: StageContext, it: Integration, from: Contributed): Promise<Sql> {
  const columns = await columnsOf(ctx, cleansedOf(it, from))
  if (columns.some(column => column.name === '_source_key')) return sql`c."_source_key"`
  const { contribution } = from
  const table = ctx.project.sources
    .find(source => source.name === contribution.source)
    ?.tables.find(table => table.name === contribution.table)
  const inSourceOrder = (table?.key ?? []).flatMap(name =>
    contribution.map.filter(m => m.expr.kind === 'column' && m.expr.name === name && it.entity.key.includes(m.column)),
  )
  const key = inSourceOrder.length === it.entity.key.length ? inSourceOrder.map(m => m.column) : it.entity.key
  return keyText(key.map(name => sql`${ident('c', name)}`))
}

/** Makes the contributor's rows equal to `rows`; with `within`, only those of these golden keys. */
async function writeCrosswalk(
  ctx: StageContext,
  it: Integration,
  from: Contributed,
  next: { readonly rows: Sql; readonly within: Sql | null },
): Promise<CrosswalkUpdate> {
  const { tx } = ctx
  const temp = (what: string): Ident => it.temp(`${from.contribution.as}_crosswalk_${what}`)
  const own = ofContributor(it, from)
  const within = next.within === null ? sql`` : sql`and golden_key in (${next.within})`
  await makeTemp(ctx, temp('next'), next.rows)
  const differing = sql`
    select coalesce(n.source_key, c.source_key) as source_key, c.golden_key as old_key, n.golden_key as new_key
    from ${temp('next')} n
    full join (select * from naru.crosswalk where ${own} ${within}) c on n.source_key = c.source_key
    where n.source_key is null or c.source_key is null or n.golden_key is distinct from c.golden_key
      or n.score is distinct from c.score or n.rule <> c.rule`
  await makeTemp(ctx, temp('differing'), differing)
  const [row] = await tx.rows(sql`
    select count(*) as n, count(*) filter (where old_key is distinct from new_key) as moved from ${temp('differing')}`)
  if (Number(row?.['n']) === 0) return { moved: false, changed: null }
  await tx.execute(sql`
    delete from naru.crosswalk where ${own} and source_key in (select source_key from ${temp('differing')})`)
  await tx.execute(sql`
    insert into naru.crosswalk
    select ${it.entity.name}, ${from.contribution.as}, n.*, ${ctx.run.id} from ${temp('next')} n
    where n.source_key in (select source_key from ${temp('differing')})`)
  await tx.execute(sql`drop table ${temp('next')}`)
  const changed = sql`
    select old_key as golden_key from ${temp('differing')} where old_key is not null
    union select new_key from ${temp('differing')} where new_key is not null`
  return { moved: Number(row?.['moved']) > 0, changed: await makeTemp(ctx, temp('changed'), changed) }
}

/** Condition on the control tables of this stage. */
function ofContributor(it: Integration, from: Contributed): Sql {
  return sql`entity = ${it.entity.name} and contributor = ${from.contribution.as}`
}
