import { fail } from '../../core/errors.ts'
import { ident, sql, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { rowsDiffer } from '../../run/differences.ts'
import { imageState } from '../../run/layouts.ts'
import { readPosition } from '../../run/loads.ts'
import { columnList, equalKeys, stagedColumns, stagingNames } from '../../run/tables.ts'
import type { Transaction } from '../../services/engine/contract.ts'

/**
 * A version that goes back, or stays while the row changes, says that the numbers are none to go by: what is below the
 * position is never read. With `combined` another column may show a row whose number stayed. A backfill reads again on purpose.
 */
export async function refuseOddVersions(tx: Transaction, table: SourceTableDef, load: bigint): Promise<void> {
  const { change, key } = table
  const column =
    change.technique === 'version'
      ? change.column
      : change.technique === 'combined'
        ? change.version?.column
        : undefined
  // After another technique, or in another shape, the numbers before are not known.
  if (column === undefined || (await scopeOf(tx, load)) === 'range') return
  if ((await readPosition(tx, table)) === null || (await imageState(tx, table)) !== 'same') return
  const [next, last] = [ident('l', column), ident('s', column)]
  await refuse(tx, table, {
    column,
    code: 'VERSION_WENT_BACK',
    where: sql`${next} < ${last} or (${next} is null and ${last} is not null)`,
  })
  if (change.technique !== 'version') return
  const names = stagedColumns(table).map(it => it.name)
  const differs = rowsDiffer(
    'l',
    's',
    names.filter(name => !key.includes(name)),
  )
  await refuse(tx, table, { column, code: 'VERSION_REPEATED', where: sql`${next} = ${last} and ${differs}` })
}

async function refuse(
  tx: Transaction,
  table: SourceTableDef,
  it: { readonly column: string; readonly code: 'VERSION_WENT_BACK' | 'VERSION_REPEATED'; readonly where: Sql },
): Promise<void> {
  const { column, code, where } = it
  const { image, landing } = stagingNames(table)
  const found = sql`from ${landing} l join ${image} s on ${equalKeys('l', 's', table.key)} where ${where}`
  const [count] = await tx.rows(sql`select count(*) as n ${found}`)
  const rows = Number(count?.['n'])
  if (rows === 0) return
  const [row = {}] = await tx.rows(sql`
    select ${columnList(table.key, 'l')}, ${ident('l', column)} as "_next", ${ident('s', column)} as "_last" ${found}
    order by ${columnList(table.key, 'l')} limit 1`)
  const isPersonal = (name: string): boolean => table.columns.some(it => it.personal && it.name === name)
  const names = table.key.map(name => `${name} = ${isPersonal(name) ? '***' : String(row[name])}`)
  const first = `${names.join(', ')} has ${String(row['_next'])} and had ${String(row['_last'])}`
  throw fail(code, { table: `${table.source}.${table.name}`, column, rows, first })
}

async function scopeOf(tx: Transaction, load: bigint): Promise<string> {
  const [row] = await tx.rows(sql`select scope from naru.load where load = ${load}`)
  return String(row?.['scope'])
}
