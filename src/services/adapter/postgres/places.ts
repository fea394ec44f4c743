import { fail } from '../../../core/errors.ts'
import { sql, type Sql } from '../../../core/sql.ts'
import type { PlaceRange } from '../contract.ts'
import type { CatalogTable } from './catalog.ts'
import type { Connection } from './connection.ts'

/**
 * A physical place: a page of one table or partition, written `page:schema:relation` with the names in URI encoding. The
 * page of an end may be left out: then it is the end of that table.
 */
interface Place {
  readonly page: number | null
  readonly schema: string
  readonly relation: string
}

function placeText({ page, schema, relation }: Place): string {
  return [page ?? '', encodeURIComponent(schema), encodeURIComponent(relation)].join(':')
}

function parsePlace(text: string): Place {
  const [page, schema, relation] = text.split(':')
  if (schema === undefined || relation === undefined || !/^\d*$/.test(page as string)) {
    throw fail('INTERNAL', { what: `"${text}" is no place of a table` })
  }
  return {
    page: page === '' ? null : Number(page),
    schema: decodeURIComponent(schema),
    relation: decodeURIComponent(relation),
  }
}

/** The table or partition that a range is in. */
export function placeOf({ from }: PlaceRange): Pick<Place, 'schema' | 'relation'> {
  return parsePlace(from ?? '')
}

/** The pages of a range: the server goes straight to them. */
export function isAtPlace({ from, to }: PlaceRange): Sql {
  const [first, end] = [parsePlace(from ?? '').page ?? 0, parsePlace(to ?? '').page]
  const isBefore = end === null ? sql`` : sql` and t.ctid < ${`(${end},0)`}::tid`
  return sql`t.ctid >= ${`(${first},0)`}::tid${isBefore}`
}

/** Rows on a page of a table that nobody has analysed yet. */
const ROWS_GUESSED = 60

/**
 * Cuts a table, and each partition of one, into ranges of pages. Empty where a part has no pages (a foreign table), or
 * may not be read by itself: rights are given on the whole.
 */
export async function rangesOf(
  connection: Connection,
  { oid }: CatalogTable,
  rows: number,
  signal: AbortSignal,
): Promise<readonly PlaceRange[]> {
  const parts = await connection.query(
    sql`
    with recursive part(oid) as (
      select ${oid}::oid
      union all select i.inhrelid from pg_inherits i join part on i.inhparent = part.oid)
    select n.nspname, c.relname, case when c.relkind in ('r', 'm') and has_table_privilege(c.oid, 'select')
        and not c.relrowsecurity then pg_relation_size(c.oid) / current_setting('block_size')::bigint end,
      case when c.reltuples > 0 and c.relpages > 0 then c.reltuples / c.relpages end
    from part join pg_class c on c.oid = part.oid join pg_namespace n on n.oid = c.relnamespace
    where c.relkind <> 'p'`,
    signal,
  )
  if (parts.some(([, , pages]) => pages == null)) return []
  return parts.flatMap(([schema, relation, pages, rowsOnPage]) => {
    const step = Math.max(1, Math.round(rows / Math.max(1, Number(rowsOnPage ?? ROWS_GUESSED))))
    return pageRanges({ schema: schema as string, relation: relation as string }, Number(pages), step)
  })
}

/** The last range is open: a page that was added since has no row of this view, but asking for it costs nothing. */
function pageRanges(part: Pick<Place, 'schema' | 'relation'>, pages: number, step: number): PlaceRange[] {
  const count = Math.max(1, Math.ceil(pages / step))
  return Array.from({ length: count }, (_, i) => ({
    from: placeText({ ...part, page: i * step }),
    to: placeText({ ...part, page: i === count - 1 ? null : (i + 1) * step }),
  }))
}

/** True where the server reads a range of pages without reading the others: since PostgreSQL 14. */
export function hasRanges(connection: Connection): boolean {
  return connection.version >= 140_000
}
