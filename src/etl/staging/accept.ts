import { fail } from '../../core/errors.ts'
import { ident, joinSql, sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { StageContext } from '../../run/context.ts'
import { abandonLoad, acceptLoad, forgetBounds } from '../../run/loads.ts'
import { columnList, stagedColumns, stagingNames } from '../../run/tables.ts'
import type { ControlTotals } from '../../services/adapter/contract.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { compareTotals, engineTotals, type Control } from './controls.ts'

/** What the source said of the rows that were read: computed by it, in its own view. */
export interface SourceControls {
  /** Figures of the rows of the load; `null` for sources without any (files: their lines are counted instead). */
  readonly totals: ControlTotals | null
  /** Rows that the source counts when there are no totals. */
  readonly rows: bigint
  /** Rows of the whole table, when its keys were swept. */
  readonly keyRows: bigint | null
}

/**
 * Compares both ends of a load and keeps every figure as a row. A load that agrees is accepted; one that does not is
 * set aside, and the returned controls say why: `refuseDifferences` makes the error after the evidence is committed.
 */
export async function acceptOrRefuse(
  ctx: Pick<StageContext, 'tx'>,
  table: SourceTableDef,
  load: bigint,
  source: SourceControls,
): Promise<readonly Control[]> {
  const { tx } = ctx
  const landing = stagingNames(table).landing
  const [rejects] = await tx.rows(sql`select count(*) as n from naru.reject where load = ${load}`)
  const rejected = Number(rejects?.['n'])
  const columns = source.totals === null ? [] : stagedColumns(table)
  const staged = await engineTotals(tx, landing, columns, { hash: typeof source.totals?.hash === 'string' })
  const expected = source.totals ?? { rows: source.rows, columns: [], hash: null }
  const controls = [...compareTotals(expected, staged, rejected)]
  if (source.keyRows !== null) controls.push(await keyControl(tx, table, source.keyRows))
  if (source.totals !== null) await refuseRepeatedKeys(tx, table, load)
  await writeControls(tx, table, load, controls)
  await forgetBounds(tx, table, load)
  if (controls.some(control => control.equal === false)) await abandonLoad(tx, load)
  else await acceptLoad(tx, load, { rows: Number(staged.rows), rejected })
  return controls
}

/** A key that is none would give one thing several records, and a dimension several versions at one time. */
async function refuseRepeatedKeys(tx: Transaction, table: SourceTableDef, load: bigint): Promise<void> {
  const key = columnList(table.key)
  const isNull = table.key.map(name => sql`${ident(name)} is null`).reduce((a, b) => sql`${a} or ${b}`)
  const [row] = await tx.rows(sql`
    select count(*) - count(distinct (${key})) as extra, count(*) filter (where ${isNull}) as missing
    from ${stagingNames(table).landing}`)
  const repeated = Number(row?.['extra'])
  const missing = Number(row?.['missing'])
  if (repeated === 0 && missing === 0) return
  const names = table.key.join(', ')
  throw fail('KEY_NOT_UNIQUE', { table: `${table.source}.${table.name}`, load, key: names, repeated, missing })
}

async function keyControl(tx: Transaction, table: SourceTableDef, rows: bigint): Promise<Control> {
  const [row] = await tx.rows(sql`select count(*) as n from ${stagingNames(table).sweep}`)
  const staged = String(row?.['n'])
  return { column: 'keys', measure: 'rows', source: String(rows), staged, equal: String(rows) === staged }
}

async function writeControls(
  tx: Transaction,
  table: SourceTableDef,
  load: bigint,
  controls: readonly Control[],
): Promise<void> {
  await tx.execute(sql`delete from naru.control_total where load = ${load}`)
  const rows = controls.map(c => {
    const [source, staged] = isPersonalValue(table, c) ? ['***', '***'] : [c.source, c.staged]
    return sql`(${load}, ${table.source}, ${table.name}, ${c.column}, ${c.measure}, ${source}, ${staged}, ${c.equal})`
  })
  await tx.execute(sql`insert into naru.control_total values ${joinSql(rows)}`)
}

/** The smallest and the largest value of a personal column are values of persons: compared, never kept or shown. */
function isPersonalValue(table: SourceTableDef, control: Control): boolean {
  if (control.measure !== 'min' && control.measure !== 'max') return false
  return table.columns.some(column => column.personal && column.name === control.column)
}

/** Throws `LOAD_REFUSED` with the figures that differ, if any do. */
export function refuseDifferences(table: SourceTableDef, load: bigint, controls: readonly Control[]): void {
  const different = controls.filter(control => control.equal === false)
  if (different.length === 0) return
  const shown = different.slice(0, 3).map(control => {
    const figures = isPersonalValue(table, control) ? 'differ' : `source ${control.source}, staged ${control.staged}`
    return `${control.column === '' ? '' : `${control.column} `}${control.measure}: ${figures}`
  })
  throw fail('LOAD_REFUSED', { table: `${table.source}.${table.name}`, load, differences: shown.join('; ') })
}
