import { asText, jsonField } from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Sql } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { StageContext } from '../../run/context.ts'
import { stagedColumns } from '../../run/tables.ts'

/** Rejects that say nothing about a row of the image: another line of the same file has the key, or none has. */
const keyRejects = ['KEY_REPEATED', 'KEY_MISSING']

/** Types whose text is the same in the source's reject and in the engine. */
const sameText: ReadonlySet<ColumnDef['type']['kind']> = new Set(['int', 'text', 'enum', 'uuid'])

/**
 * A row of a whole-table load that was rejected is missing in the landing, and was still not deleted in the source.
 * Gives the condition that keeps such rows of the image (alias `s`): by their keys where the rejects name them, all of
 * them where one does not, and then deletes wait for a load without such a reject, which is said.
 */
export async function spareRejected(ctx: StageContext, table: SourceTableDef, load: bigint): Promise<Sql> {
  const about = sql`load = ${load} and reason not in (${joinSql(keyRejects.map(reason => sql`${reason}`))})`
  const [row] = await ctx.tx.rows(sql`
    select count(*) as n, count(*) filter (where row_key is null or row_key = '***') as unnamed
    from naru.reject where ${about}`)
  const rejected = Number(row?.['n'])
  if (rejected === 0) return sql`true`

  const keys = stagedColumns(table).filter(column => table.key.includes(column.name))
  if (Number(row?.['unnamed']) > 0 || keys.some(key => !sameText.has(key.type.kind))) {
    const text =
      `${table.source}.${table.name}: ${rejected} rejected rows do not say which they are, ` +
      'so nothing is taken as deleted by this load'
    ctx.emit({ kind: 'note', level: 'warn', text, code: 'DELETES_WAIT' })
    return sql`false`
  }
  const same = keys.map(({ name }) => sql`${jsonField(ident('r', 'row_key'), name)} = ${asText(ident('s', name))}`)
  return sql`not exists (select 1 from naru.reject r where ${about} and ${joinSql(same, ' and ')})`
}
