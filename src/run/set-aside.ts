import { asText, jsonField } from '../core/dialect-functions.ts'
import { ident, joinSql, sql, type Sql } from '../core/sql.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { Transaction } from '../services/engine/contract.ts'
import { rememberedTable } from './remembered-columns.ts'
import { streamTechnique } from './streams.ts'
import { stagingNames } from './tables.ts'

/** A row that was set aside at the interface and has not come since. Several rejects of one row are one. */
export interface SetAside {
  /** As `naru.reject` has it: JSON, `***` of a personal one, `null` when it is not known. */
  readonly key: string | null
  /** Why, the last time. */
  readonly reason: string
}

/** How many rows of a table are set aside now, and why. */
export interface TableSetAside {
  /** As `source.table`. */
  readonly table: string
  readonly rows: number
  readonly reasons: readonly string[]
  /** As `resyncRejected`. */
  readonly command: string | null
}

/** What stands in the place of a key that is not kept. */
const hidden = sql`(r.row_key is null or r.row_key not like '{%')`

/**
 * Rejects `r` of a published load that are of rows which nothing brought since. One with a key goes with a later row of that key;
 * one without goes with the next load of the whole table.
 */
export function isAside(table: SourceTableDef): Sql {
  const { image } = stagingNames(table)
  // The rest of the condition may be looked at for rejects that have no JSON.
  const key = sql`case when r.row_key like '{%' then r.row_key else '{}' end`
  const same = table.key.map(name => sql`${jsonField(key, name)} = ${asText(ident('s', name))}`)
  const later = sql`(s."_load" > r.load or (s."_load" = r.load
    and ((r.unit <> 0 and s."_unit" = 0) or (s."_unit" = r.unit and s."_line" > r.line))))`
  const hasCome = sql`exists (select 1 from ${image} s where ${later} and ${joinSql(same, ' and ')})`
  const isKnown = table.key.length === 0 ? sql`` : sql`or (not ${hidden} and not ${hasCome})`
  return sql`r.source = ${table.source} and r."table" = ${table.name} and r.reason <> 'KEY_REPEATED'
    and exists (select 1 from naru.load l where l.load = r.load and l.state = 'published')
    and ((${table.key.length === 0 ? sql`true` : hidden} and r.load >= coalesce((select max(w.load) from naru.load w
      where w.source = ${table.source} and w."table" = ${table.name} and w.state = 'published' and w.scope = 'all'), 0)) ${isKnown})`
}

/** Rows of a table that are set aside, so many at most, in the order of their rejects. */
export async function readSetAside(
  tx: Transaction,
  config: SourceTableDef,
  rowsMax: number,
): Promise<readonly SetAside[]> {
  const table = await rememberedTable(tx, config)
  if (!(await tx.exists(stagingNames(table).image))) return []
  const rows = await tx.rows(sql`${rowsAside(table)} order by min(load), min(line) limit ${rowsMax}`)
  return rows.map(row => ({ key: row['row_key'] as string | null, reason: String(row['reason']) }))
}

/** The tables that have rows set aside now. A database of nothing has none. */
export async function countSetAside(
  tx: Transaction,
  tables: readonly SourceTableDef[],
): Promise<readonly TableSetAside[]> {
  if (!(await tx.exists(ident('naru', 'reject')))) return []
  const some = await tx.rows(sql`select distinct source, "table" from naru.reject`)
  const found: TableSetAside[] = []
  for (const config of tables) {
    if (!some.some(row => row['source'] === config.source && row['table'] === config.name)) continue
    const table = await rememberedTable(tx, config)
    if (!(await tx.exists(stagingNames(table).image))) continue
    const reasons = await tx.rows(
      sql`select reason, count(*) as n from (${rowsAside(table)}) a group by reason order by reason`,
    )
    const rows = reasons.reduce((sum, row) => sum + Number(row['n']), 0)
    const names = reasons.map(row => String(row['reason']))
    if (rows > 0)
      found.push({ table: `${table.source}.${table.name}`, rows, reasons: names, command: resyncRejected(config) })
  }
  return found
}

/** What brings the rows that were set aside once their cause is mended; `null` where they come by themselves when the source sends them right. */
export function resyncRejected(table: SourceTableDef): string | null {
  return streamTechnique(table) === null ? null : `naru resync ${table.source}.${table.name} --rejected`
}

function rowsAside(table: SourceTableDef): Sql {
  const one = (column: string): Sql => sql`case when ${hidden} then ${ident('r', column)} end`
  return sql`select row_key, max(reason) as reason, min(load) as load, min(line) as line
    from (select r.row_key, r.reason, r.load, r.line, ${one('load')} as of_load, ${one('unit')} as of_unit, ${one('line')} as of_line
      from naru.reject r where ${isAside(table)}) a
    group by row_key, of_load, of_unit, of_line`
}
