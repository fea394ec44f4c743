import { fail, systemCodeOf } from '../../../core/errors.ts'
import { ident, joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { WriteTarget, Written } from '../contract-writes.ts'
import { examplesMax, examplesOf, nothingWritten } from '../written.ts'
import type { CatalogTable } from './catalog.ts'
import { fromTable } from './columns.ts'
import type { Connection } from './connection.ts'
import type { StageNames } from './write-target.ts'

/** One write, staged whole. */
export interface Staged {
  readonly connection: Connection
  readonly system: string
  readonly table: CatalogTable
  readonly wanted: WriteTarget
  readonly names: StageNames
}

/** Throws `WRITE_KEY_REPEATED` when staged rows share a key. */
export async function refuseRepeated(staged: Staged, signal: AbortSignal): Promise<void> {
  const { connection, wanted, names, system } = staged
  if (wanted.key.length === 0) return
  const key = stagedKey(wanted)
  const isTold = joinSql(
    key.map(column => sql`${column} is not null`),
    ' and ',
  )
  const groups = sql`select ${joinSql(key)}, count(*) as n from ${names.rows} as s where ${isTold}
    group by ${joinSql(key)} having count(*) > 1`
  const [row] = await connection.query(sql`select coalesce(sum(n), 0) from (${groups}) as g`, signal)
  if (row?.[0] === '0') return
  const examples = examplesOf(await connection.query(sql`${groups} limit ${examplesMax}`, signal), wanted)
  throw fail('WRITE_KEY_REPEATED', { system, table: wanted.remote, rows: row?.[0] ?? '', examples })
}

/** Applies the stage to the target within a transaction that the caller opened. Keys are compared by the target's own collation. */
export async function apply(staged: Staged, missed: 'refuse' | 'report', signal: AbortSignal): Promise<Written> {
  const { connection, table, wanted } = staged
  const run = async (statement: Sql): Promise<bigint> => (await connection.run(statement, signal)).affected
  switch (wanted.mode) {
    case 'call':
      throw fail('INTERNAL', { what: 'calls were asked for as a change of a table' })
    case 'insert':
      return { ...nothingWritten, inserted: await insertNew(staged, signal) }
    case 'replace': {
      if (await isReferenced(staged, signal)) return replaceInPlace(staged, signal)
      const deleted = await run(sql`delete from ${ident(table.schema, table.relation)}`)
      return { ...nothingWritten, deleted, inserted: await run(insertFrom(staged, sql`true`)) }
    }
    case 'upsert': {
      const { missedMany } = await countMissed(staged, missed, signal)
      const updated = await update(staged, signal)
      return {
        ...nothingWritten,
        missedMany,
        updated,
        inserted: await run(insertFrom(staged, sql`not ${isThere(staged)}`)),
      }
    }
    case 'update': {
      const misses = await countMissed(staged, missed, signal)
      return { ...nothingWritten, ...misses, updated: await update(staged, signal) }
    }
    case 'delete': {
      const misses = await countMissed(staged, missed, signal)
      const deleted = await run(
        sql`delete t from ${fromTable(table)} join ${staged.names.rows} as s on ${sameKey(wanted)}`,
      )
      return { ...nothingWritten, ...misses, deleted }
    }
  }
}

async function isReferenced({ connection, table }: Staged, signal: AbortSignal): Promise<boolean> {
  const [row] = await connection.query(
    sql`select count(*) from information_schema.key_column_usage
      where referenced_table_schema = ${table.schema} and referenced_table_name = ${table.relation}`,
    signal,
  )
  return row?.[0] !== '0'
}

/**
 * Foreign keys point to the rows: one that was deleted and put back would take the rows that point to it along. So the
 * rows that stay are changed in place; the columns that are not written get their defaults, as a new row has.
 */
async function replaceInPlace(staged: Staged, signal: AbortSignal): Promise<Written> {
  const { connection, system, table, wanted, names } = staged
  if (wanted.key.length === 0) {
    const problem = 'foreign keys point to its rows, and no key tells which of them stay'
    throw fail('WRITE_TARGET', { system, table: wanted.remote, problem })
  }
  const target = ident(table.schema, table.relation)
  const [before] = await connection.query(sql`select count(*) from ${target} for update`, signal)
  await connection.run(
    sql`delete t from ${fromTable(table)} left join ${names.rows} as s on ${sameKey(wanted)} where s._id is null`,
    signal,
  )
  const others = table.columns.filter(it => !it.generated && !wanted.columns.some(({ name }) => name === it.name))
  if (others.length > 0) {
    const sets = others.map(({ name }) => sql`${ident(name)} = default`)
    await connection.run(sql`update ${target} set ${joinSql(sets)}`, signal)
  }
  await update(staged, signal)
  await connection.run(insertFrom(staged, sql`not ${isThere(staged)}`), signal)
  const [after] = await connection.query(sql`select count(*) from ${target}`, signal)
  const [given] = await connection.query(sql`select count(*) from ${names.rows}`, signal)
  const [left, wantedRows] = [BigInt(after?.[0] ?? '0'), BigInt(given?.[0] ?? '0')]
  if (left !== wantedRows) {
    const problem = `${left} rows would stand in the target, of ${wantedRows}: its key ${wanted.key.join(', ')} names more than one row`
    throw fail('WRITE_TARGET', { system, table: wanted.remote, problem })
  }
  return { ...nothingWritten, deleted: BigInt(before?.[0] ?? '0'), inserted: wantedRows }
}

function stagedColumn({ columns }: WriteTarget, name: string): Sql {
  return sql`${ident(`c${columns.findIndex(column => column.name === name)}`)}`
}

function stagedKey(wanted: WriteTarget): readonly Sql[] {
  return wanted.key.map(name => sql`s.${stagedColumn(wanted, name)}`)
}

/** A row of the target has the key of the staged one. */
function isThere({ table, wanted }: Staged): Sql {
  return sql`exists (select 1 from ${fromTable(table)} where ${sameKey(wanted)})`
}

/** `t` is the target, `s` the stage. NULL is no key: it finds nothing. */
function sameKey(wanted: WriteTarget): Sql {
  return joinSql(
    wanted.key.map(name => sql`${ident('t', name)} = s.${stagedColumn(wanted, name)}`),
    ' and ',
  )
}

function insertFrom({ table, wanted, names }: Staged, where: Sql): Sql {
  const into = joinSql(wanted.columns.map(({ name }) => ident(name)))
  const from = joinSql(wanted.columns.map((_, i) => ident('s', `c${i}`)))
  return sql`insert into ${ident(table.schema, table.relation)} (${into})
    select ${from} from ${names.rows} as s where ${where} order by s._id`
}

/** True for a row that a unique index refused. */
export function isTakenError(error: unknown): boolean {
  return systemCodeOf(error) === '1062'
}

/** What a unique index keeps out is looked for only then: a table without one takes a key again. */
async function insertNew(staged: Staged, signal: AbortSignal): Promise<bigint> {
  try {
    return (await staged.connection.run(insertFrom(staged, sql`true`), signal)).affected
  } catch (error) {
    if (staged.wanted.key.length > 0 && isTakenError(error)) await refuseTakenKeys(staged, signal)
    throw error
  }
}

async function refuseTakenKeys(staged: Staged, signal: AbortSignal): Promise<void> {
  const { connection, wanted, names, system } = staged
  const taken = sql`from ${names.rows} as s where ${isThere(staged)}`
  const [row] = await connection.query(sql`select count(*) ${taken}`, signal)
  if (row?.[0] === '0') return
  const key = joinSql(stagedKey(wanted))
  const found = await connection.query(sql`select ${key} ${taken} order by ${key} limit ${examplesMax}`, signal)
  const about = { system, table: wanted.remote, key: wanted.key.join(', '), rows: row?.[0] ?? '' }
  throw fail('WRITE_KEYS_TAKEN', { ...about, examples: examplesOf(found, wanted) })
}

/** The rows of the target that were found, also those that are the same already: the session counts them so. */
async function update({ connection, table, wanted, names }: Staged, signal: AbortSignal): Promise<bigint> {
  const others = wanted.columns.filter(({ name }) => !wanted.key.includes(name))
  const joined = sql`${fromTable(table)} join ${names.rows} as s on ${sameKey(wanted)}`
  if (others.length === 0) {
    const [row] = await connection.query(sql`select count(*) from ${joined} for update`, signal)
    return BigInt(row?.[0] ?? '0')
  }
  const sets = others.map(({ name }) => sql`${ident('t', name)} = s.${stagedColumn(wanted, name)}`)
  return (await connection.run(sql`update ${joined} set ${joinSql(sets)}`, signal)).affected
}

async function countMissed(
  { connection, system, table, wanted, names }: Staged,
  missed: 'refuse' | 'report',
  signal: AbortSignal,
): Promise<Pick<Written, 'missedNone' | 'missedMany'>> {
  const key = joinSql(stagedKey(wanted))
  // A row that finds nothing is joined with NULLs, and a key that is NULL finds nothing.
  const found = sql`count(${ident('t', wanted.key[0] as string)})`
  const counts = sql`select s._id, ${key}, ${found} as n from ${names.rows} as s
    left join ${fromTable(table)} on ${sameKey(wanted)} group by s._id, ${key}`
  const [row] = await connection.query(
    sql`select coalesce(sum(n = 0), 0), coalesce(sum(n > 1), 0) from (${counts}) as g`,
    signal,
  )
  const [notFound, many] = row as readonly [string, string]
  // A key that finds nothing is what an upsert adds.
  const none = wanted.mode === 'upsert' ? '0' : notFound
  if (missed === 'refuse' && (none !== '0' || many !== '0')) {
    const isBad = wanted.mode === 'upsert' ? sql`n > 1` : sql`n <> 1`
    const bad = await connection.query(sql`${counts} having ${isBad} limit ${examplesMax}`, signal)
    const examples = examplesOf(
      bad.map(it => it.slice(1)),
      wanted,
    )
    throw fail('WRITE_KEYS_MISSED', { system, table: wanted.remote, none, many, examples })
  }
  return { missedNone: BigInt(none), missedMany: BigInt(many) }
}
