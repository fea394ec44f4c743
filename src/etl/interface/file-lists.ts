import { fail } from '../../core/errors.ts'
import { ident, sql, type Sql } from '../../core/sql.ts'
import type { ChangeDef, SourceTableDef } from '../../config/model.ts'
import { createSweep } from '../../run/landing.ts'
import { columnList, equalKeys, stagedName, stagingNames } from '../../run/tables.ts'
import { listOf } from '../../services/adapter/contract-files.ts'
import type { Transaction } from '../../services/engine/contract.ts'

type FilesChange = Extract<ChangeDef, { technique: 'files' }>

interface ListKey {
  /** The columns that hold the key of the object. */
  readonly parent: readonly string[]
  /** True of the row behind the elements of a whole list; see `listOf`. */
  readonly isMark: Sql
}

/** True where an object that comes again takes the elements away that its list no longer has. */
export function sweepsLists({ format, scope }: FilesChange): boolean {
  return listOf(format) !== null && scope === 'delta'
}

/** How many rows of a unit only say that a list came. */
export async function countMarks(
  tx: Transaction,
  table: SourceTableDef,
  change: FilesChange,
  unit: number,
): Promise<number> {
  if (listOf(change.format) === null) return 0
  const { isMark } = listKey(table, change)
  const [row] = await tx.rows(sql`
    select count(*) as n from ${stagingNames(table).landing} where "_unit" = ${unit} and ${isMark}`)
  return Number(row?.['n'])
}

/**
 * An object may come twice: its last list is taken whole, and the elements of the earlier ones become rejects. With files
 * that add, the sweep table gets the keys of the image that stay: those of objects whose list did not come whole.
 */
export async function keepLastLists(
  tx: Transaction,
  table: SourceTableDef,
  change: FilesChange,
  load: bigint,
): Promise<void> {
  const { parent, isMark } = listKey(table, change)
  const { landing, image, sweep } = stagingNames(table)
  const earlier = ident('temp', `earlier_${stagedName(table)}`)
  await tx.replaceTemp(
    earlier,
    sql`select "_unit", "_line", is_mark from (
      select "_unit", "_line", ${isMark} as is_mark,
        rank() over (partition by ${columnList(parent)} order by "_unit" desc, "_line" desc) as nth
      from ${landing}) l
    where nth > 1`,
  )
  await tx.execute(sql`
    insert into naru.reject
    select ${load}, e."_unit", ${table.source}, ${table.name}, 'KEY_REPEATED', 'a later object has the key of its object',
      ${null}, u.file, e."_line", ${0}, ''
    from ${earlier} e left join naru.unit u on u.load = ${load} and u.unit = e."_unit" where not e.is_mark`)
  await tx.execute(sql`
    delete from ${landing} l using ${earlier} e where l."_unit" = e."_unit" and l."_line" = e."_line"`)
  if (sweepsLists(change)) {
    await createSweep(tx, table)
    if (await tx.exists(image)) {
      await tx.execute(sql`
        insert into ${sweep} select ${columnList(table.key, 's')} from ${image} s
        where not exists (select 1 from (select * from ${landing} where ${isMark}) l where ${equalKeys('s', 'l', parent)})`)
    }
  }
  await tx.execute(sql`delete from ${landing} where ${isMark}`)
}

function listKey(table: SourceTableDef, { format }: FilesChange): ListKey {
  const list = listOf(format)
  const own = table.key.find(name => list?.parent[name] === undefined)
  if (list === null || own === undefined) {
    throw fail('INTERNAL', { what: `${table.source}.${table.name} is a table of a list without its key` })
  }
  return { parent: Object.keys(list.parent), isMark: sql`${ident(own)} is null` }
}
