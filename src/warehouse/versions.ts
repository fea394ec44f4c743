import { timestampOf } from '../core/dialect-functions.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../core/sql.ts'
import { rowsDiffer } from '../run/differences.ts'
import { columnList, equalKeys } from '../run/tables.ts'
import { attributesOf, timeColumns, visibleColumns, type DimensionLayout } from './dimension-layout.ts'
import { exportedType, utcTimestamp } from './tables.ts'

/**
 * The history of a key is its list of versions, ordered by `_effective`, when each became true. The ranges follow from
 * that list, half-open and in UTC: a version is valid until the next one begins, or until its delete closed it. The
 * first is valid from ever, whatever its own time: a fact from before the first load still joins the member, and the
 * oldest that is known is the best that can be said.
 */

/**
 * What the export says of each touched key now, from `rows` where those of the touched keys are put aside: one row a key, `_present` false for one that is gone.
 * - A key that was closed and is back opens a new range: not before it was closed, since it was missing then (M69).
 *   Its row may state an older time; `_stated` keeps it, so that the same row is not taken for a late change next time.
 * - Without a `validFrom` column, arrival decides: a clock that went back does not make a change late.
 * - A late change, older than the newest version, does not overwrite type 1 attributes: the newer values stand.
 */
export function seenChanges(layout: DimensionLayout, rows: Ident | undefined): Sql {
  const asOf = runTime(layout)
  const now = layout.type2.concat(layout.carried).map(name => sql`${ident('_exported', name)} as ${ident(name)}`)
  const late = sql`"_exported"."_stated" is not null and coalesce(p."_effective" < "_newest"."_effective", false)`
  const unlessLate = layout.type1.map(
    name =>
      sql`case when ${late} then ${ident('_newest', name)} else ${ident('_exported', name)} end as ${ident(name)}`,
  )
  const arrival = layout.definition.validFrom === null
  return sql`
    with "_exported" as (
      select ${columnList([...layout.key, ...attributesOf(layout)])}, ${statedTime(layout)} as "_stated"
      from ${rows ?? layout.source}),
    "_newest" as (
      select * from (
        select v.*, v.is_deleted and v.valid_to < 'infinity' as "_closed",
          row_number() over (partition by ${columnList(layout.key, 'v')} order by v."_effective" desc) as "_nth"
        from ${layout.table} v join ${layout.temp('touched')} t on ${equalKeys('v', 't', layout.key)}) v
      where "_nth" = 1),
    timed as (
      select t.*,
        case when "_newest"."_closed" and "_exported"."_stated" < "_newest".valid_to then greatest(${asOf}, "_newest".valid_to)
          when "_exported"."_stated" >= "_newest"."_stated" and "_exported"."_stated" < "_newest"."_effective"
            then "_newest"."_effective"
          ${arrival ? sql`when "_newest"."_effective" > ${asOf} then "_newest"."_effective"` : sql``}
          else "_exported"."_stated" end as "_effective"
      from ${layout.temp('touched')} t
      left join "_exported" on ${equalKeys('t', '_exported', layout.key)}
      left join "_newest" on ${equalKeys('t', '_newest', layout.key)})
    select ${columnList(layout.key, 'p')}, ${list([...now, ...unlessLate])} "_exported"."_stated" is not null as "_present",
      coalesce("_newest"."_closed", false) as "_closed", p."_effective", "_exported"."_stated"
    from timed p
    left join "_exported" on ${equalKeys('p', '_exported', layout.key)}
    left join "_newest" on ${equalKeys('p', '_newest', layout.key)}`
}

/** The versions that each touched key should have now, with their ranges. New ones have no surrogate key yet. */
export function nextVersions(layout: DimensionLayout): Sql {
  const perKey = sql`partition by ${columnList(layout.key)} order by "_effective"`
  const data = columnList([layout.surrogate, ...layout.key, ...attributesOf(layout), ...timeColumns])
  const flagged = layout.definition.onDelete === 'flag' ? sql`not "_present"` : sql`not "_present" and "_flagged"`
  return sql`
    with versions as (${keptVersions(layout)} union all ${openedVersions(layout)}),
    ordered as (
      select *, row_number() over w = 1 as "_first", lead("_effective") over w is null as "_last",
        coalesce(lead("_effective") over w, 'infinity') as "_until"
      from versions window w as (${perKey})),
    ended as (
      select *, case when "_ending" and "_last" then least(${runTime(layout)}, "_closed_at") else "_closed_at" end
        as "_end"
      from ordered)
    select ${data},
      case when "_first" then timestamp '-infinity' else "_effective" end as valid_from,
      least("_until", "_end") as valid_to,
      "_last" and "_end" = 'infinity' as is_current,
      ("_end" < 'infinity' and "_end" <= "_until") or ("_last" and ${flagged}) as is_deleted
    from ended`
}

/**
 * What is different from the table: `_op` i, u or d. `_moved` tells that facts may join another version, `_relabelled`
 * that the attributes of an existing version changed.
 */
export function changedVersions(layout: DimensionLayout): Sql {
  const columns = [layout.surrogate, ...visibleColumns(layout), ...timeColumns]
  const surrogate = [layout.surrogate]
  return sql`
    select ${columnList(columns, 'n')}, 'i' as "_op", true as "_moved", false as "_relabelled"
    from ${layout.temp('next')} n where ${ident('n', layout.surrogate)} is null
    union all
    select ${columnList(columns, 'n')}, 'u', ${rowsDiffer('n', 'v', ['valid_from', 'valid_to'])},
      ${rowsDiffer('n', 'v', attributesOf(layout))}
    from ${layout.temp('next')} n join ${layout.table} v on ${equalKeys('n', 'v', surrogate)}
    where ${rowsDiffer('n', 'v', [...visibleColumns(layout), ...timeColumns])}
    union all
    select ${columnList(columns, 'v')}, 'd', true, false
    from ${layout.table} v join ${layout.temp('touched')} t on ${equalKeys('v', 't', layout.key)}
    where not exists (
      select 1 from ${layout.temp('next')} n where ${equalKeys('n', 'v', surrogate)})`
}

/**
 * The versions that stay. Type 1 values are overwritten; a change with the same time as a version replaces its values in
 * place, so no range is empty. A delete takes out versions that were still to begin, for they never will.
 */
function keptVersions(layout: DimensionLayout): Sql {
  const asOf = runTime(layout)
  const ending = layout.definition.onDelete === 'close' ? sql`not s."_present" and not s."_closed"` : sql`false`
  const from = (condition: Sql) => (name: string) =>
    sql`case when ${condition} then ${ident('s', name)} else ${ident('v', name)} end as ${ident(name)}`
  const sameTime = from(sql`s."_present" and s."_effective" = v."_effective"`)
  const values = [
    ...layout.type2.map(sameTime),
    ...layout.type1.map(from(sql`s."_present"`)),
    ...layout.carried.map(sameTime),
  ]
  return sql`
    select ${columnList([layout.surrogate, ...layout.key], 'v')}, ${list(values)}
      case when ${ending} and v."_effective" >= ${asOf} then timestamp '-infinity' else v."_effective" end
        as "_effective",
      ${sameTime('_stated')},
      ${closedAt('v')} as "_closed_at",
      v.is_deleted and v.valid_to = 'infinity' as "_flagged", ${ending} as "_ending", s."_present" as "_present"
    from ${layout.table} v join ${layout.temp('seen')} s on ${equalKeys('v', 's', layout.key)}
    where not (${ending} and v."_effective" >= ${asOf} and v.valid_from > '-infinity')`
}

/**
 * The versions that changes open: where no version has the same time, and the one that is valid then has other type 2
 * values. M65: inside an existing range the new version takes over its end, also when that end is a delete.
 */
function openedVersions(layout: DimensionLayout): Sql {
  const key = layout.key
  return sql`
    select cast(null as bigint), ${columnList(key, 's')}, ${list(attributesOf(layout).map(name => ident('s', name)))}
      s."_effective", s."_stated", coalesce(${closedAt('v')}, 'infinity'), false, false, true
    from ${layout.temp('seen')} s
    left join ${layout.table} v on ${equalKeys('s', 'v', key)}
      and s."_effective" >= v.valid_from and s."_effective" < v.valid_to
    where s."_present"
      and (${ident('v', layout.surrogate)} is null or ${rowsDiffer('s', 'v', layout.type2)})
      and not exists (
        select 1 from ${layout.table} o where ${equalKeys('o', 's', key)} and o."_effective" = s."_effective")`
}

function closedAt(alias: string): Sql {
  const valid = (column: string): Sql => sql`${ident(alias, column)}`
  return sql`case when ${valid('is_deleted')} and ${valid('valid_to')} < 'infinity'
    then ${valid('valid_to')} else timestamp 'infinity' end`
}

/** When the exported row says that it became true; without such a column or value, when the run saw it. */
function statedTime(layout: DimensionLayout): Sql {
  const { validFrom } = layout.definition
  const asOf = runTime(layout)
  if (validFrom === null) return asOf
  const stated = utcTimestamp(ident(validFrom), exportedType(layout.exportDef, validFrom))
  return sql`case when isfinite(${stated}) then ${stated} else ${asOf} end`
}

function runTime(layout: DimensionLayout): Sql {
  return timestampOf(sql`${layout.asOfMicros}`)
}

/** A list with a comma after its last piece, so that an empty one leaves nothing. */
function list(pieces: readonly (Sql | ReturnType<typeof ident>)[]): Sql {
  return pieces.length === 0 ? sql`` : sql`${joinSql(pieces)},`
}
