import { fail } from '../../core/errors.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { MatchDef } from '../../config/model.ts'
import { changedBy, filled, rowsChanged, type ChangeSet, type StageContext } from '../../run/context.ts'
import { findDifferences, writeDifferences, type Comparison } from '../../run/differences.ts'
import { columnList, countRows, dropRelation, dropViewsOf, equalKeys } from '../../run/tables.ts'
import { writeConflicts } from './conflicts.ts'
import { updateKeyed, updateMatches } from './crosswalk.ts'
import { allKeys, goldenKeyText, identityKeyText, makeTemp, type Contributed, type Integration } from './golden.ts'
import { disagree, sideBySide, survivalOf, survivor } from './survivorship.ts'
import { isForm } from './view.ts'

/** Merges what several contributors give into golden records, for the keys that the change sets touch (M51). */
export async function mergeContributions(
  ctx: StageContext,
  asked: Integration,
): Promise<ChangeSet & { readonly crosswalkChanged: boolean }> {
  if (asked.keyed.length === 0) throw fail('ENTITY_WITHOUT_KEYS', { entity: asked.entity.name })
  const exists = await keepsItsForm(ctx, asked)
  const it = { ...asked, full: asked.full || !exists }
  const { keys, moved } = await touchedKeys(ctx, it)
  for (const from of it.keyed) await updateKeyed(ctx, it, from, it.full ? null : keys)
  const wide = await makeTemp(ctx, it.temp('wide'), sideBySide(it, keys))
  await makeTemp(ctx, it.temp('next'), goldenRows(it, exists))
  await writeConflicts(ctx, it, { wide, keys })
  const changes = await write(ctx, it, exists)
  for (const what of ['touched', 'wide', 'next']) await ctx.tx.execute(sql`drop table if exists ${it.temp(what)}`)
  return { ...changes, crosswalkChanged: moved }
}

/** Drops the golden records of another form: they were a view, or their columns are others now. */
async function keepsItsForm(ctx: StageContext, it: Integration): Promise<boolean> {
  if (await isForm(ctx, it.target, 'table', it.entity)) return true
  await dropViewsOf(ctx.tx, ctx.project, it.entity)
  await dropRelation(ctx.tx, it.target)
  return false
}

/**
 * The golden keys to integrate: those of changed rows that carry the key, those that changed identities belong to, and
 * those that a match moved away from or to.
 */
async function touchedKeys(ctx: StageContext, it: Integration): Promise<{ keys: Ident; moved: boolean }> {
  const { entity } = it
  const key = columnList(entity.key)
  const before = await makeTemp(
    ctx,
    it.temp('identity_keys'),
    sql`
    select golden_key from (${identityKeys(it)}) where golden_key is not null`,
  )
  let moved = false
  const changed: Ident[] = [before]
  for (const from of it.matched) {
    const update = await updateMatches(ctx, it, { ...from, match: from.contribution.match as MatchDef })
    moved ||= update.moved
    if (update.changed !== null) changed.push(update.changed)
  }
  const texts = joinSql(
    changed.map(table => sql`select golden_key from ${table}`),
    ' union ',
  )
  const direct = it.keyed.flatMap(({ changes }) =>
    changes.keys === null ? [] : [sql`select ${key} from ${changes.keys}`],
  )
  const touched = sql`select ${key} from (${allKeys(it)}) k where ${goldenKeyText(entity, 'k')} in (${texts})`
  // Keys by their text are looked for among all: only where an identity changed or moved.
  const byText = changed.length > 1 || it.matched.some(from => from.changes.keys !== null) || direct.length === 0
  const query = it.full ? allKeys(it) : joinSql([...(byText ? [touched] : []), ...direct], ' union ')
  return { keys: await makeTemp(ctx, it.temp('touched'), query), moved }
}

/** The golden keys that the changed identities belonged to before this run. */
function identityKeys(it: Integration): Sql {
  const selects = it.matched.flatMap(({ contribution, changes }) =>
    changes.keys === null
      ? []
      : [
          sql`select golden_key from naru.crosswalk x where entity = ${it.entity.name}
            and contributor = ${contribution.as}
            and source_key in (select ${identityKeyText(contribution, 'i')} from ${changes.keys} i)`,
        ],
  )
  return selects.length === 0 ? sql`select cast(${null} as varchar) as golden_key` : joinSql(selects, ' union all ')
}

/**
 * The golden records as they should be. Where contributors had to agree and did not, the record stays as it was, held;
 * a new record waits until they agree.
 */
function goldenRows(it: Integration, exists: boolean): Sql {
  const { entity } = it
  const survival = survivalOf(it)
  const columns = entity.columns.map(column => {
    const own = survival.find(s => s.column.name === column.name)
    return own === undefined ? sql`${ident(column.name)}` : sql`${survivor(own)} as ${ident(column.name)}`
  })
  const holding = survival.filter(s => s.prefer.kind === 'agree' && s.prefer.otherwise === 'quarantine')
  const wide = it.temp('wide')
  if (holding.length === 0) return sql`select ${joinSql(columns)}, "_held" from ${wide}`
  const held = joinSql(holding.map(disagree), ' or ')
  const settled = sql`select ${joinSql(columns)}, "_held" from ${wide} where not (${held})`
  if (!exists) return settled
  const kept = columnList(
    entity.columns.map(column => column.name),
    't',
  )
  return sql`${settled}
    union all
    select ${kept}, true from ${it.target} t
    join (select ${columnList(entity.key)} from ${wide} where ${held}) w on ${equalKeys('t', 'w', entity.key)}`
}

async function write(ctx: StageContext, it: Integration, exists: boolean): Promise<ChangeSet> {
  const { tx } = ctx
  const { target, entity } = it
  if (!exists) {
    const next = it.temp('next')
    await tx.execute(sql`create table ${target} as select *, cast(${ctx.run.id} as bigint) as "_run" from ${next}`)
    return filled(target, await countRows(tx, target))
  }
  const comparison: Comparison = {
    target,
    next: it.temp('next'),
    within: it.full ? null : it.temp('touched'),
    key: entity.key,
    columns: [...entity.columns.map(column => column.name), '_held'],
    into: it.temp('changes'),
    was: it.temp('was'),
  }
  const counts = await findDifferences(tx, comparison)
  if (rowsChanged(counts) > 0) await writeDifferences(tx, comparison, ctx.run.id)
  return changedBy(target, comparison.into, counts)
}

/** True when a change set speaks of something. */
export function hasChanges({ changes }: Contributed): boolean {
  return changes.scope === 'all' || changes.keys !== null
}
