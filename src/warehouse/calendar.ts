import { ident, joinSql, sql, type Ident, type Sql } from '../core/sql.ts'
import type { StageContext } from '../run/context.ts'
import { dimensionTable, ensureTable, type CalendarDef, type TableColumn } from './tables.ts'

export interface CalendarInput {
  readonly definition: CalendarDef
}

/** A day, and what reports group by. Weeks are ISO weeks, weekday 1 is Monday. */
const days: readonly (TableColumn & { readonly of: Sql })[] = [
  { name: 'date_key', type: 'integer', of: dateKey(sql`day`) },
  { name: 'date', type: 'date', of: sql`day` },
  { name: 'year', type: 'integer', of: sql`year(day)` },
  { name: 'quarter', type: 'integer', of: sql`quarter(day)` },
  { name: 'month', type: 'varchar', of: sql`strftime(day, '%Y-%m')` },
  { name: 'month_number', type: 'integer', of: sql`month(day)` },
  { name: 'day', type: 'integer', of: sql`day(day)` },
  { name: 'week', type: 'integer', of: sql`week(day)` },
  { name: 'week_year', type: 'integer', of: sql`isoyear(day)` },
  { name: 'weekday', type: 'integer', of: sql`isodow(day)` },
  { name: 'weekday_name', type: 'varchar', of: sql`dayname(day)` },
  { name: 'is_weekend', type: 'boolean', of: sql`isodow(day) >= 6` },
]

/** Makes the table of a calendar with its unknown day. Loading a fact fills it, year by year. */
export async function createCalendar(ctx: StageContext, { definition }: CalendarInput): Promise<void> {
  const table = dimensionTable(definition.name)
  const made = await ensureTable(ctx.tx, table, [...days, { name: '_run', type: 'bigint' }])
  if (made === 'created') await ctx.tx.execute(sql`insert into ${table} (date_key, "_run") values (0, ${ctx.run.id})`)
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
      select cast(unnest(generate_series(make_date(y, 1, 1), make_date(y, 12, 31), interval 1 day)) as date) as day
      from (
        select distinct ${ident(facts.column)} // 10000 as y from ${facts.table} where ${ident(facts.column)} <> 0
        except select year from ${table}))`)
}

/** `yyyymmdd` of a date; 0, the unknown day, for NULL, infinity and years outside 1 to 9999. */
export function dateKey(date: Sql): Sql {
  return sql`case when year(${date}) between 1 and 9999
    then cast(year(${date}) * 10000 + month(${date}) * 100 + day(${date}) as integer) else 0 end`
}
