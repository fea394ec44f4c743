import { fail } from '../../core/errors.ts'
import { ident, sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { equalKeys, keyColumns, stagingNames } from '../../run/tables.ts'
import { createLanding } from '../../run/landing.ts'
import {
  abandonLoad,
  beginLoad,
  findOpenLoad,
  lastSourceKey,
  noteVersions,
  readPosition,
  type LoadRange,
  type OpenLoad,
} from '../../run/loads.ts'
import { forgetBounds, readUnits } from '../../run/units.ts'
import { rememberColumns, rememberedTable } from '../../run/remembered-columns.ts'
import { columnsOfChange, type ReadPlan } from '../../run/technique.ts'
import { versionsAfter } from '../../run/versions.ts'
import type { TableNow } from '../../services/adapter/contract.ts'
import type { Extracted, ExtractedControls, InterfaceContext, UnitTotals } from './context.ts'
import { readingOf } from './drift.ts'
import { findGone, keepMoved } from './moved.ts'
import { resume } from './resume.ts'
import { comparable, filterOf, warn, withStagedNames, type TableRead, type TableSource } from './table-read.ts'
import { readGroup, readRest } from './units.ts'

/**
 * Brings one table up to the snapshot: the whole table in chunks the first time, changed rows afterwards, or a range when
 * one is asked for. A load broken in the middle goes on behind its last chunk; one that an earlier run accepted is
 * returned as it is. Gives `null` when the hours of the source do not let it begin or end: it goes on in the next run.
 * Outside its hours a source is not connected to, so that there is no snapshot.
 */
export async function extractTable(
  ctx: InterfaceContext,
  config: SourceTableDef,
  given: Omit<TableSource, 'snapshot'> & { readonly snapshot: TableSource['snapshot'] | null },
  { range, where }: { readonly range: LoadRange | null; readonly where?: string | undefined },
): Promise<Extracted | null> {
  const known = await ctx.commit(tx => rememberedTable(tx, config))
  const open = await openLoadFor(ctx, known, range)
  if (open?.state === 'accepted' && open.fits) {
    return { load: open.load, table: known, scope: open.scope, swept: open.swept, controls: null }
  }
  const { snapshot } = given
  if (snapshot === null || !given.gate.isOpen()) return wait(ctx, config, given)

  const source = { ...given, snapshot }
  const now = await source.snapshot.look(config.remote)
  const reading = readingOf(config, known, now, await ctx.commit(tx => lastSourceKey(tx, config)))
  for (const { code, text } of reading.notes) ctx.emit({ kind: 'note', level: 'warn', text, code })
  const plan =
    range !== null
      ? await rangePlan(ctx, reading.table, range, source)
      : where === undefined
        ? await livePlan(ctx, reading.table, source, now)
        : partPlan(where)
  const read: TableRead = { ...source, ctx, config, reading, now, plan }
  const done = await readTable(read, open)
  if (done === null) return wait(ctx, config, source)
  await noteHighest(done.read, done.load)
  ctx.env.crash('interface.load.accept.before')
  const { scope, sweep } = done.read.plan
  const controls = await sourceControls(done.read, done.load)
  return { load: done.load.load, table: reading.table, scope, swept: sweep, controls }
}

/** The load that waits, when it is of the kind that is asked for. There is one landing: another kind gives way. */
async function openLoadFor(
  ctx: InterfaceContext,
  table: SourceTableDef,
  range: LoadRange | null,
): Promise<OpenLoad | null> {
  const open = await ctx.commit(tx => findOpenLoad(tx, table))
  if (open === null || JSON.stringify(open.range) === JSON.stringify(range)) return open
  await ctx.commit(tx => abandonLoad(tx, open.load))
  if (open.range === null) return null
  const { column, from, to } = open.range
  warn(ctx, table, `the backfill of ${column} from ${from} to ${to} was not finished: run it again`, 'BACKFILL_OPEN')
  return null
}

function wait(ctx: InterfaceContext, table: SourceTableDef, { gate }: Pick<TableSource, 'gate'>): null {
  const { text, code } = gate.waits()
  warn(ctx, table, `${text}; the next run goes on`, code)
  return null
}

async function livePlan(
  ctx: InterfaceContext,
  table: SourceTableDef,
  { snapshot: { takenAtMicros, horizonMicros }, oursMicros }: TableSource,
  { newestMicros }: TableNow,
): Promise<ReadPlan> {
  const position = await ctx.commit(tx => readPosition(tx, table))
  const planRead = ctx.techniques[table.change.technique]
  if (planRead === undefined) throw fail('INTERNAL', { what: `no technique ${table.change.technique}` })
  const plan = planRead(table, { takenAtMicros, horizonMicros, newestMicros, oursMicros }, position)
  if (plan.warning !== null) warn(ctx, table, plan.warning)
  return plan
}

/** A backfill replaces a part of an image that is there and has the same columns. */
async function rangePlan(
  ctx: InterfaceContext,
  table: SourceTableDef,
  range: LoadRange,
  { can }: TableSource,
): Promise<ReadPlan> {
  const name = `${table.source}.${table.name}`
  if (!can.range) throw fail('BACKFILL_RANGE', { table: name, problem: 'its source does not filter by a range' })
  const position = await ctx.commit(tx => readPosition(tx, table))
  if (position === null) throw fail('BACKFILL_UNREAD', { table: name })
  return { scope: 'range', since: null, range, horizonMicros: null, sweep: false, warning: null }
}

/** Rows that a person asks for: those that come are compared, and of those that did not the keys of the source tell. */
function partPlan(where: string): ReadPlan {
  return { scope: 'delta', since: null, range: null, where, horizonMicros: null, sweep: false, warning: null }
}

async function readTable(
  read: TableRead,
  open: OpenLoad | null,
): Promise<{ readonly read: TableRead; readonly load: OpenLoad } | null> {
  const { ctx, plan, reading, gate } = read
  const goesOn = open !== null && open.fits && open.scope === plan.scope && plan.scope !== 'delta'
  const resumed = goesOn ? await resume(read, open) : null
  if (resumed === 'waits') return null
  const load = resumed ?? (await begin(read, open))
  if (plan.scope !== 'delta') {
    return (await readRest(read, load)) ? { read: await keepMoved(read, load, readKeys), load } : null
  }
  const unseen = await readDelta(read, load)
  if (unseen === 0) return { read: await findGone(read, load, readKeys), load }
  // The sweep saw keys that the technique never showed: rows that came with an old stamp, or without one.
  const columns = columnsOfChange(reading.table.change).join(', ')
  warn(ctx, reading.table, `${unseen} rows came without moving ${columns}: the whole table is read again`)
  const whole: TableRead = { ...read, plan: { ...plan, scope: 'all', since: null, changed: null, sweep: false } }
  const again = await begin(whole, load)
  return gate.isOpen() && (await readRest(whole, again)) ? { read: whole, load: again } : null
}

/** The numbers that came say how far the load is, in the same view as its rows. */
async function noteHighest({ ctx, reading, plan }: TableRead, load: OpenLoad): Promise<void> {
  const { versions } = plan
  if (versions == null) return
  const { landing } = stagingNames(reading.table)
  await ctx.commit(async tx => {
    const [row] = await tx.rows(sql`select cast(max(${ident(versions.column)}) as bigint) as highest from ${landing}`)
    const highest = (row?.['highest'] ?? null) as bigint | null
    await noteVersions(tx, load.load, versionsAfter(versions, highest))
  })
}

/** The source's own figures of what was read, computed in the same view. */
async function sourceControls(read: TableRead, load: OpenLoad): Promise<ExtractedControls> {
  const { ctx, snapshot, reading, plan, can } = read
  const { shape, staged } = comparable(reading)
  const hash = ctx.hashControls
  const units = await ctx.commit(tx => readUnits(tx, load.load))
  if (!can.totals) {
    const rows = units.reduce((sum, unit) => sum + unit.rows + unit.rejected, 0)
    return { totals: null, columns: [], rows: BigInt(rows), keyRows: null, byUnit: null }
  }
  const ask = async (filter: ReturnType<typeof filterOf>): Promise<UnitTotals['totals']> =>
    withStagedNames(await snapshot.totals(shape, filter, { hash }, ctx.signal), staged)
  const totals = await ask(filterOf(read))
  const keys = plan.sweep ? await snapshot.totals({ ...shape, columns: [] }, {}, { hash: false }, ctx.signal) : null
  const isCut = units.length > 1 && units.every(unit => unit.kind === 'chunk' || unit.kind === 'slice')
  const byUnit = async (): Promise<readonly UnitTotals[]> => {
    const found: UnitTotals[] = []
    for (const [i, unit] of units.entries()) {
      found.push({ unit: unit.unit, after: units[i - 1]?.unit ?? 0, totals: await ask(filterOf(read, unit)) })
    }
    return found
  }
  return { totals, columns: staged, rows: totals.rows, keyRows: keys?.rows ?? null, byUnit: isCut ? byUnit : null }
}

async function begin(read: TableRead, broken: OpenLoad | null): Promise<OpenLoad> {
  const { ctx, config, reading, plan, snapshot } = read
  const { table } = reading
  const load = await ctx.commit(async tx => {
    if (broken !== null) {
      await abandonLoad(tx, broken.load)
      await forgetBounds(tx, table, broken.load)
    }
    await createLanding(tx, table, { sweep: plan.sweep })
    await rememberColumns(tx, { config, table, run: ctx.run.id })
    return beginLoad(tx, table, {
      run: ctx.run.id,
      scope: plan.scope,
      sinceMicros: plan.since?.atLeastMicros ?? null,
      horizonMicros: plan.horizonMicros,
      takenMicros: snapshot.takenAtMicros,
      oursMicros: read.oursMicros,
      sweep: plan.sweep,
      range: plan.range,
      ...(config.append === true ? {} : { sourceKey: reading.sourceKey }),
    })
  })
  ctx.env.crash('interface.load.begin.after')
  return load
}

/** Reads changed rows, and every key when a sweep is due; gives the number of keys that neither image nor delta has. */
async function readDelta(read: TableRead, load: OpenLoad): Promise<number> {
  await readGroup(read, load, [{ unit: 1, kind: 'delta', after: null, upTo: null }], 0)
  if (!read.plan.sweep) return 0
  await readKeys(read)
  const { table } = read.reading
  const { image, landing, sweep } = stagingNames(table)
  const [row] = await read.ctx.commit(tx =>
    tx.rows(sql`
      select count(*) as n, (select count(*) from naru.reject where load = ${load.load} and reason <> 'KEY_REPEATED') as rejected from ${sweep} k
      where not exists (select 1 from ${image} s where ${equalKeys('s', 'k', table.key)})
        and not exists (select 1 from ${landing} l where ${equalKeys('l', 'k', table.key)})`),
  )
  // Each reject may be one of them, and no more than one.
  return Math.max(0, Number(row?.['n']) - Number(row?.['rejected']))
}

/** Reads every key of the source, for the comparison that finds deletes. */
async function readKeys({ ctx, reading, snapshot }: TableRead): Promise<void> {
  const { table, shape } = reading
  const columns = keyColumns(table)
  await ctx.commit(async tx => {
    for await (const { batch } of snapshot.read(shape, shape.key, {}, ctx.signal)) {
      await tx.append(stagingNames(table).sweep, columns, batch)
    }
    ctx.env.crash('interface.sweep.commit.before')
  })
}
