import { ident, joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import { fail } from '../../../core/errors.ts'
import type { Written } from '../contract-writes.ts'
import { examplesMax, nothingWritten } from '../written.ts'
import { callEach } from './call.ts'
import type { TextRow } from './connection.ts'
import type { Stage } from './stage.ts'
import { isTakenError } from './write-errors.ts'
import { castValue, type WriteColumn } from './write-fit.ts'
import type { WriteOrder, WritePlan } from './write-plan.ts'

/** What a publish works with; every statement runs in the one transaction of it. */
export interface PublishSession {
  readonly order: WriteOrder
  readonly plan: WritePlan
  readonly stage: Stage
  query(statement: Sql): Promise<readonly TextRow[]>
  execute(statement: Sql): Promise<bigint>
}

/** Brings everything staged into the target. Throws `WRITE_KEY_REPEATED` and `WRITE_KEYS_MISSED`. */
export async function applyStage(session: PublishSession, missed: 'refuse' | 'report'): Promise<Written> {
  const { order, plan } = session
  if (order.mode === 'call') return callEach(session)
  if (order.key.length > 0) await refuseRepeatedKeys(session)
  if (order.mode === 'insert') return { ...nothingWritten, inserted: await insertNew(session) }
  // Readers go on; other writers wait, so that what is counted here is what is changed.
  await session.query(sql`lock table ${plan.table} in share row exclusive mode`)
  if (order.mode === 'replace') return replaceAll(session)
  const found = await countKeys(session)
  if (missed === 'refuse') await refuseMissedKeys(session, found)
  const { missedNone, missedMany } = order.mode === 'upsert' ? { missedNone: 0n, missedMany: found.missedMany } : found
  switch (order.mode) {
    case 'update':
      await updateChanged(session, false)
      return { ...nothingWritten, updated: found.rows, missedNone, missedMany }
    case 'upsert':
      await updateChanged(session, false)
      return { ...nothingWritten, updated: found.rows, inserted: await insertMissing(session), missedMany }
    case 'delete': {
      const deleted = await session.execute(
        sql`delete from ${plan.table} t using ${session.stage.rows} s where ${sameKey(session)}`,
      )
      return { ...nothingWritten, deleted, missedNone, missedMany }
    }
  }
}

function namesOf(columns: readonly WriteColumn[]): Sql {
  return joinSql(columns.map(({ name }) => ident(name)))
}

function keyColumns({ order, plan }: PublishSession): readonly WriteColumn[] {
  return order.key.map(name => plan.columns.find(column => column.name === name) as WriteColumn)
}

/** A row of the target `t` has the key of the staged row `s`. */
function sameKey(session: PublishSession): Sql {
  const equal = keyColumns(session).map(column => sql`${ident('t', column.name)} = ${castValue(column)}`)
  return joinSql(equal, ' and ')
}

/** `overriding system value`: an identity column takes the value that is written, as every other column does. */
function insertFrom({ plan, stage }: PublishSession, condition: Sql): Sql {
  return sql`insert into ${plan.table} (${namesOf(plan.columns)}) overriding system value
    select ${joinSql(plan.columns.map(castValue))} from ${stage.rows} s where ${condition}`
}

function insertAll(session: PublishSession): Promise<bigint> {
  return session.execute(insertFrom(session, sql`true`))
}

function isThere(session: PublishSession): Sql {
  return sql`exists (select 1 from ${session.plan.table} t where ${sameKey(session)})`
}

function insertMissing(session: PublishSession): Promise<bigint> {
  return session.execute(insertFrom(session, sql`not ${isThere(session)}`))
}

/** What a unique constraint keeps out is looked for only then: a table without one takes a key again. */
async function insertNew(session: PublishSession): Promise<bigint> {
  await session.query(sql`savepoint before_rows`)
  try {
    return await insertAll(session)
  } catch (error) {
    if (session.order.key.length === 0 || !isTakenError(error)) throw error
    await session.query(sql`rollback to savepoint before_rows`)
    await refuseTakenKeys(session)
    throw error
  }
}

async function refuseTakenKeys(session: PublishSession): Promise<void> {
  const { order, stage } = session
  const [row] = await session.query(
    sql`select count(*), string_agg(example, '; ') filter (where place <= ${examplesMax})
    from (select ${keyText(order.key)} as example, row_number() over () as place
      from ${stage.rows} s where ${isThere(session)}) taken`,
  )
  const [rows, examples] = row as TextRow
  if (rows == null || rows === '0') return
  const key = order.key.join(', ')
  throw fail('WRITE_KEYS_TAKEN', { system: order.system, table: order.remote, key, rows, examples: examples ?? '' })
}

/**
 * Updates rows by key where a value is another one. Compared are the bytes, because equal is not the same for many types
 * (1.0 and 1.00, a day and 24 hours); as records, because the server compares two written-out rows value by value. `resets` gives the columns that are not written their defaults, as a new row has.
 */
async function updateChanged(session: PublishSession, resets: boolean): Promise<void> {
  const { order, plan, stage } = session
  const changed = plan.columns.filter(column => !order.key.includes(column.name))
  const others = resets ? plan.others : []
  if (changed.length + others.length === 0) return
  const sets = [
    ...changed.map(column => sql`${ident(column.name)} = ${castValue(column)}`),
    ...others.map(name => sql`${ident(name)} = default`),
  ]
  const now = joinSql(changed.map(column => ident('t', column.name)))
  const isChanged =
    others.length > 0 ? sql`true` : sql`row(${now})::record *<> row(${joinSql(changed.map(castValue))})::record`
  await session.execute(
    sql`update ${plan.table} t set ${joinSql(sets)} from ${stage.rows} s where ${sameKey(session)} and ${isChanged}`,
  )
}

/**
 * Deletes and inserts in one transaction: readers see the old rows until it commits, and the table keeps its identity,
 * its rights, views and indexes. (TRUNCATE would be faster and shows an empty table to every view taken before it.) Where
 * other tables refer to the rows, those that stay are changed in place, so that no foreign key takes their rows along.
 */
async function replaceAll(session: PublishSession): Promise<Written> {
  const { plan, stage } = session
  if (!plan.isReferenced) {
    const deleted = await session.execute(sql`delete from ${plan.table}`)
    return { ...nothingWritten, deleted, inserted: await insertAll(session) }
  }
  const counts = sql`select (select count(*) from ${plan.table}), (select count(*) from ${stage.rows})`
  const [before, after] = (await session.query(counts))[0] as [string, string]
  await session.execute(
    sql`delete from ${plan.table} t where not exists (select 1 from ${stage.rows} s where ${sameKey(session)})`,
  )
  await updateChanged(session, true)
  await insertMissing(session)
  return { ...nothingWritten, deleted: BigInt(before), inserted: BigInt(after) }
}

/** A key as an error shows it: `id = 5, region = 'a'`. */
export function keyText(key: readonly string[]): Sql {
  const parts = key.map(name => sql`${`${name} = `} || coalesce(left(${ident('s', name)}::text, 60), 'NULL')`)
  return joinSql(parts, ` || ', ' || `)
}

async function refuseRepeatedKeys(session: PublishSession): Promise<void> {
  const { order, stage } = session
  // By the types of the target: what is different text may be the same key there.
  const groups = joinSql(keyColumns(session).map(castValue))
  const [row] = await session.query(
    sql`
    select sum(rows), string_agg(example, '; ') filter (where place <= ${examplesMax})
    from (select count(*) as rows, min(${keyText(order.key)}) as example, row_number() over () as place
      from ${stage.rows} s where ${joinSql(
        keyColumns(session).map(it => sql`${ident('s', it.name)} is not null`),
        ' and ',
      )}
      group by ${groups} having count(*) > 1) repeated`,
  )
  const [rows, examples] = row as TextRow
  if (rows == null) return
  throw fail('WRITE_KEY_REPEATED', { system: order.system, table: order.remote, rows, examples: examples ?? '' })
}

interface FoundKeys {
  /** Rows of the target that the keys find. */
  readonly rows: bigint
  readonly missedNone: bigint
  readonly missedMany: bigint
}

/** For each staged key the rows of the target that have it. */
function hits(session: PublishSession): Sql {
  const { order, plan, stage } = session
  return sql`select min(${keyText(order.key)}) as example, count(t.ctid) as rows
    from ${stage.rows} s left join ${plan.table} t on ${sameKey(session)} group by s.ctid`
}

async function countKeys(session: PublishSession): Promise<FoundKeys> {
  const [row] = await session.query(
    sql`
    select coalesce(sum(rows), 0), count(*) filter (where rows = 0), count(*) filter (where rows > 1)
    from (${hits(session)}) hits`,
  )
  const [rows, missedNone, missedMany] = (row as readonly string[]).map(BigInt)
  return { rows, missedNone, missedMany } as FoundKeys
}

/** An upsert adds keys that find no row; a key that finds many is as wrong there as in an update. */
async function refuseMissedKeys(session: PublishSession, { missedNone, missedMany }: FoundKeys): Promise<void> {
  const { order } = session
  const none = order.mode === 'upsert' ? 0n : missedNone
  if (none + missedMany === 0n) return
  const isMissed = rawSql(order.mode === 'upsert' ? 'rows > 1' : 'rows <> 1')
  const examples = await session.query(
    sql`select example from (${hits(session)}) hits where ${isMissed} order by 1 limit ${examplesMax}`,
  )
  throw fail('WRITE_KEYS_MISSED', {
    system: order.system,
    table: order.remote,
    none: String(none),
    many: String(missedMany),
    examples: examples.map(([text]) => text).join('; '),
  })
}

/**
 * Moves the sequences of the written columns behind the values that are there now; otherwise the next row of another
 * program would get a number that is taken. Sequences that the account may not change, or that count down, stay.
 */
export async function moveSequences({ plan, query }: PublishSession): Promise<void> {
  const [schema, relation] = plan.table.path as [string, string]
  const found = await query(
    sql`
    select a.attname, n.nspname, c.relname
    from pg_depend d
    join pg_class c on c.oid = d.objid and c.relkind = 'S'
    join pg_namespace n on n.oid = c.relnamespace
    join pg_sequence q on q.seqrelid = c.oid and q.seqincrement > 0
    join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    join pg_class t on t.oid = d.refobjid
    join pg_namespace tn on tn.oid = t.relnamespace
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
      and tn.nspname = ${schema} and t.relname = ${relation}
      and has_sequence_privilege(c.oid, 'update') and has_sequence_privilege(c.oid, 'select')`,
  )
  for (const [column, sequenceSchema, name] of found) {
    if (!plan.columns.some(it => it.name === column)) continue
    const sequence = ident(sequenceSchema as string, name as string)
    await query(sql`
      select setval(${regclassText(sequenceSchema as string, name as string)}::regclass, top.value)
      from (select max(${ident(column as string)})::bigint as value from ${plan.table}) top, ${sequence} q
      where top.value > q.last_value or (top.value = q.last_value and not q.is_called)`)
  }
}

function regclassText(...path: readonly string[]): string {
  return path.map(name => `"${name.replaceAll('"', '""')}"`).join('.')
}
