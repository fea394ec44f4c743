import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../core/sql.ts'
import { holdsStill, type StageContext } from '../run/context.ts'
import { dimensionTable, ensureTable, type CalendarDef, type TableColumn } from './tables.ts'

export interface CalendarInput {
  readonly definition: CalendarDef
}

/** A day, and what reports group by. Weeks are ISO weeks, weekday 1 is Monday. */
const days: readonly (TableColumn & { readonly of: Sql })[] = [
  { name: 'date_key', type: 'integer', of: dateKey(sql`day`) },
  { name: 'date', type: 'date', of: sql`day` },
  { name: 'year', type: 'integer', of: part('year') },
  { name: 'quarter', type: 'integer', of: part('quarter') },
  { name: 'month', type: 'varchar', of: sql`substr(cast(day as varchar), 1, 7)` },
  { name: 'month_number', type: 'integer', of: part('month') },
  { name: 'day', type: 'integer', of: part('day') },
  { name: 'week', type: 'integer', of: part('week') },
  { name: 'week_year', type: 'integer', of: part('isoyear') },
  { name: 'weekday', type: 'integer', of: part('isodow') },
  {
    name: 'weekday_name',
    type: 'varchar',
    of: sql`case ${part('isodow')} when 1 then 'Monday' when 2 then 'Tuesday' when 3 then 'Wednesday'
      when 4 then 'Thursday' when 5 then 'Friday' when 6 then 'Saturday' else 'Sunday' end`,
  },
  { name: 'is_weekend', type: 'boolean', of: sql`${part('isodow')} >= 6` },
]

function part(field: string): Sql {
  return sql`cast(extract(${rawSql(field)} from day) as integer)`
}

/** Makes the table of a calendar with its unknown day. Loading a fact fills it, year by year. */
export async function createCalendar(ctx: StageContext, { definition }: CalendarInput): Promise<void> {
  const table = dimensionTable(definition.name)
  await holdsStill(ctx, `calendar ${definition.name}`, async () => {
    const made = await ensureTable(ctx.tx, table, [...days, { name: '_run', type: 'bigint' }])
    if (made === 'created') await ctx.tx.execute(sql`insert into ${table} (date_key, "_run") values (0, ${ctx.run.id})`)
    return made === 'kept'
  })
}

/**
 * Adds the years that date keys in `column` of `facts` fall into and the calendar does not have. Whole years, so that a
 * month without facts is there to report; only years that occur, so that a date like 9999-12-31 adds one, not 8,000.
 */
export async function growCalendar(
  ctx: StageContext,
  calendar: CalendarInput,
  facts: { readonly table: Ident; readonly column: string },
): Promise<void> {
  const table = dimensionTable(calendar.definition.name)
  await ctx.tx.execute(sql`
    insert into ${table} (${joinSql(days.map(({ name }) => ident(name)))}, "_run")
    select ${joinSql(days.map(({ of }) => of))}, ${ctx.run.id}
    from (
      select make_date(y, 1, 1) + cast(d.n as integer) as day
      from (
        select distinct cast(floor(${ident(facts.column)} / 10000) as integer) as y
        from ${facts.table} where ${ident(facts.column)} <> 0
        except select year from ${table}) years
      join generate_series(0, 365) as d(n) on make_date(y, 1, 1) + cast(d.n as integer) <= make_date(y, 12, 31)) days`)
}

/** `yyyymmdd` of a date; 0, the unknown day, for NULL, infinity and years outside 1 to 9999. */
export function dateKey(date: Sql): Sql {
  const of = (field: string): Sql => sql`extract(${rawSql(field)} from ${date})`
  return sql`case when ${of('year')} between 1 and 9999
    then cast(${of('year')} * 10000 + ${of('month')} * 100 + ${of('day')} as integer) else 0 end`
}
