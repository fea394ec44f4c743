import { sql, type Sql } from '../../../../core/sql.ts'

const SEPARATOR = '\u001f'

/**
 * The columns of a table `c` of `pg_class` that its replica identity holds by an index, as one text for `columnsHeld`. The server
 * does not take a deferrable primary key for one. A full identity and none have no index.
 */
export const identityColumns: Sql = sql`(
  select string_agg(a.attname, ${SEPARATOR} order by a.attnum)
  from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey::int2[])
  where i.indrelid = c.oid
    and case c.relreplident when 'd' then i.indisprimary and i.indimmediate when 'i' then i.indisreplident else false end)`

export function columnsHeld(text: string | null | undefined): readonly string[] {
  return text?.split(SEPARATOR) ?? []
}
