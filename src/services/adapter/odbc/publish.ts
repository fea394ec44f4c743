import { fail, isNaruError } from '../../../core/errors.ts'
import { ident, joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { WriteTarget, Written } from '../contract-writes.ts'
import { examplesMax, examplesOf, nothingWritten } from '../written.ts'
import { identOf } from './catalog.ts'
import { OdbcFailure } from './errors.ts'
import type { Session } from './session.ts'
import type { Pair, WriteFacts } from './write-facts.ts'
import { createTarget, type Found, type StageNames } from './write-target.ts'
import { same } from './writes-postgres.ts'

/** One write, staged whole. Every statement runs in the one transaction of the publish. */
export interface Staged {
  readonly session: Session
  readonly facts: WriteFacts
  readonly found: Found
  readonly wanted: WriteTarget
  readonly names: StageNames
  readonly signal: AbortSignal
}

/** Applies the stage to the target, which is made when it is not there. Throws `WRITE_KEY_REPEATED`, `WRITE_KEYS_MISSED`. */
export async function applyStage(staged: Staged, missed: 'refuse' | 'report'): Promise<Written> {
  const { facts, found, wanted, names } = staged
  const table = sql`${identOf(found)}`
  if (!found.isThere) await run(staged, createTarget(facts, found, wanted))
  if (facts.lock !== null) await run(staged, facts.lock(table, names.units))
  await refuseRepeated(staged)
  const key = wanted.key.map(name => pairOf(wanted, name))
  switch (wanted.mode) {
    case 'call':
      throw fail('INTERNAL', { what: 'ODBC was asked to call a procedure' })
    case 'insert':
      return { ...nothingWritten, inserted: await insertFrom(staged, sql`1 = 1`) }
    case 'replace': {
      const deleted = await countOf(staged, sql`select count(*) from ${table}`)
      if (await isPointedTo(staged)) return { ...nothingWritten, deleted, inserted: await replaceInPlace(staged) }
      await run(staged, sql`delete from ${table}`)
      return { ...nothingWritten, deleted, inserted: await insertFrom(staged, sql`1 = 1`) }
    }
    case 'upsert': {
      const isNew = sql`not exists (select 1 from ${table} t where ${same(key)})`
      const added = await countOf(staged, sql`select count(*) from ${names.rows} s where ${isNew}`)
      const { missedMany } = await countMissed(staged, missed)
      const updated = await update(staged)
      // Those that were added would be found by another count: what is new was counted before.
      const inserted = added === 0n ? 0n : await insertFrom(staged, isNew)
      return { ...nothingWritten, missedMany, updated, inserted }
    }
    case 'update': {
      const misses = await countMissed(staged, missed)
      return { ...nothingWritten, ...misses, updated: await update(staged) }
    }
    case 'delete': {
      const misses = await countMissed(staged, missed)
      const deleted = await countFound(staged)
      await run(staged, facts.delete(table, names.rows, key))
      return { ...nothingWritten, ...misses, deleted }
    }
  }
}

/** True when foreign keys point to the table. Throws `WRITE_TARGET` when its rows then cannot be changed in place. */
async function isPointedTo({ session, facts, found, wanted, signal }: Staged): Promise<boolean> {
  if (facts.pointedTo === null) return false
  const [row] = await session.query(facts.pointedTo(found.schema, found.table), wanted.remote, signal)
  if (Number(row?.[0] ?? '0') === 0) return false
  const isWhole = wanted.columns.length === Number(row?.[1])
  if (wanted.key.length > 0 && isWhole) return true
  const why = isWhole ? 'no key tells which of them stay' : 'some of its columns are not written'
  const problem = `foreign keys point to its rows, and ${why}`
  throw fail('WRITE_TARGET', { system: session.target.source, table: wanted.remote, problem })
}

/** A row that was deleted and put back would take the rows that point to it along: those that stay are changed. */
async function replaceInPlace(staged: Staged): Promise<bigint> {
  const { found, wanted, names } = staged
  const table = sql`${identOf(found)}`
  const key = wanted.key.map(name => pairOf(wanted, name))
  const isStaged = key.map(it => sql`${table}.${it.column} = s.${it.staged}`)
  const gone = sql`not exists (select 1 from ${names.rows} s where ${joinSql(isStaged, ' and ')})`
  await run(staged, sql`delete from ${table} where ${gone}`)
  await update(staged)
  await insertFrom(staged, sql`not exists (select 1 from ${table} t where ${same(key)})`)
  const [left, rows] = [
    await countOf(staged, sql`select count(*) from ${table}`),
    await countOf(staged, sql`select count(*) from ${names.rows}`),
  ]
  if (left === rows) return rows
  const problem = `${left} rows would stand in the target, of ${rows}: its key ${wanted.key.join(', ')} does not name one row each`
  throw fail('WRITE_TARGET', { system: staged.session.target.source, table: wanted.remote, problem })
}

function pairOf({ columns }: WriteTarget, name: string): Pair {
  const place = columns.findIndex(column => column.name === name)
  return { column: sql`${ident(name)}`, staged: sql`${ident(`c${place}`)}` }
}

async function run({ session, signal }: Staged, statement: Sql): Promise<number> {
  return session.connection.execute(session.render(statement).text, signal)
}

async function countOf({ session, wanted, signal }: Staged, query: Sql): Promise<bigint> {
  const [row] = await session.query(query, wanted.remote, signal)
  return BigInt(row?.[0] ?? '0')
}

/** Gives the rows that the driver says were added; those that it sent where it does not say. */
async function insertFrom(staged: Staged, which: Sql): Promise<bigint> {
  const { found, wanted, names } = staged
  const into = joinSql(wanted.columns.map(({ name }) => ident(name)))
  const from = joinSql(wanted.columns.map((_, i) => sql`s.${ident(`c${i}`)}`))
  const sent = await countOf(staged, sql`select count(*) from ${names.rows} s where ${which}`)
  const rows = await run(
    staged,
    sql`insert into ${identOf(found)} (${into}) select ${from} from ${names.rows} s where ${which}`,
  )
  return rows < 0 ? sent : BigInt(rows)
}

/** True for a row that a unique constraint refused: drivers tell it by a state of their own, or by words only. */
export function isTakenError(error: unknown): boolean {
  const { state, message } =
    error instanceof OdbcFailure ? error.failure : { state: '', message: isNaruError(error) ? error.message : '' }
  return state === '23505' || /unique constraint|duplicate entry/i.test(message)
}

/** Throws `WRITE_KEYS_TAKEN` when staged keys are in the target. */
export async function refuseTakenKeys(staged: Staged): Promise<void> {
  const { session, found, wanted, names, signal } = staged
  const key = wanted.key.map(name => pairOf(wanted, name))
  const taken = sql`from ${names.rows} s where exists (select 1 from ${identOf(found)} t where ${same(key)})`
  const rows = await countOf(staged, sql`select count(*) ${taken}`)
  if (rows === 0n) return
  const list = joinSql(stagedKey(wanted))
  const examples = await session.query(
    sql`select ${list} ${taken} order by ${list} limit ${examplesMax}`,
    wanted.remote,
    signal,
  )
  const about = { system: session.target.source, table: wanted.remote, key: wanted.key.join(', '), rows: String(rows) }
  throw fail('WRITE_KEYS_TAKEN', { ...about, examples: examplesOf(examples, wanted) })
}

/** Rows of the target that the staged keys find. */
function countFound(staged: Staged): Promise<bigint> {
  const { found, wanted, names } = staged
  const key = wanted.key.map(name => pairOf(wanted, name))
  return countOf(staged, sql`select count(*) from ${names.rows} s join ${identOf(found)} t on ${same(key)}`)
}

/** Changes the rows that are found; gives how many, also those that are the same already. */
async function update(staged: Staged): Promise<bigint> {
  const { facts, found, wanted, names } = staged
  const rows = await countFound(staged)
  const sets = wanted.columns.filter(({ name }) => !wanted.key.includes(name)).map(({ name }) => pairOf(wanted, name))
  const key = wanted.key.map(name => pairOf(wanted, name))
  if (sets.length > 0) await run(staged, facts.update(sql`${identOf(found)}`, names.rows, sets, key))
  return rows
}

async function refuseRepeated(staged: Staged): Promise<void> {
  const { session, wanted, names, signal } = staged
  if (wanted.key.length === 0) return
  const key = stagedKey(wanted)
  const isTold = joinSql(
    key.map(column => sql`${column} is not null`),
    ' and ',
  )
  const groups = sql`select ${joinSql(key)}, count(*) as n from ${names.rows} s where ${isTold} group by ${joinSql(key)} having count(*) > 1`
  const rows = await countOf(staged, sql`select sum(n) from (${groups}) g`)
  if (rows === 0n) return
  const found = await session.query(sql`${groups} limit ${examplesMax}`, wanted.remote, signal)
  const facts = { system: session.target.source, table: wanted.remote }
  throw fail('WRITE_KEY_REPEATED', { ...facts, rows: String(rows), examples: examplesOf(found, wanted) })
}

function stagedKey(wanted: WriteTarget): readonly Sql[] {
  return wanted.key.map(name => sql`s.${pairOf(wanted, name).staged}`)
}

async function countMissed(
  staged: Staged,
  missed: 'refuse' | 'report',
): Promise<Pick<Written, 'missedNone' | 'missedMany'>> {
  const { session, found, wanted, names, signal } = staged
  const key = wanted.key.map(name => pairOf(wanted, name))
  const row = sql`${joinSql(stagedKey(wanted))}, s.${ident('_unit')}, s.${ident('_row')}`
  // A row that finds nothing is joined with NULLs, and a key that is NULL finds nothing.
  const hits = sql`select ${row}, count(t.${(key[0] as Pair).column}) as n from ${names.rows} s
    left join ${identOf(found)} t on ${same(key)} group by ${row}`
  // A key that finds nothing is what an upsert adds.
  const isUpsert = wanted.mode === 'upsert'
  const missedNone = isUpsert ? 0n : await countOf(staged, sql`select count(*) from (${hits}) g where n = 0`)
  const missedMany = await countOf(staged, sql`select count(*) from (${hits}) g where n > 1`)
  if (missed === 'report' || missedNone + missedMany === 0n) return { missedNone, missedMany }
  const isBad = isUpsert ? sql`n > 1` : sql`n <> 1`
  const bad = await session.query(
    sql`select * from (${hits}) g where ${isBad} limit ${examplesMax}`,
    wanted.remote,
    signal,
  )
  const counts = { none: String(missedNone), many: String(missedMany), examples: examplesOf(bad, wanted) }
  throw fail('WRITE_KEYS_MISSED', { system: session.target.source, table: wanted.remote, ...counts })
}
