import { joinSql, sql, type Ident, type Sql } from '../core/sql.ts'
import type { ExportDef, FactDef } from '../config/model.ts'
import {
  changedBy,
  filled,
  holdsStill,
  rowsChanged,
  unchanged,
  type ChangeSet,
  type StageContext,
} from '../run/context.ts'
import { findDifferences, replacedBy, writeDifferences, type Comparison } from '../run/differences.ts'
import { columnList, equalKeysOrNull } from '../run/tables.ts'
import { createCalendar, growCalendar } from './calendar.ts'
import type { DimensionChanges } from './dimension.ts'
import { factRows, keysOfMembers, layOutFact, type FactLayout, type FactRole } from './fact-rows.ts'
import { reconcileFact } from './reconcile.ts'
import { columnNames, ensureTable } from './tables.ts'

export interface FactInput {
  readonly definition: FactDef
  readonly exportDef: ExportDef
  readonly changes: ChangeSet
  /** What this run did to the dimensions of the fact; those that did not run may be left out. */
  readonly dimensions: readonly DimensionChanges[]
  /** The definition is not the one of the last load: every row is compared. */
  readonly rebuild?: boolean
}

/** A change set of the fact by its key, and what summaries need of it. */
export interface FactChanges extends ChangeSet {
  /** With scope `delta`: temporary tables of the fact rows that left and of those that came, with all their columns. */
  readonly before: Ident | null
  readonly after: Ident | null
  /** Roles whose dimension changed attributes in place: untouched rows may belong to other groups now. */
  readonly relabelled: readonly string[]
}

const noRows = { before: null, after: null, relabelled: [] } as const

/**
 * Brings a fact up to its export and its dimensions. The table holds what is true now; rows that changed or left go to
 * `dw.fact_<name>__restated`, so nothing is lost (M73). Rows whose dimension got another version at their time, or whose
 * member has come at last, get another key (M67, M68). The totals must agree with the export's, or nothing is published.
 */
export async function loadFact(ctx: StageContext, input: FactInput): Promise<FactChanges> {
  const layout = layOutFact(ctx, input.definition, input.exportDef)
  const shape = await ensureFact(ctx, layout)
  const whole = shape === 'widened' || input.rebuild === true || input.changes.scope === 'all'
  const relabelled = relabelledRoles(layout, input.dimensions)
  const changes = (await isEmpty(ctx, layout.table))
    ? await fillFact(ctx, layout)
    : await changeFact(ctx, layout, { ...input, whole })
  if (changes.scope === 'all' || changes.keys !== null) await reconcileFact(ctx, layout, someOf(ctx, layout, changes))
  ctx.env.crash('warehouse.apply.after')
  return { ...changes, relabelled }
}

async function ensureFact(ctx: StageContext, layout: FactLayout): Promise<'created' | 'widened' | 'kept'> {
  let shape: 'created' | 'widened' | 'kept' = 'kept'
  await holdsStill(ctx, `shape ${layout.table.path.join('.')} ${JSON.stringify(layout.columns)}`, async () => {
    shape = await makeFact(ctx, layout)
    return shape === 'kept'
  })
  return shape
}

async function makeFact(ctx: StageContext, layout: FactLayout): Promise<'created' | 'widened' | 'kept'> {
  const run = { name: '_run', type: 'bigint' }
  const shape = await ensureTable(ctx.tx, layout.table, [...layout.columns, run])
  const ends = [
    { name: '_restated_run', type: 'bigint' },
    { name: '_op', type: 'varchar' },
  ]
  await ensureTable(ctx.tx, layout.restated, [...layout.columns, run, ...ends])
  for (const role of layout.roles) {
    if (role.definition.kind === 'calendar') await createCalendar(ctx, { definition: role.definition })
  }
  return shape
}

/** The first load: one INSERT with a hash join for each dimension. */
async function fillFact(ctx: StageContext, layout: FactLayout): Promise<FactChanges> {
  const names = layout.columns.map(column => column.name)
  const inserted = await ctx.tx.execute(sql`
    insert into ${layout.table} (${columnList(names)}, "_run")
    select *, ${ctx.run.id} from (${factRows(layout, null, undefined)})`)
  await growCalendars(ctx, layout, layout.table)
  return { ...filled(layout.table, inserted), ...noRows }
}

async function changeFact(
  ctx: StageContext,
  layout: FactLayout,
  input: FactInput & { readonly whole: boolean },
): Promise<FactChanges> {
  const within = input.whole ? null : layout.temp('touched')
  if (within !== null && !(await collectTouched(ctx, layout, input, within)))
    return { ...unchanged(layout.table), ...noRows }

  const comparison: Comparison = {
    target: layout.table,
    next: layout.temp('next'),
    within,
    key: layout.key,
    columns: layout.columns.map(column => column.name),
    into: layout.temp('changed'),
    was: layout.temp('was'),
  }
  await ctx.tx.replaceTemp(comparison.next, factRows(layout, within, rowsAlone(layout, input)))
  const counts = await findDifferences(ctx.tx, comparison)
  if (rowsChanged(counts) === 0) return { ...unchanged(layout.table), ...noRows }
  const { before, after } = await keepBeforeAndAfter(ctx, layout, comparison)
  await writeDifferences(ctx.tx, comparison, ctx.run.id)
  await growCalendars(ctx, layout, after)
  return { ...changedBy(layout.table, comparison.into, counts), before, after, relabelled: [] }
}

/** The rows to look at: those that changed, and those whose members have other ranges now. False when there is none. */
async function collectTouched(ctx: StageContext, layout: FactLayout, input: FactInput, into: Ident): Promise<boolean> {
  const touched: Sql[] = []
  if (input.changes.keys !== null) {
    touched.push(sql`select ${columnList(layout.key)} from ${input.changes.keys}`)
  }
  for (const role of layout.roles) {
    const moved = movedOf(role, input)
    if (moved !== null) touched.push(keysOfMembers(layout, role, moved))
  }
  if (touched.length === 0) return false
  await ctx.tx.replaceTemp(into, joinSql(touched, ' union '))
  return true
}

/** The keys whose totals are compared: `null` compares everything. */
function someOf(ctx: StageContext, layout: FactLayout, changes: FactChanges): Ident | null {
  return ctx.controls === 'changes' && changes.scope === 'delta' ? layout.temp('touched') : null
}

/** The exported rows to look at, where the change set hands them on and no other row is looked at. */
function rowsAlone(layout: FactLayout, input: FactInput & { readonly whole: boolean }): Ident | undefined {
  const moved = layout.roles.some(role => movedOf(role, input) !== null)
  return moved || input.whole ? undefined : input.changes.rows
}

function movedOf(role: FactRole, { dimensions }: FactInput): Ident | null {
  if (role.definition.kind !== 'history') return null
  return dimensions.find(changes => changes.name === role.definition.name)?.moved ?? null
}

/** Keeps the rows that are about to leave: for the summaries of this run, and for good among the restated ones. */
async function keepBeforeAndAfter(
  ctx: StageContext,
  layout: FactLayout,
  comparison: Comparison,
): Promise<{ before: Ident; after: Ident }> {
  const { tx } = ctx
  const { key, next, into } = comparison
  const before = layout.temp('before')
  const after = layout.temp('after')
  await tx.replaceTemp(
    before,
    sql`select f.*, ${ctx.run.id} as "_restated_run", d."_op"
    from ${replacedBy(comparison)} f join ${into} d on d."_op" <> 'i' and ${equalKeysOrNull('f', 'd', key)}`,
  )
  await tx.replaceTemp(
    after,
    sql`select n.* from ${next} n join ${into} d on d."_op" <> 'd' and ${equalKeysOrNull('n', 'd', key)}`,
  )
  const columns = columnList(await columnNames(tx, before))
  await tx.execute(sql`insert into ${layout.restated} (${columns}) select ${columns} from ${before}`)
  return { before, after }
}

async function growCalendars(ctx: StageContext, layout: FactLayout, facts: Ident): Promise<void> {
  for (const role of layout.roles) {
    if (role.definition.kind !== 'calendar') continue
    await growCalendar(ctx, { definition: role.definition }, { table: facts, column: role.column })
  }
}

function relabelledRoles(layout: FactLayout, dimensions: readonly DimensionChanges[]): readonly string[] {
  const names = new Set(dimensions.filter(changes => changes.relabelled).map(changes => changes.name))
  return layout.definition.dims.filter(dim => names.has(dim.dimension)).map(dim => dim.role)
}

async function isEmpty(ctx: StageContext, table: Ident): Promise<boolean> {
  return (await ctx.tx.rows(sql`select 1 as one from ${table} limit 1`)).length === 0
}
