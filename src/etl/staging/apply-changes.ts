import { changeOp } from '../../core/change-slice.ts'
import { fail } from '../../core/errors.ts'
import { ident, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { changedBy, ROWS_HANDED_ON, rowsChanged, type ChangeSet, type StageContext } from '../../run/context.ts'
import { countOps, rowsDiffer } from '../../run/differences.ts'
import { columnList, equalKeys, stagedColumns, stagedName } from '../../run/tables.ts'
import { cutChanges } from './change-cuts.ts'
import { fillUnchanged } from './change-fill.ts'

/** Changes of one table in the order of `_line`, waiting in a table of `openChanges`. */
export interface StagedChanges {
  /** Marks the versions that the changes make, and those that they end. */
  readonly load: bigint
  readonly table: SourceTableDef
  /** The table of `openChanges` that holds them. */
  readonly changes: Ident
  /** The rows that they are applied to. */
  readonly image: Ident
  /**
   * Where replaced versions go. `null` for rows that nobody has seen yet: a chunk may have been read later than a change
   * was made, so that versions come again, and no history can be told of them.
   */
  readonly past: Ident | null
  /** Staged columns that have an unchanged value in at least one change. */
  readonly unchanged: readonly string[]
  /** At least one row got another key. */
  readonly moves: boolean
  /** At least one change empties the table. */
  readonly truncates: boolean
}

export interface AppliedChanges {
  readonly changes: ChangeSet
  /** Changes whose unchanged values are those of a row that is not here: rejected where there is a `past`. */
  readonly incomplete: number
}

/** Temporary tables of a stretch of changes that is applied at once. */
interface Stretch {
  /** The changes with every value that they could be given. */
  readonly changes: Ident
  /** First and last change of each key. */
  readonly heads: Ident
  /** The rows of those keys before. */
  readonly before: Ident
  /** A key has more than one change. */
  readonly isRepeated: boolean
}

/**
 * Makes changes part of an image: the last state of each key wins, and with `past` every version that came between is
 * kept there, so that image and past stay the change log. Gives the net changes: a key that ends as it began goes no
 * further. Deletes of keys that are not there and inserts of keys that are, are absorbed. Throws `KEY_NOT_UNIQUE` for a
 * change without a key.
 *
 * The rows of the keys are taken and written again, never MERGE. Values that the source did not send, keys that move and a truncate take the
 * slower way that the flags ask for, without a look at the rows.
 */
export async function applyChanges(ctx: StageContext, given: StagedChanges): Promise<AppliedChanges> {
  const applied = given.moves || given.truncates ? await applyInStretches(ctx, given) : await applyAtOnce(ctx, given)
  ctx.env.crash('staging.apply.after')
  return applied
}

async function applyAtOnce(ctx: StageContext, given: StagedChanges): Promise<AppliedChanges> {
  const { changes, incomplete } = await fillUnchanged(ctx, given, null)
  const stretch = await findHeads(ctx, given, changes)
  await replaceVersions(ctx, given, stretch)
  const { heads, before } = stretch
  const { key } = given.table
  const last = ident('c', '_op')
  const isThere = sql`${ident('b', key[0] as string)} is not null`
  const net = await writeNet(
    ctx,
    given,
    sql`
    select ${columnList(key, 'h')}, h."_last", case
        when ${last} = ${changeOp.delete} then case when ${isThere} then 'd' end
        when not ${isThere} then 'i' when ${differs(given, 'b', 'c')} then 'u' end as "_op"
    from ${heads} h join ${changes} c on c."_line" = h."_last" left join ${before} b on ${equalKeys('h', 'b', key)}`,
  )
  return { changes: await withRows(ctx, given, stretch, net), incomplete }
}

/** Puts the last rows of the changed keys aside, so that no later stage looks for them in a large image. */
async function withRows(
  { tx }: StageContext,
  { table, load }: StagedChanges,
  { changes }: Stretch,
  net: ChangeSet,
): Promise<ChangeSet> {
  const changed = rowsChanged(net)
  if (net.keys === null || changed > ROWS_HANDED_ON) return net
  const rows = ident('temp', `rows_${stagedName(table)}`)
  const data = columnList(
    stagedColumns(table).map(column => column.name),
    'c',
  )
  await tx.replaceTemp(
    rows,
    sql`select ${data}, cast(${load} as bigint) as "_load", 0 as "_unit", c."_line"
      from ${changes} c join ${net.keys} k on c."_line" = k."_last" where k."_op" <> 'd'`,
  )
  return { ...net, rows }
}

/** Stretch by stretch: what the keys were before the first of them is remembered, and compared with the image at the end. */
async function applyInStretches(ctx: StageContext, given: StagedChanges): Promise<AppliedChanges> {
  const { tx } = ctx
  const { image, table } = given
  const { key } = table
  const name = stagedName(table)
  const touched = ident('temp', `touched_${name}`)
  const original = ident('temp', `origin_${name}`)
  await tx.replaceTemp(touched, sql`select ${columnList(key, 's')} from ${image} s where false`)
  await tx.replaceTemp(original, sql`select s.* from ${image} s where false`)
  const touch = async (keys: Ident, rows: Ident): Promise<void> => {
    const isNew = (alias: string): Sql =>
      sql`not exists (select 1 from ${touched} t where ${equalKeys('t', alias, key)})`
    await tx.execute(sql`insert into ${original} select b.* from ${rows} b where ${isNew('b')}`)
    await tx.execute(sql`insert into ${touched} select ${columnList(key, 'k')} from ${keys} k where ${isNew('k')}`)
  }
  let incomplete = 0
  for (const { within, isTruncate } of await cutChanges(tx, given)) {
    if (isTruncate) {
      await touch(image, image)
      await emptyImage(ctx, given)
      continue
    }
    const filled = await fillUnchanged(ctx, given, within)
    incomplete += filled.incomplete
    const stretch = await findHeads(ctx, given, filled.changes)
    await touch(stretch.heads, stretch.before)
    await replaceVersions(ctx, given, stretch)
  }
  const isThere = (alias: string): Sql => sql`${ident(alias, key[0] as string)} is not null`
  const net = await writeNet(
    ctx,
    given,
    sql`
    select ${columnList(key, 't')}, case
        when ${isThere('o')} and not ${isThere('s')} then 'd' when ${isThere('s')} and not ${isThere('o')} then 'i'
        when ${differs(given, 'o', 's')} then 'u' end as "_op"
    from ${touched} t left join ${original} o on ${equalKeys('t', 'o', key)}
      left join ${image} s on ${equalKeys('t', 's', key)}`,
  )
  return { changes: net, incomplete }
}

/** Finds the first and the last change of each key, and takes the rows that they replace out of the image. */
async function findHeads(ctx: StageContext, given: StagedChanges, changes: Ident): Promise<Stretch> {
  const { tx } = ctx
  const { table, image, load } = given
  const { key } = table
  const heads = ident('temp', `heads_${stagedName(table)}`)
  const before = ident('temp', `before_${stagedName(table)}`)
  await tx.replaceTemp(
    heads,
    sql`select ${columnList(key)}, min("_line") as "_first", max("_line") as "_last", count(*) as "_n"
      from ${changes} group by ${columnList(key)}`,
  )
  const isNull = key.map(part => sql`${ident(part)} is null`).reduce((a, b) => sql`${a} or ${b}`)
  const [row] = await tx.rows(sql`
    select coalesce(max("_n"), 0) as most, coalesce(sum("_n") filter (where ${isNull}), 0) as missing from ${heads}`)
  const missing = Number(row?.['missing'])
  if (missing > 0) {
    const name = `${table.source}.${table.name}`
    throw fail('KEY_NOT_UNIQUE', { table: name, load, key: key.join(', '), repeated: 0, missing })
  }
  await tx.takeRows({ table: image, keys: heads, key, into: before })
  return { changes, heads, before, isRepeated: Number(row?.['most']) > 1 }
}

async function replaceVersions(ctx: StageContext, given: StagedChanges, stretch: Stretch): Promise<void> {
  const { tx } = ctx
  const { image, past, load, table } = given
  const { changes, heads, before, isRepeated } = stretch
  const { key } = table
  const data = stagedColumns(table).map(column => column.name)
  const all = columnList([...data, '_load', '_unit', '_line'])
  const mark = (alias: string): Sql => sql`${load}, 0, ${ident(alias, '_line')}`
  const ended = (op: Sql): Sql => sql`case when ${op} = ${changeOp.delete} then 'd' else 'u' end`
  if (past !== null) {
    await tx.execute(sql`
      insert into ${past} (${all}, "_until", "_op")
      select ${columnList([...data, '_load', '_unit', '_line'], 'b')}, ${load}, ${ended(sql`c."_op"`)}
      from ${before} b join ${heads} h on ${equalKeys('b', 'h', key)} join ${changes} c on c."_line" = h."_first"`)
  }
  if (past !== null && isRepeated) {
    await tx.execute(sql`
      insert into ${past} (${all}, "_until", "_op")
      select ${columnList(data, 'v')}, ${mark('v')}, ${load}, ${ended(sql`v."_next"`)}
      from (select c.*, lead("_op") over (partition by ${columnList(key)} order by "_line") as "_next"
        from ${changes} c) v
      where v."_next" is not null and v."_op" <> ${changeOp.delete}`)
  }
  await tx.execute(sql`
    insert into ${image} (${all}) select ${columnList(data, 'c')}, ${mark('c')}
    from ${changes} c join ${heads} h on c."_line" = h."_last" where c."_op" <> ${changeOp.delete}`)
}

async function emptyImage({ tx }: StageContext, { image, past, load, table }: StagedChanges): Promise<void> {
  const names = [...stagedColumns(table).map(column => column.name), '_load', '_unit', '_line']
  if (past !== null) {
    await tx.execute(sql`
      insert into ${past} (${columnList(names)}, "_until", "_op") select ${columnList(names)}, ${load}, 'd' from ${image}`)
  }
  await tx.execute(sql`delete from ${image}`)
}

function differs({ table }: StagedChanges, a: string, b: string): Sql {
  const values = stagedColumns(table).map(column => column.name)
  return rowsDiffer(
    a,
    b,
    values.filter(name => !table.key.includes(name)),
  )
}

async function writeNet({ tx }: StageContext, { table, image }: StagedChanges, query: Sql): Promise<ChangeSet> {
  const keys = ident('temp', `staging_${stagedName(table)}`)
  await tx.replaceTemp(keys, sql`select * from (${query}) o where "_op" is not null`)
  return changedBy(image, keys, await countOps(tx, keys))
}
