import { ident, sql, type Sql } from '../../core/sql.ts'
import { readUnits, writeUnit, type Unit } from '../../run/units.ts'
import type { OpenLoad } from '../../run/loads.ts'
import { columnList, equalKeys, stagedName, stagingNames, keyColumns } from '../../run/tables.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { receive } from './receive.ts'
import { comparable, filterOf, warn, type TableRead } from './table-read.ts'
import { readAgain } from './units.ts'

/**
 * Goes on with a load that was broken off: its finished units were read in an earlier view, so what changed in them since
 * must be known. Gives `null` when it cannot be, and the load begins anew, which is said; `waits` when the hours of the
 * source ended before it was known.
 */
export async function resume(read: TableRead, open: OpenLoad): Promise<OpenLoad | 'waits' | null> {
  const { ctx, config } = read
  const units = await ctx.commit(tx => readUnits(tx, open.load))
  if (units.length === 0) return null
  const anew = (why: string): null => {
    warn(ctx, config, `load ${open.load} begins anew: ${why}`)
    return null
  }
  if (config.append === true)
    return anew('its rows have no key, so that nothing tells in another view of the source which of them were read')
  if (units.some(unit => unit.kind === 'place'))
    return anew('physical ranges mean nothing in another view of the source')
  const isSound = units.every(unit => unit.rejected === 0)
  if (
    config.change.technique === 'timestamp' &&
    open.horizonMicros !== null &&
    read.plan.range === null &&
    isSound &&
    read.can.chunks
  ) {
    await bringUpToDate(read, open, units)
  } else {
    const why = whyUnproven(read)
    if (why !== null) return anew(why)
    if (!(await proveUnits(read, open, units))) return 'waits'
  }
  const last = units.at(-1) as Unit
  const text = `${config.source}.${config.name}: load ${open.load} goes on behind chunk ${last.unit}`
  ctx.emit({ kind: 'note', level: 'info', text })
  return { ...open, horizonMicros: read.plan.horizonMicros }
}

/** The content hash leaves these types out: a change of such a value would not be seen. */
function whyUnproven({ can, reading }: TableRead): string | null {
  if (!can.totals) return 'the source computes no totals that would show what changed'
  const unhashed = reading.staged.filter(({ type }) => type.kind === 'float' || type.kind === 'interval')
  if (unhashed.length > 0) return `the content hash does not cover ${unhashed.map(column => column.name).join(', ')}`
  return reading.converted.size > 0 ? 'a column changed its type' : null
}

/**
 * Keeps the units that the source proves unchanged by rows and content hash, and reads the others again. False when the
 * hours ended before the last: what is left unproven is of an older view than the load would say.
 */
async function proveUnits(read: TableRead, open: OpenLoad, units: readonly Unit[]): Promise<boolean> {
  const { ctx, config, snapshot, reading } = read
  const { landing } = stagingNames(reading.table)
  const { shape, staged } = comparable(reading)
  let changed = 0
  for (const [i, unit] of units.entries()) {
    if (!read.gate.isOpen()) return false
    const where = ownRows(units[i - 1]?.unit ?? 0, unit.unit)
    const ours = await ctx.commit(tx => ctx.engineTotals(tx, landing, staged, { hash: true, where }))
    const theirs = await snapshot.totals(shape, filterOf(read, unit), { hash: true }, ctx.signal)
    if (unit.rejected === 0 && ours.rows === theirs.rows && ours.hash === theirs.hash) continue
    changed += 1
    await readAgain(read, open, unit)
  }
  await ctx.commit(tx => noteRestart(tx, read, open))
  if (changed > 0)
    warn(ctx, config, `${changed} of ${units.length} finished chunks changed meanwhile and were read again`)
  return true
}

/** Rows of the landing that a unit answers for: a resumed load has merged those before it into one. */
function ownRows(after: number, unit: number): Sql {
  return sql`"_unit" > ${after} and "_unit" <= ${unit}`
}

async function noteRestart(tx: Transaction, { plan, snapshot, oursMicros }: TableRead, open: OpenLoad): Promise<void> {
  await tx.execute(sql`
    update naru.load set restarts = restarts + 1, horizon_micros = ${plan.horizonMicros},
      taken_micros = ${snapshot.takenAtMicros}, ours_micros = ${oursMicros} where load = ${open.load}`)
}

/**
 * Rows stamped at or after the horizon of the view that the units were read in are read again, and keys that are gone are
 * removed. Then landing and source agree as of the new view, and the totals of the whole table prove it.
 */
async function bringUpToDate(read: TableRead, open: OpenLoad, units: readonly Unit[]): Promise<void> {
  const { ctx, config, snapshot, reading } = read
  const { table, shape } = reading
  const last = units.at(-1) as Unit
  const change = config.change as Extract<typeof config.change, { technique: 'timestamp' }>
  const upTo = last.upTo ?? undefined
  const since = {
    column: config.renamed?.[change.column] ?? change.column,
    atLeastMicros: open.horizonMicros as bigint,
  }
  const names = stagingNames(table)
  const again = ident('temp', `again_${stagedName(table)}`)
  const keys = ident('temp', `keys_${stagedName(table)}`)
  await ctx.commit(async tx => {
    await tx.replaceTemp(again, sql`select * from ${names.landing} limit 0`)
    await tx.replaceTemp(keys, sql`select ${columnList(table.key)} from ${names.landing} limit 0`)
    const landing = { table, into: again, load: open.load, unit: last.unit, file: null, reading }
    const changed = snapshot.read(
      shape,
      shape.columns.map(column => column.name),
      { upTo, since },
      ctx.signal,
    )
    const got = await receive(ctx, tx, landing, changed, () => {})
    for await (const { batch } of snapshot.read(shape, shape.key, { upTo }, ctx.signal)) {
      await tx.append(keys, keyColumns(table), batch)
    }
    await tx.execute(sql`delete from ${names.landing} l using ${again} a where ${equalKeys('l', 'a', table.key)}`)
    await tx.execute(sql`
      delete from ${names.landing} l where not exists (select 1 from ${keys} k where ${equalKeys('l', 'k', table.key)})`)
    await tx.execute(sql`insert into ${names.landing} select * from ${again}`)
    await mergeUnits(tx, open, last, { table: names.landing, rejected: got.rejected })
    await noteRestart(tx, read, open)
    ctx.env.crash('interface.resume.commit.before')
  })
}

/** What was read again belongs to no unit of its own, so the finished ones become one. */
async function mergeUnits(
  tx: Transaction,
  open: OpenLoad,
  last: Unit,
  { table, rejected }: { readonly table: ReturnType<typeof ident>; readonly rejected: number },
): Promise<void> {
  const [row] = await tx.rows(sql`select count(*) as n from ${table}`)
  await tx.execute(sql`delete from naru.unit where load = ${open.load} and unit < ${last.unit}`)
  await writeUnit(tx, open.load, { ...last, after: null, rows: Number(row?.['n']), rejected })
}
