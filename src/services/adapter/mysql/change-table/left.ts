import { ident, renderSql, sql, type Sql } from '../../../../core/sql.ts'
import { mysqlDialect } from '../../../../systems/mysql/dialect.ts'
import type { CapturedTable, Leftover, Leftovers, LeftTables } from '../../contract-capture.ts'
import { idPositionOf } from '../../id-gaps.ts'
import { changeTableTexts, outboxTexts, type LeftFigures } from '../../leftover-texts.ts'
import type { Connection } from '../connection.ts'
import { privilegeProblems } from '../privileges.ts'
import type { Target } from '../target.ts'
import { hasTable } from './heads.ts'
import { changeName, OUTBOX, sourceName, STREAM, triggerName, type TableTechnique } from './names.ts'
import { capturedIdent, changeIdent, dropScript, streamIdent } from './script.ts'

interface Given {
  readonly connection: Connection
  readonly target: Target
  readonly technique: TableTechnique
  /** Name of the lock that a reader of the stream holds. */
  readonly lock: Sql
}

/** What is left of change tables or of an outbox. The server shows an account only what it may use: the rest is asked of its grants. */
export async function leftOf(given: Given, left: LeftTables, signal: AbortSignal): Promise<Leftovers> {
  const { connection, target, technique, lock } = given
  const { database } = target
  // Tables of an outbox leave nothing of their own.
  if (technique === 'event' && !left.isWhole) return { kind: 'gone' }
  if (!(await hasTable(connection, database, STREAM, signal))) return goneOrHidden(given, left, signal)
  const known = await connection.query(sql`select technique, identity from ${streamIdent(database)}`, signal)
  const mine = known.find(([name]) => name === technique)
  // Made anew since, by whoever reads it now: of ours nothing is left.
  if (mine !== undefined && mine[1] !== idPositionOf(left.position)?.log) return { kind: 'gone' }
  const [held] = left.isWhole ? await connection.query(sql`select is_used_lock(${lock}) is not null`, signal) : []
  if (held?.[0] === '1') return { kind: 'read' }
  const others = known.length - (mine === undefined ? 0 : 1)
  const found =
    technique === 'event'
      ? await outboxLeft(connection, database, others, signal)
      : await tablesLeft(connection, database, { ...left, others }, signal)
  const isAll = technique === 'event' || found.length === left.remotes.length
  const hidden = isAll ? null : await goneOrHidden(given, left, signal)
  if (found.length === 0 || hidden?.kind === 'unseen') return hidden ?? { kind: 'gone' }
  return { kind: 'found', found }
}

async function goneOrHidden(
  { connection, target, technique }: Given,
  { remotes }: LeftTables,
  signal: AbortSignal,
): Promise<Leftovers> {
  const tables = remotes.map((remote): CapturedTable => ({ name: remote, remote, columns: [], key: [] }))
  const [lacking] = await privilegeProblems(connection, target, { technique, tables }, signal)
  return lacking === undefined
    ? { kind: 'gone' }
    : { kind: 'unseen', problem: `the server shows an account only what it may use, and ${lacking.text}` }
}

async function tablesLeft(
  connection: Connection,
  database: string,
  { remotes, isWhole, others }: LeftTables & { readonly others: number },
  signal: AbortSignal,
): Promise<readonly Leftover[]> {
  const found: { readonly remote: string; readonly figures: LeftFigures; readonly triggers: number }[] = []
  for (const remote of remotes) {
    const { schema, relation } = sourceName(remote)
    const figures = await figuresOf(connection, schema ?? database, changeName(relation), signal)
    if (figures === null) continue
    const [row] = await connection.query(
      sql`select count(*) from information_schema.triggers g where g.trigger_schema = ${schema ?? database}
        and g.trigger_name in (${triggerName(relation, 'insert')}, ${triggerName(relation, 'update')}, ${triggerName(relation, 'delete')})`,
      signal,
    )
    found.push({ remote, figures, triggers: Number(row?.[0]) })
  }
  const names = found.map(it => it.remote)
  const captured = isWhole && (await hasTable(connection, database, 'naru_captured', signal))
  const rows = captured ? await connection.query(sql`select remote from ${capturedIdent(database)}`, signal) : []
  const isAlone = isWhole && rows.every(([remote]) => names.includes(remote as string))
  return found.map(({ remote, figures, triggers }, i): Leftover => {
    const end = isAlone && i === found.length - 1 ? endOf(database, 'trigger', others) : []
    return {
      remotes: [remote],
      ...changeTableTexts(textOf(sql`${changeIdent(remote, database)}`), { remote, figures, triggers }),
      remove: [...dropScript(remote, database), ...end].map(statement),
    }
  })
}

async function outboxLeft(
  connection: Connection,
  database: string,
  others: number,
  signal: AbortSignal,
): Promise<readonly Leftover[]> {
  const figures = await figuresOf(connection, database, OUTBOX, signal)
  if (figures === null) return []
  const outbox = ident(database, OUTBOX)
  const remove = [sql`drop table if exists ${outbox}`, ...endOf(database, 'event', others)].map(statement)
  return [{ remotes: [], ...outboxTexts(textOf(sql`${outbox}`), figures), remove }]
}

/** Estimates of the server; `null` when there is no such table that the account may use. */
async function figuresOf(
  connection: Connection,
  schema: string,
  name: string,
  signal: AbortSignal,
): Promise<LeftFigures | null> {
  const [row] = await connection.query(
    sql`select coalesce(table_rows, 0), coalesce(data_length + index_length, 0) from information_schema.tables
      where table_schema = ${schema} and table_name = ${name}`,
    signal,
  )
  return row === undefined ? null : { rows: row[0] as string, bytes: row[1] as string }
}

/** The last of a stream; with no other technique beside it the tables of streams go as well. */
function endOf(database: string, technique: TableTechnique, others: number): readonly Sql[] {
  const ending = sql`delete from ${streamIdent(database)} where technique = ${technique}`
  if (others > 0) return [ending]
  return [streamIdent(database), capturedIdent(database)].map(table => sql`drop table if exists ${table}`)
}

function textOf(it: Sql): string {
  return renderSql(it, mysqlDialect).text
}

function statement(it: Sql): string {
  return `${textOf(it)};`
}
