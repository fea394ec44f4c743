import { sql } from '../../core/sql.ts'
import { oneAtATime } from '../../core/one-at-a-time.ts'
import type { OpenLoad } from '../../run/loads.ts'
import { readUnits, writeUnit, type Unit } from '../../run/units.ts'
import { stagingNames } from '../../run/tables.ts'
import type { KeyBound } from '../../services/adapter/contract.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { receive, type Received } from './receive.ts'
import { slicesOf } from './slices.ts'
import { filterOf, type TableRead, type UnitPlan } from './table-read.ts'

/** Reads what is left of a load, unit by unit. False when the hours of the source ended before it was all there. */
export async function readRest(read: TableRead, load: OpenLoad): Promise<boolean> {
  const done = await read.ctx.commit(tx => readUnits(tx, load.load))
  const rest = await unitsAfter(read, done)
  let rows = done.reduce((sum, unit) => sum + unit.rows, 0)
  const size = read.can.snapshot ? read.limits.connections : 1
  for (let from = 0; from < rest.length; from += size) {
    if (!read.gate.isOpen()) return false
    rows += await readGroup(read, load, rest.slice(from, from + size), rows)
  }
  return true
}

async function unitsAfter(read: TableRead, done: readonly Unit[]): Promise<readonly UnitPlan[]> {
  const last = done.at(-1)
  const first = (last?.unit ?? 0) + 1
  if (read.plan.range !== null) return slicesOf(read).slice(done.length)
  if (last !== undefined && last.upTo === null) return []
  const { reading, snapshot, limits, now } = read
  if (last === undefined && now.key.length === 0 && snapshot.ranges !== undefined) {
    const places = await snapshot.ranges(reading.shape, limits.chunkRows)
    const unit = (i: number): Omit<UnitPlan, 'place'> => ({ unit: first + i, kind: 'place', after: null, upTo: null })
    if (places.length > 0) return places.map((place, i) => ({ ...unit(i), place }))
  }
  const bounds = await chunkBounds(read, last?.upTo ?? undefined)
  return bounds.map((upTo, i) => ({
    unit: first + i,
    kind: 'chunk',
    after: i === 0 ? (last?.upTo ?? null) : (bounds[i - 1] as KeyBound),
    upTo,
  }))
}

/** Upper keys of the chunks that follow `after`; the last is open, so that no row behind it is missed. */
async function chunkBounds(read: TableRead, after: KeyBound | undefined): Promise<readonly (KeyBound | null)[]> {
  const { reading, can, limits } = read
  if (!can.chunks || reading.shape.key.length === 0) return [null]
  const bounds: KeyBound[] = []
  for (;;) {
    const next = await read.snapshot.boundary(reading.shape, bounds.at(-1) ?? after, limits.chunkRows)
    if (next === null) return [...bounds, null]
    bounds.push(next)
  }
}

/**
 * Reads units at the same time through the one view, and commits them together with their records: a crash repeats at
 * most a group. Each holds one batch at a time.
 */
export async function readGroup(
  read: TableRead,
  load: OpenLoad,
  units: readonly UnitPlan[],
  rowsBefore: number,
): Promise<number> {
  const { ctx } = read
  const total = await ctx.commit(async tx => {
    const ending = new AbortController()
    const signal = AbortSignal.any([ctx.signal, ending.signal])
    const each = shared(tx)
    const sums = { rows: 0, bytes: 0 }
    const counted = units.map(() => ({ rows: 0, bytes: 0 }))
    const failures: unknown[] = []
    const got = await Promise.all(
      units.map(async (unit, i) => {
        const onRows = (soFar: Received): void => {
          const before = counted[i] as { rows: number; bytes: number }
          sums.rows += soFar.rows - before.rows
          sums.bytes += soFar.bytes - before.bytes
          counted[i] = soFar
          report(read, rowsBefore + sums.rows, sums.bytes)
        }
        try {
          return await readUnit(read, each, { load, unit, signal, onRows })
        } catch (error) {
          failures.push(error)
          ending.abort(error)
          return null
        }
      }),
    )
    if (failures.length > 0) throw failures[0]
    let rows = 0
    for (const [i, unit] of units.entries()) {
      const received = got[i] as Received
      rows += received.rows
      await writeUnit(tx, load.load, {
        ...record(unit),
        file: null,
        contentHash: null,
        rows: received.rows,
        rejected: received.rejected,
      })
    }
    ctx.env.crash('interface.chunk.commit.before')
    return rows
  })
  ctx.env.crash('interface.chunk.commit.after')
  return total
}

function record({ unit, kind, after, upTo, place }: UnitPlan): Pick<Unit, 'unit' | 'kind' | 'after' | 'upTo'> {
  if (place === undefined) return { unit, kind, after, upTo }
  return { unit, kind, after: [place.from ?? ''], upTo: [place.to ?? ''] }
}

function readUnit(
  read: TableRead,
  tx: Transaction,
  given: {
    readonly load: OpenLoad
    readonly unit: UnitPlan
    readonly signal: AbortSignal
    readonly onRows: (soFar: Received) => void
  },
): Promise<Received> {
  const { ctx, reading, snapshot } = read
  const { load, unit, signal, onRows } = given
  const names = reading.shape.columns.map(column => column.name)
  const { table } = reading
  const atMicros = snapshot.takenAtMicros
  const landing = {
    table,
    into: stagingNames(table).landing,
    load: load.load,
    unit: unit.unit,
    file: null,
    reading,
    atMicros,
  }
  const batches = snapshot.read(reading.shape, names, filterOf(read, unit), signal)
  return receive({ signal, emit: ctx.emit }, tx, landing, batches, onRows)
}

/** The transaction for several readers at once: their statements and batches go one after the other. */
function shared(tx: Transaction): Transaction {
  const { run: inTurn } = oneAtATime()
  return {
    dialect: tx.dialect,
    execute: statement => inTurn(() => tx.execute(statement)),
    rows: statement => inTurn(() => tx.rows(statement)),
    append: (table, columns, batch) => inTurn(() => tx.append(table, columns, batch)),
    ...(tx.unfit !== undefined && { unfit: tx.unfit }),
    exists: table => inTurn(() => tx.exists(table)),
    columns: table => inTurn(() => tx.columns(table)),
    takeRows: given => inTurn(() => tx.takeRows(given)),
    replaceTemp: (table, query) => inTurn(() => tx.replaceTemp(table, query)),
  }
}

/** Reads a unit of a broken load once more, in place of what it brought. */
export async function readAgain(read: TableRead, load: OpenLoad, unit: Unit): Promise<void> {
  const { landing } = stagingNames(read.reading.table)
  const units = await read.ctx.commit(tx => readUnits(tx, load.load))
  const before = units.filter(it => it.unit < unit.unit).at(-1)?.unit ?? 0
  await read.ctx.commit(async tx => {
    const own = sql`"_unit" > ${before} and "_unit" <= ${unit.unit}`
    await tx.execute(sql`delete from ${landing} where ${own}`)
    await tx.execute(
      sql`delete from naru.reject where load = ${load.load} and unit > ${before} and unit <= ${unit.unit}`,
    )
    const { rows, rejected } = await readUnit(read, tx, { load, unit, signal: read.ctx.signal, onRows: () => {} })
    await writeUnit(tx, load.load, { ...unit, rows, rejected })
    read.ctx.env.crash('interface.resume.commit.before')
  })
}

function report(read: TableRead, done: number, bytes: number): void {
  const { source, name } = read.reading.table
  const total = read.plan.scope === 'all' ? read.now.rowsEstimate : null
  read.ctx.emit({ kind: 'rows', step: `interface ${source}.${name}`, done, total, bytes })
}
