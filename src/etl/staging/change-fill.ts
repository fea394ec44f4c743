import { asText, jsonField, toJson } from '../../core/dialect-functions.ts'
import { changeOp } from '../../core/change-slice.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { SourceTableDef } from '../../config/model.ts'
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
  const rejects = await rejectsBefore(ctx, given)
  await tx.replaceTemp(filled, withValues(given, withBases(given, within ?? sql`true`, rejects)))
  const [row] = await tx.rows(sql`select count(*) as n from ${filled} where "_incomplete" or "_stale"`)
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
function withBases(given: StagedChanges, within: Sql, rejects: boolean): Sql {
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
  const ofMove = moves ? sql` or (${isMove} and ${standsOnRejected(given, 'o', 'o')})` : sql``
  const isStale = rejects
    ? sql`(c."_unchanged" is not null and (${standsOnRejected(given, 's', 'c')}${ofMove}))`
    : sql`false`
  const old = moves
    ? sql`left join ${movesOf(table)} m on m."_line" = c."_line" left join ${image} o on ${equalOldKey(table, 'm', 'o')}`
    : sql``
  return sql`
    select ${joinSql(values)}, c."_op", c."_line", ${joinSql(helpers)}, ${isLost} as "_lost",
      (c."_op" = ${changeOp.delete} or ${isLost}) as "_void", ${isStale} as "_stale", ${ident('s', first)} is not null as "_here"
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
    select ${joinSql(values)}, "_op", "_line", "_stale", ("_lost" or ${joinSql(isLost, ' or ')}) as "_incomplete"
    from (select b.*, ${joinSql(groups)} from (${bases}) b) g`
}

/** Types whose text is the same in the source's reject and in the engine. */
const sameText: ReadonlySet<ColumnDef['type']['kind']> = new Set(['int', 'text', 'enum', 'uuid'])

/**
 * True when changes of this table were rejected, so that values which the source does not send may be newer than ours. A
 * reject that does not say which row it is of makes none of them certain: that is told.
 */
async function rejectsBefore({ tx, emit, checked }: StageContext, { table, load }: StagedChanges): Promise<boolean> {
  const isHere = sql`source = ${table.source} and "table" = ${table.name}`
  const [row] = await tx.rows(sql`
    select count(*) as n, count(*) filter (where load = ${load} and unit = 0 and (row_key is null or row_key = '***')) as unnamed
    from naru.reject where ${isHere}`)
  if (Number(row?.['n']) === 0) return false
  const isNamed = keysOf(table).every(key => sameText.has(key.type.kind))
  const name = `${table.source}.${table.name}`
  const told = `uncertain ${name} ${load}`
  if ((Number(row?.['unnamed']) > 0 || !isNamed) && checked?.has(told) !== true) {
    checked?.add(told)
    const text = `${name}: changes were rejected that do not say which rows they are of, and the source sends only what changed: values of those rows may be old. naru resync ${name} reads them again`
    emit({ kind: 'note', level: 'warn', text, code: 'CHANGE_UNCERTAIN' })
  }
  return isNamed
}

function keysOf(table: SourceTableDef): readonly ColumnDef[] {
  return stagedColumns(table).filter(column => table.key.includes(column.name))
}

/**
 * The version that the change `c` builds on is older than a change of the row that was rejected: what the source does not
 * send of it may be another value by now. `row` is the alias of the image row, `of` that of the key. A complete change
 * after the rejected one makes the row certain again.
 */
function standsOnRejected(given: StagedChanges, row: 's' | 'o', of: 'c' | 'o'): Sql {
  const { table, changes, load } = given
  const first = ident(row, table.key[0] as string)
  const at = (name: string): Ident => ident(row, name)
  const isSame = keysOf(table).map(
    ({ name }) => sql`${jsonField(ident('r', 'row_key'), name)} = ${asText(ident(of, name))}`,
  )
  const isEarlier = sql`(r.load < ${load} or r.unit <> 0)`
  return sql`exists (
    select 1 from naru.reject r
    where r.source = ${table.source} and r."table" = ${table.name} and r.row_key like '{%' and ${joinSql(isSame, ' and ')}
      and (${isEarlier} or r.line < c."_line")
      and (${first} is null or r.load > ${at('_load')}
        or (r.load = ${at('_load')} and r.unit = 0 and (${at('_unit')} <> 0 or r.line > ${at('_line')})))
      and not exists (select 1 from ${changes} d where ${equalKeys('d', of, table.key)} and d."_unchanged" is null
        and d."_line" < c."_line" and (${isEarlier} or d."_line" > r.line)))`
}

/**
 * Takes out changes that cannot be made whole. Where the row is not here while nobody sees the rows, it means that a chunk was
 * read when the row was gone already, and the change that takes it away is still to come; otherwise it is a loss, and a
 * reject says which row.
 */
async function setAside({ tx }: StageContext, given: StagedChanges, filled: Ident): Promise<void> {
  const { table, load, past } = given
  const isPersonal = table.columns.some(column => column.personal && table.key.includes(column.name))
  const key = isPersonal ? sql`'***'` : keyJson(table.key)
  const missing =
    'the source sent only what changed of this row, and the row is not here: it was rejected before, or never read'
  const stale = `the source sent only what changed of this row, and an earlier change of it was rejected: the row stays as it was until naru resync ${table.source}.${table.name} reads it again`
  await tx.execute(sql`
    insert into naru.reject
    select ${load}, 0, ${table.source}, ${table.name}, 'CHANGE_INCOMPLETE', case when "_stale" then ${stale} else ${missing} end,
      ${key}, ${null}, "_line", 0, ''
    from ${filled} where "_stale" ${past === null ? sql`` : sql`or "_incomplete"`}`)
  await tx.execute(sql`delete from ${filled} where "_incomplete" or "_stale"`)
}

/** The key as rejects have it: a JSON object of texts. */
function keyJson(key: readonly string[]): Sql {
  const parts = key.map(part => sql`${`${JSON.stringify(part)}:`} || ${toJson(asText(ident(part)))}`)
  return sql`'{' || ${joinSql(parts, " || ',' || ")} || '}'`
}
