import { fail, messageOf } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { WriteTarget, Written } from '../contract-writes.ts'
import { examplesMax, nothingWritten } from '../written.ts'
import { readTable } from './catalog.ts'
import type { Database } from './database.ts'
import { declaredType } from './values.ts'

const staged = ident('stage', 'naru_row')

/** Applies the attached stage to the target by the mode of the write, inside the caller's transaction. */
export function applyStage(
  copy: Database,
  target: WriteTarget,
  how: { readonly system: string; readonly missed: 'refuse' | 'report' },
): Written {
  if (target.create && readTable(copy, target.remote) === null) createTable(copy, target)
  refuseRepeated(copy, target, how.system)
  switch (target.mode) {
    case 'call':
      throw fail('INTERNAL', { what: 'SQLite was asked to call a procedure' })
    case 'insert':
      return { ...nothingWritten, inserted: insertNew(copy, target, how.system) }
    case 'replace':
      return { ...nothingWritten, ...replaceAll(copy, target, how.system) }
    case 'upsert': {
      const { missedMany } = missedKeys(copy, target, how)
      const updated = update(copy, target)
      return { ...nothingWritten, missedMany, updated, inserted: insertAll(copy, target, sql`not ${isThere(target)}`) }
    }
    case 'update':
    case 'delete': {
      const missed = missedKeys(copy, target, how)
      if (target.mode === 'update') return { ...nothingWritten, ...missed, updated: update(copy, target) }
      const isNamed = sql`exists (select 1 from ${staged} as s where ${sameKey(target)})`
      return {
        ...nothingWritten,
        ...missed,
        deleted: BigInt(copy.run(sql`delete from ${tableOf(target)} as t where ${isNamed}`)),
      }
    }
  }
}

function tableOf(target: WriteTarget): Sql {
  return sql`${ident('main', target.remote)}`
}

function createTable(copy: Database, { remote, columns, key }: WriteTarget): void {
  const list = columns.map(
    ({ name, type, nullable }) =>
      sql`${ident(name)} ${rawSql(declaredType(type))}${rawSql(nullable && !key.includes(name) ? '' : ' not null')}`,
  )
  const primary = key.length === 0 ? [] : [sql`primary key (${joinSql(key.map(name => ident(name)))})`]
  copy.run(sql`create table ${ident('main', remote)} (${joinSql([...list, ...primary])})`)
}

/** The staged column of a column by name: they are numbered, so that no name clashes with ours. */
function stagedColumn({ columns }: WriteTarget, name: string): Sql {
  return sql`s.${ident(`c${columns.findIndex(column => column.name === name)}`)}`
}

function sameKey(target: WriteTarget): Sql {
  return joinSql(
    target.key.map(name => sql`t.${ident(name)} = ${stagedColumn(target, name)}`),
    ' and ',
  )
}

/** A row of the target has the key of the staged one. */
function isThere(target: WriteTarget): Sql {
  return sql`exists (select 1 from ${tableOf(target)} as t where ${sameKey(target)})`
}

/** True for a row that a unique constraint refused: the driver gives no codes. */
export function isTakenError(error: unknown): boolean {
  return messageOf(error).includes('UNIQUE constraint failed')
}

/** What a unique constraint keeps out is looked for only then: a table without one takes a key again. */
function insertNew(copy: Database, target: WriteTarget, system: string): bigint {
  try {
    return insertAll(copy, target, sql`true`)
  } catch (error) {
    if (target.key.length > 0 && isTakenError(error)) refuseTaken(copy, target, system)
    throw error
  }
}

function refuseTaken(copy: Database, target: WriteTarget, system: string): void {
  const taken = sql`select ${keyText(target)} as k from ${staged} as s where ${isThere(target)}`
  const rows = countOf(copy, sql`select count(*) as n from (${taken})`)
  if (rows === 0n) return
  const about = { system, table: target.remote, key: target.key.join(', '), rows: String(rows) }
  throw fail('WRITE_KEYS_TAKEN', { ...about, examples: examplesOf(copy, taken) })
}

function insertAll(copy: Database, target: WriteTarget, which: Sql): bigint {
  const names = joinSql(target.columns.map(({ name }) => ident(name)))
  const values = joinSql(target.columns.map(({ name }) => stagedColumn(target, name)))
  return BigInt(
    copy.run(sql`insert into ${tableOf(target)} (${names}) select ${values} from ${staged} as s where ${which}`),
  )
}

/**
 * Deletes all and inserts all. The caller switched foreign keys off, so that the rows of other tables stay; what would
 * then point to nothing, or was put in and does, ends it.
 */
function replaceAll(copy: Database, target: WriteTarget, system: string): Pick<Written, 'deleted' | 'inserted'> {
  const dangling = sql`select count(*) as n from pragma_foreign_key_check`
  const before = countOf(copy, dangling)
  const deleted = countOf(copy, sql`select count(*) as n from ${tableOf(target)}`)
  copy.run(sql`delete from ${tableOf(target)}`)
  const inserted = insertAll(copy, target, sql`true`)
  const after = countOf(copy, dangling)
  if (after <= before) return { deleted, inserted }
  const problem = `${after - before} rows would point by a foreign key to a row that is not there`
  throw fail('WRITE_FAILED', { system, table: target.remote, problem })
}

function update(copy: Database, target: WriteTarget): bigint {
  const others = target.columns.filter(({ name }) => !target.key.includes(name))
  if (others.length === 0) {
    return countOf(
      copy,
      sql`select count(*) as n from ${tableOf(target)} as t, ${staged} as s where ${sameKey(target)}`,
    )
  }
  const list = joinSql(others.map(({ name }) => sql`${ident(name)} = ${stagedColumn(target, name)}`))
  return BigInt(copy.run(sql`update ${tableOf(target)} as t set ${list} from ${staged} as s where ${sameKey(target)}`))
}

function refuseRepeated(copy: Database, target: WriteTarget, system: string): void {
  if (target.key.length === 0) return
  const columns = target.key.map(name => stagedColumn(target, name))
  const isTold = joinSql(
    columns.map(column => sql`${column} is not null`),
    ' and ',
  )
  const repeated = sql`select ${keyText(target)} as k, count(*) as n from ${staged} as s where ${isTold}
    group by ${joinSql(columns)} having count(*) > 1`
  refuseKeys(copy, target, system, repeated)
  if (target.mode === 'replace' || target.mode === 'insert') return
  // By the collation of the target: what is different text may be one key there, and one of two rows would win in silence.
  const found = joinSql(target.key.map(name => ident('t', name)))
  const shared = sql`
    select min(${keyText(target)}) as k, count(distinct s.rowid) as n from ${staged} as s
    join ${tableOf(target)} as t on ${sameKey(target)} group by ${found} having count(distinct s.rowid) > 1`
  refuseKeys(copy, target, system, shared)
}

function refuseKeys(copy: Database, target: WriteTarget, system: string, repeated: Sql): void {
  const rows = countOf(copy, sql`select coalesce(sum(n), 0) as n from (${repeated})`)
  if (rows === 0n) return
  const examples = examplesOf(copy, repeated)
  throw fail('WRITE_KEY_REPEATED', { system, table: target.remote, rows: String(rows), examples })
}

function missedKeys(
  copy: Database,
  target: WriteTarget,
  { system, missed }: { readonly system: string; readonly missed: 'refuse' | 'report' },
): Pick<Written, 'missedNone' | 'missedMany'> {
  const hits = sql`select ${keyText(target)} as k,
    (select count(*) from ${tableOf(target)} as t where ${sameKey(target)}) as n from ${staged} as s`
  // A key that finds nothing is what an upsert adds.
  const isUpsert = target.mode === 'upsert'
  const missedNone = isUpsert ? 0n : countOf(copy, sql`select count(*) as n from (${hits}) where n = 0`)
  const missedMany = countOf(copy, sql`select count(*) as n from (${hits}) where n > 1`)
  if (missed === 'report' || missedNone + missedMany === 0n) return { missedNone, missedMany }
  const examples = examplesOf(copy, sql`select k from (${hits}) where ${isUpsert ? sql`n > 1` : sql`n <> 1`}`)
  const counts = { none: String(missedNone), many: String(missedMany) }
  throw fail('WRITE_KEYS_MISSED', { system, table: target.remote, ...counts, examples })
}

function keyText(target: WriteTarget): Sql {
  return joinSql(
    target.key.map(name => sql`${`${name} = `} || coalesce(cast(${stagedColumn(target, name)} as text), 'NULL')`),
    ` || ', ' || `,
  )
}

function examplesOf(copy: Database, keys: Sql): string {
  const rows = copy.rows(sql`select k from (${keys}) order by k limit ${examplesMax}`)
  return rows.map(row => String(row['k'])).join('; ')
}

function countOf(copy: Database, query: Sql): bigint {
  const [row] = copy.rows(query)
  return BigInt((row?.['n'] ?? 0) as number)
}
