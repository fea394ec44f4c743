import { asText, toJson } from '../../core/dialect-functions.ts'
import { changeOp } from '../../core/change-slice.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { StageContext } from '../../run/context.ts'
import { columnList, equalKeys, stagedColumns, stagedName } from '../../run/tables.ts'
import type { StagedChanges } from './apply-changes.ts'
import { equalOldKey, movesOf } from './change-cuts.ts'

/** Changes with every value, and how many could not be made whole. */
interface Filled {
  readonly changes: Ident
  readonly incomplete: number
}

/**
 * Gives changes the values that the source did not send: those of the change of the same key before it, of the image, or
 * for a key that moved those of the row under its old key. `within` is a condition on the changes (alias `c`).
 */
export async function fillUnchanged(ctx: StageContext, given: StagedChanges, within: Sql | null): Promise<Filled> {
  const { tx } = ctx
  const { table, changes, unchanged } = given
  if (unchanged.length === 0 && within === null) return { changes, incomplete: 0 }
  const filled = ident('temp', `filled_${stagedName(table)}`)
  if (unchanged.length === 0) {
    await tx.replaceTemp(filled, sql`select c.* from ${changes} c where ${within as Sql}`)
    return { changes: filled, incomplete: 0 }
  }
  await tx.replaceTemp(filled, withValues(given, withBases(given, within ?? sql`true`)))
  const [row] = await tx.rows(sql`select count(*) as n from ${filled} where "_incomplete"`)
  const incomplete = Number(row?.['n'])
  if (incomplete > 0) await setAside(ctx, given, filled)
  return { changes: filled, incomplete }
}

/** Names of the helping columns of the `i`th column that has unchanged values. */
const open = (i: number): string => `_open_${i}`
const base = (i: number): string => `_base_${i}`

/**
 * The changes beside the image rows that their open values may come from. Values of a moved row are taken here; those of
 * an update stay open (`_open_i`), with the image's value as `_base_i`. `_void`: nothing can build on this change.
 */
function withBases(given: StagedChanges, within: Sql): Sql {
  const { table, changes, image, moves, unchanged } = given
  const columns = stagedColumns(table).map(column => column.name)
  const first = table.key[0] as string
  const isMove = sql`c."_op" = ${changeOp.move}`
  const isOpen = (name: string): Sql =>
    sql`coalesce(substr(c."_unchanged", ${columns.indexOf(name) + 1}, 1) = '1', false)`
  // A chunk that was read after the move has the row under its new key only.
  const moved = (name: string): Sql =>
    sql`case when ${ident('o', first)} is not null then ${ident('o', name)} else ${ident('s', name)} end`
  const values = columns.map(name => {
    if (!moves || !unchanged.includes(name)) return ident('c', name)
    return sql`case when ${isMove} and ${isOpen(name)} then ${moved(name)} else ${ident('c', name)} end as ${ident(name)}`
  })
  const helpers = unchanged.flatMap((name, i) => [
    sql`(${isOpen(name)} and not (${isMove})) as ${ident(open(i))}`,
    sql`${ident('s', name)} as ${ident(base(i))}`,
  ])
  const isLost = moves
    ? sql`(${isMove} and c."_unchanged" is not null and ${ident('o', first)} is null and ${ident('s', first)} is null)`
    : sql`false`
  const old = moves
    ? sql`left join ${movesOf(table)} m on m."_line" = c."_line" left join ${image} o on ${equalOldKey(table, 'm', 'o')}`
    : sql``
  return sql`
    select ${joinSql(values)}, c."_op", c."_line", ${joinSql(helpers)}, ${isLost} as "_lost",
      (c."_op" = ${changeOp.delete} or ${isLost}) as "_void", ${ident('s', first)} is not null as "_here"
    from ${changes} c left join ${image} s on ${equalKeys('c', 's', table.key)} ${old}
    where ${within}`
}

/** Open values are those of the last change of the key that has one, or of the image when none of this stretch has. */
function withValues({ table, unchanged }: StagedChanges, bases: Sql): Sql {
  const columns = stagedColumns(table).map(column => column.name)
  const key = columnList(table.key)
  const group = (i: number): Ident => ident(`_group_${i}`)
  const groups = unchanged.map(
    (_, i) =>
      sql`sum(case when ${ident(open(i))} then 0 else 1 end) over (partition by ${key} order by "_line") as ${group(i)}`,
  )
  const from = (i: number, value: Ident): Sql =>
    sql`first_value(${value}) over (partition by ${key}, ${group(i)} order by "_line")`
  const values = columns.map(name => {
    const i = unchanged.indexOf(name)
    if (i < 0) return ident(name)
    return sql`case when not ${ident(open(i))} then ${ident(name)} when ${group(i)} = 0 then ${ident(base(i))}
      else ${from(i, ident(name))} end as ${ident(name)}`
  })
  const isLost = unchanged.map(
    (_, i) =>
      sql`(${ident(open(i))} and case when ${group(i)} = 0 then not "_here" else ${from(i, ident('_void'))} end)`,
  )
  return sql`
    select ${joinSql(values)}, "_op", "_line", ("_lost" or ${joinSql(isLost, ' or ')}) as "_incomplete"
    from (select b.*, ${joinSql(groups)} from (${bases}) b) g`
}

/**
 * Takes incomplete changes out. While nobody sees the rows it means that a chunk was read when the row was gone already,
 * and the change that takes it away is still to come; afterwards it is a loss, and a reject says which row.
 */
async function setAside({ tx }: StageContext, given: StagedChanges, filled: Ident): Promise<void> {
  const { table, load, past } = given
  if (past !== null) {
    const isPersonal = table.columns.some(column => column.personal && table.key.includes(column.name))
    const key = isPersonal ? sql`'***'` : keyJson(table.key)
    const detail =
      'the source sent only what changed of this row, and the row is not here: it was rejected before, or never read'
    await tx.execute(sql`
      insert into naru.reject
      select ${load}, 0, ${table.source}, ${table.name}, 'CHANGE_INCOMPLETE', ${detail}, ${key}, ${null}, "_line", 0, ''
      from ${filled} where "_incomplete"`)
  }
  await tx.execute(sql`delete from ${filled} where "_incomplete"`)
}

/** The key as rejects have it: a JSON object of texts. */
function keyJson(key: readonly string[]): Sql {
  const parts = key.map(part => sql`${`${JSON.stringify(part)}:`} || ${toJson(asText(ident(part)))}`)
  return sql`'{' || ${joinSql(parts, " || ',' || ")} || '}'`
}
