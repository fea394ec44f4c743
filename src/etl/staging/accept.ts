import { fail } from '../../core/errors.ts'
import { ident, joinSql, sql } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { StageContext } from '../../run/context.ts'
import { abandonLoad, acceptLoad } from '../../run/loads.ts'
import { forgetBounds } from '../../run/units.ts'
import { columnList, stagingNames } from '../../run/tables.ts'
import type { ControlTotals } from '../../services/adapter/contract.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { refuseOddVersions } from './versions.ts'
import { compareTotals, engineTotals, type Control } from './controls.ts'

/** What the source said of the rows that were read: computed by it, in its own view. */
export interface SourceControls {
  /** Figures of the rows of the load; `null` for sources without any (files: their lines are counted instead). */
  readonly totals: ControlTotals | null
  /** The staged columns that the totals are of. */
  readonly columns: readonly ColumnDef[]
  /** Rows that the source counts when there are no totals. */
  readonly rows: bigint
  /** Rows of the whole table, when its keys were swept. */
  readonly keyRows: bigint | null
  /** The source's totals of each unit; `null` when the load has one unit, or its source computes none. */
  readonly byUnit: (() => Promise<readonly UnitFigures[]>) | null
}

/** Figures of the rows whose `_unit` is over `after` and at most `unit`. */
interface UnitFigures {
  readonly unit: number
  readonly after: number
  readonly totals: ControlTotals
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
  const columns = source.totals === null ? [] : source.columns
  const staged = await engineTotals(tx, landing, columns, { hash: typeof source.totals?.hash === 'string' })
  const expected = source.totals ?? { rows: source.rows, columns: [], hash: null }
  const controls = [...compareTotals(expected, staged, rejected)]
  if (source.keyRows !== null) controls.push(await keyControl(tx, table, source.keyRows))
  if (table.change.technique !== 'files') await refuseRepeatedKeys(tx, table, load)
  await refuseOddVersions(tx, table, load)
  await writeControls(tx, table, load, controls)
  await forgetBounds(tx, table, load)
  if (isRefused(controls)) await abandonLoad(tx, load)
  else await acceptLoad(tx, load, { rows: Number(staged.rows), rejected })
  return controls
}

/** True when the two ends of a load differ. */
export function isRefused(controls: readonly Control[]): boolean {
  return controls.some(control => control.equal === false)
}

/**
 * Compares both ends of every unit of a load and keeps the figures as rows: they say in which chunk a row got lost. With
 * rejects in a unit only its own figures cannot be compared. Gives the units that differ.
 */
export async function compareUnits(
  ctx: Pick<StageContext, 'tx'>,
  table: SourceTableDef,
  load: bigint,
  source: Pick<SourceControls, 'columns'> & { readonly units: readonly UnitFigures[] },
): Promise<readonly number[]> {
  const { tx } = ctx
  const different: number[] = []
  for (const { unit, after, totals } of source.units) {
    const where = sql`"_unit" > ${after} and "_unit" <= ${unit}`
    const hash = totals.hash !== null
    const staged = await engineTotals(tx, stagingNames(table).landing, source.columns, { hash, where })
    const [row] = await tx.rows(sql`
      select count(*) as n from naru.reject where load = ${load} and unit > ${after} and unit <= ${unit}`)
    const controls = compareTotals(totals, staged, Number(row?.['n']))
    if (isRefused(controls)) different.push(unit)
    await insertControls(tx, table, { load, unit }, controls)
  }
  return different
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
  await insertControls(tx, table, { load, unit: null }, controls)
}

async function insertControls(
  tx: Transaction,
  table: SourceTableDef,
  { load, unit }: { readonly load: bigint; readonly unit: number | null },
  controls: readonly Control[],
): Promise<void> {
  const rows = controls.map(c => {
    const [source, staged] = isPersonalValue(table, c) ? ['***', '***'] : [storable(c.source), storable(c.staged)]
    return sql`(${load}, ${table.source}, ${table.name}, ${c.column}, ${c.measure}, ${source}, ${staged}, ${c.equal},
      ${unit})`
  })
  await tx.execute(sql`insert into naru.control_total values ${joinSql(rows)}`)
}

/** A bound may hold the one character that no text of a statement can. */
function storable(text: string | null): string | null {
  return text === null ? null : text.replaceAll('\0', '\\0')
}

/** The smallest and the largest value of a personal column are values of persons: compared, never kept or shown. */
function isPersonalValue(table: SourceTableDef, control: Control): boolean {
  if (control.measure !== 'min' && control.measure !== 'max') return false
  return table.columns.some(column => column.personal && column.name === control.column)
}

/** Throws `LOAD_REFUSED` with the figures that differ, if any do, and the chunks that they are in when those are known. */
export function refuseDifferences(
  table: SourceTableDef,
  load: bigint,
  controls: readonly Control[],
  units: readonly number[] = [],
): void {
  const different = controls.filter(control => control.equal === false)
  if (different.length === 0) return
  const shown = different.slice(0, 3).map(control => {
    const figures = isPersonalValue(table, control) ? 'differ' : `source ${control.source}, staged ${control.staged}`
    return `${control.column === '' ? '' : `${control.column} `}${control.measure}: ${figures}`
  })
  const where = units.length === 0 ? '' : `; in chunk ${units.slice(0, 5).join(', ')}`
  throw fail('LOAD_REFUSED', { table: `${table.source}.${table.name}`, load, differences: shown.join('; ') + where })
}
