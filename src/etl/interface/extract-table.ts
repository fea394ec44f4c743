import { fail } from '../../core/errors.ts'
import { ident, sql, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { ReadPlan } from '../../run/technique.ts'
import { columnList, equalKeys, keyColumns, stagedColumns, stagedName, stagingNames } from '../../run/tables.ts'
import type { KeyBound, ReadsTables, RowFilter, Snapshot, TableShape } from '../../services/adapter/contract.ts'
import { createLanding } from '../../run/landing.ts'
import {
  abandonLoad,
  beginLoad,
  findOpenLoad,
  forgetBounds,
  readChunks,
  readPosition,
  writeUnit,
  type OpenLoad,
  type Unit,
} from '../../run/loads.ts'
import type { Extracted, InterfaceContext } from './context.ts'
import { compareShape } from './drift.ts'
import { receive, type Received } from './receive.ts'

interface TableRead {
  readonly ctx: InterfaceContext
  readonly table: SourceTableDef
  readonly shape: TableShape
  readonly snapshot: Snapshot
  readonly plan: ReadPlan
  readonly chunkRows: number
  readonly can: ReadsTables['can']
  readonly rowsEstimate: number | null
}

/**
 * Brings one table up to the snapshot: the whole table in chunks the first time, changed rows afterwards. A load broken
 * in the middle goes on behind its last chunk; one that an earlier run accepted is returned as it is.
 */
export async function extractTable(
  ctx: InterfaceContext,
  table: SourceTableDef,
  snapshot: Snapshot,
  options: { readonly chunkRows: number; readonly can: ReadsTables['can'] },
): Promise<Extracted> {
  const shape: TableShape = { remote: table.remote, columns: table.columns, key: table.key }
  const open = await ctx.commit(tx => findOpenLoad(tx, table))
  if (open?.state === 'accepted' && open.fits) {
    return { load: open.load, table, scope: open.scope, swept: open.swept, controls: null }
  }

  const now = await snapshot.look(table.remote)
  const unknownColumns = compareShape(table, now)
  if (unknownColumns.length > 0) {
    const text = `${table.source}.${table.name} has columns that the configuration does not name: ${unknownColumns.join(', ')}`
    ctx.emit({ kind: 'note', level: 'warn', text, code: 'SOURCE_COLUMN_NEW' })
  }
  const position = await ctx.commit(tx => readPosition(tx, table))
  const planRead = ctx.techniques[table.change.technique]
  if (planRead === undefined) throw fail('INTERNAL', { what: `no technique ${table.change.technique}` })
  const plan = planRead(table, snapshot, position)
  if (plan.warning !== null) warn(ctx, table, plan.warning)
  const read: TableRead = { ctx, table, shape, snapshot, plan, ...options, rowsEstimate: now.rowsEstimate }
  const done = await readTable(read, open)
  ctx.env.crash('interface.load.accept.before')
  const { scope, sweep } = done.read.plan
  return { load: done.load.load, table, scope, swept: sweep, controls: await sourceControls(done.read, done.load) }
}

async function readTable(
  read: TableRead,
  open: OpenLoad | null,
): Promise<{ readonly read: TableRead; readonly load: OpenLoad }> {
  const { ctx, table, plan } = read
  // A piece that was read whole agrees with no later view unless it is one moment; it is read again.
  const resumable = plan.resumable && read.can.chunks
  const resumed = open !== null && open.fits && resumable ? await resume(read, open) : null
  const load = resumed ?? (await begin(read, open))
  if (plan.scope === 'all') {
    await readAll(read, load)
    return { read, load }
  }
  const unseen = await readDelta(read, load)
  if (unseen === 0) return { read, load }
  // The sweep saw keys that the technique never showed: rows that came with an old stamp, or without one.
  warn(ctx, table, `${unseen} rows came without moving ${plan.since?.column}: the whole table is read again`)
  const whole: TableRead = { ...read, plan: { ...plan, scope: 'all', since: null, sweep: false } }
  const again = await begin(whole, load)
  await readAll(whole, again)
  return { read: whole, load: again }
}

function warn(ctx: InterfaceContext, table: SourceTableDef, text: string): void {
  ctx.emit({ kind: 'note', level: 'warn', text: `${table.source}.${table.name}: ${text}`, code: 'SOURCE_READ_AGAIN' })
}

/** The source's own figures of what was read, computed in the same view; rows as they came where it computes none. */
async function sourceControls(read: TableRead, load: OpenLoad): Promise<Extracted['controls']> {
  const { ctx, snapshot, shape, plan } = read
  if (!read.can.totals) return countedControls(read, load)
  const filter: RowFilter = { since: plan.since ?? undefined }
  const totals = await snapshot.totals(shape, filter, { hash: ctx.hashControls }, ctx.signal)
  const keys = plan.sweep ? await snapshot.totals({ ...shape, columns: [] }, {}, { hash: false }, ctx.signal) : null
  return { totals, rows: totals.rows, keyRows: keys?.rows ?? null }
}

/** No figure but rows, counted before they were written: a row that was lost between here and the landing is still seen. */
async function countedControls({ ctx, plan, table }: TableRead, load: OpenLoad): Promise<Extracted['controls']> {
  const count = (from: Sql): Promise<bigint> =>
    ctx.commit(async tx => BigInt(String((await tx.rows(sql`select ${from}`))[0]?.['n'])))
  const rows = await count(
    sql`coalesce(sum(rows_read + rows_rejected), 0) as n from naru.unit where load = ${load.load}`,
  )
  const keyRows = plan.sweep ? await count(sql`count(*) as n from ${stagingNames(table).sweep}`) : null
  return { totals: { rows, columns: [], hash: null }, rows, keyRows }
}

async function begin(read: TableRead, broken: OpenLoad | null): Promise<OpenLoad> {
  const { ctx, table, plan, snapshot } = read
  const load = await ctx.commit(async tx => {
    if (broken !== null) {
      await abandonLoad(tx, broken.load)
      await forgetBounds(tx, table, broken.load)
    }
    await createLanding(tx, table, { sweep: plan.sweep })
    return beginLoad(tx, table, {
      run: ctx.run.id,
      scope: plan.scope,
      sinceMicros: plan.since?.atLeastMicros ?? null,
      horizonMicros: plan.horizonMicros,
      takenMicros: snapshot.takenAtMicros,
      sweep: plan.sweep,
    })
  })
  ctx.env.crash('interface.load.begin.after')
  return load
}

/** Reads what is left of the table, chunk by chunk. */
async function readAll(read: TableRead, load: OpenLoad): Promise<void> {
  const done = await read.ctx.commit(tx => readChunks(tx, load.load))
  const last = done.at(-1)
  if (last !== undefined && last.upTo === null) return
  const bounds = await chunkBounds(read, last?.upTo ?? undefined)
  let rows = done.reduce((sum, chunk) => sum + chunk.rows, 0)
  for (const [i, upTo] of bounds.entries()) {
    const after = i === 0 ? (last?.upTo ?? null) : (bounds[i - 1] as KeyBound)
    const unit = (last?.unit ?? 0) + i + 1
    rows += (await readUnit(read, load, { unit, kind: 'chunk', after, upTo }, rows)).rows
  }
}

/** Upper keys of the chunks that follow `after`; the last is open, so that no row behind it is missed. */
async function chunkBounds(read: TableRead, after: KeyBound | undefined): Promise<readonly (KeyBound | null)[]> {
  if (!read.can.chunks || read.table.key.length === 0) return [null]
  const bounds: KeyBound[] = []
  for (;;) {
    const next = await read.snapshot.boundary(read.shape, bounds.at(-1) ?? after, read.chunkRows)
    if (next === null) return [...bounds, null]
    bounds.push(next)
  }
}

/** Reads changed rows, and every key when a sweep is due; gives the number of keys that neither image nor delta has. */
async function readDelta(read: TableRead, load: OpenLoad): Promise<number> {
  await readUnit(read, load, { unit: 1, kind: 'delta', after: null, upTo: null }, 0)
  if (!read.plan.sweep) return 0
  await readKeys(read)
  const { image, landing, sweep } = stagingNames(read.table)
  const key = read.table.key
  const [row] = await read.ctx.commit(tx =>
    tx.rows(sql`
      select count(*) as n from ${sweep} k
      where not exists (select 1 from ${image} s where ${equalKeys('s', 'k', key)})
        and not exists (select 1 from ${landing} l where ${equalKeys('l', 'k', key)})
        and not exists (select 1 from naru.reject r where r.load = ${load.load})`),
  )
  return Number(row?.['n'])
}

/** Reads one range into the landing table and commits it together with its record. */
async function readUnit(
  read: TableRead,
  load: OpenLoad,
  unit: Pick<Unit, 'unit' | 'kind' | 'after' | 'upTo'>,
  rowsBefore: number,
): Promise<Received> {
  const { ctx, table, snapshot, shape, plan } = read
  const filter: RowFilter = {
    after: unit.after ?? undefined,
    upTo: unit.upTo ?? undefined,
    since: plan.since ?? undefined,
  }
  const names = stagedColumns(table).map(column => column.name)
  const received = await ctx.commit(async tx => {
    const landing = { table, into: stagingNames(table).landing, load: load.load, unit: unit.unit, file: null }
    const batches = snapshot.read(shape, names, filter, ctx.signal)
    const got = await receive(ctx, tx, landing, batches, soFar => report(read, rowsBefore + soFar.rows, soFar.bytes))
    const counts = { rows: got.rows, rejected: got.rejected }
    await writeUnit(tx, load.load, { ...unit, file: null, contentHash: null, ...counts })
    ctx.env.crash('interface.chunk.commit.before')
    return got
  })
  ctx.env.crash('interface.chunk.commit.after')
  return received
}

function report(read: TableRead, done: number, bytes: number): void {
  const step = `interface ${read.table.source}.${read.table.name}`
  const total = read.plan.scope === 'all' ? read.rowsEstimate : null
  read.ctx.emit({ kind: 'rows', step, done, total, bytes })
}

/** Reads every key of the source, for the comparison that finds deletes. */
async function readKeys(read: TableRead): Promise<void> {
  const { ctx, table, snapshot, shape } = read
  const columns = keyColumns(table)
  await ctx.commit(async tx => {
    for await (const { batch } of snapshot.read(shape, table.key, {}, ctx.signal)) {
      await tx.append(stagingNames(table).sweep, columns, batch)
    }
    ctx.env.crash('interface.sweep.commit.before')
  })
}

/**
 * Goes on with a load whose first chunks were read in an earlier view. What changed in them since is known: rows
 * stamped at or after the horizon of their view are read again, and keys that are gone are removed. Then landing and
 * source agree as of the new view, and the totals of the whole table prove it.
 */
async function resume(read: TableRead, open: OpenLoad): Promise<OpenLoad | null> {
  const { ctx, table, snapshot, shape, plan } = read
  const chunks = await ctx.commit(tx => readChunks(tx, open.load))
  const last = chunks.at(-1)
  if (last === undefined || open.horizonMicros === null || table.change.technique !== 'timestamp') return null
  // What was rejected would be read and rejected again, and may have been mended: such a load starts anew.
  if (chunks.some(chunk => chunk.rejected > 0)) return null
  const column = table.change.column
  const since = { column, atLeastMicros: open.horizonMicros }
  const upTo = last.upTo ?? undefined
  const names = stagingNames(table)
  const again = ident('temp', `again_${stagedName(table)}`)
  const keys = ident('temp', `keys_${stagedName(table)}`)
  await ctx.commit(async tx => {
    await tx.replaceTemp(again, sql`select * from ${names.landing} limit 0`)
    await tx.replaceTemp(keys, sql`select ${columnList(table.key)} from ${names.landing} limit 0`)
    const landing = { table, into: again, load: open.load, unit: last.unit, file: null }
    const changed = snapshot.read(
      shape,
      stagedColumns(table).map(c => c.name),
      { upTo, since },
      ctx.signal,
    )
    await receive(ctx, tx, landing, changed, () => {})
    for await (const { batch } of snapshot.read(shape, table.key, { upTo }, ctx.signal)) {
      await tx.append(keys, keyColumns(table), batch)
    }
    await tx.execute(sql`delete from ${names.landing} l using ${again} a where ${equalKeys('l', 'a', table.key)}`)
    await tx.execute(sql`
      delete from ${names.landing} l where not exists (select 1 from ${keys} k where ${equalKeys('l', 'k', table.key)})`)
    await tx.execute(sql`insert into ${names.landing} select * from ${again}`)
    await tx.execute(sql`
      update naru.load set restarts = restarts + 1, horizon_micros = ${plan.horizonMicros},
        taken_micros = ${snapshot.takenAtMicros} where load = ${open.load}`)
    ctx.env.crash('interface.resume.commit.before')
  })
  const text = `${table.source}.${table.name}: load ${open.load} goes on behind chunk ${last.unit}`
  ctx.emit({ kind: 'note', level: 'info', text })
  return { ...open, horizonMicros: plan.horizonMicros }
}
