import { joinSql, rawSql, renderSql, sql, type Sql } from '../../../../core/sql.ts'
import { postgresDialect } from '../../../../systems/postgres/dialect.ts'
import type { Leftover, Leftovers, LeftTables } from '../../contract-capture.ts'
import { changeTableTexts, outboxTexts, type LeftFigures } from '../../leftover-texts.ts'
import type { Connection } from '../connection.ts'
import {
  CAPTURE_SCHEMA,
  capturedTable,
  changeIdent,
  changeName,
  outboxTable,
  schemaName,
  sequenceName,
  streamTable,
} from './names.ts'
import { positionOf } from './position.ts'
import { dropOwn, quoted } from './script.ts'
import { streamLock } from './state.ts'

type Left = LeftTables & { readonly technique: 'trigger' | 'event' }

/** What is left of change tables or of an outbox, by the catalogs. Only whose they are is read of a table of ours. */
export async function leftOf(connection: Connection, left: Left, signal: AbortSignal): Promise<Leftovers> {
  const { technique, isWhole } = left
  const [log = '', system] = (positionOf(left.position)?.log ?? '').split('.')
  const [at] = await connection.query(
    sql`
    select (select system_identifier from pg_control_system()) = ${system ?? ''}::numeric,
      (select true from pg_namespace n where n.nspname = ${CAPTURE_SCHEMA}),
      s.oid, has_schema_privilege(s.relnamespace, 'usage') and has_table_privilege(s.oid, 'select')
    from (values (1)) as one(n) left join (select c.* from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = ${CAPTURE_SCHEMA} and c.relname = 'naru_stream') s on true`,
    signal,
  )
  const [isSameServer, hasSchema, streams, mayRead] = at ?? []
  if (isSameServer !== 't') return { kind: 'unseen', problem: 'this is another server than the one where it was made' }
  if (hasSchema !== 't') return { kind: 'gone' }
  if (streams != null && mayRead !== 't') {
    const problem = `the account may not read ${CAPTURE_SCHEMA}.naru_stream, which says whose it is`
    return { kind: 'unseen', problem }
  }
  const known =
    streams == null ? [] : await connection.query(sql`select technique, identity from ${streamTable}`, signal)
  const mine = known.find(([name]) => name === technique)
  // Made anew since, by whoever reads it now: of ours nothing is left.
  if (mine !== undefined && mine[1] !== log) return { kind: 'gone' }
  if (technique === 'event' && !isWhole) return { kind: 'gone' }
  if (isWhole && (await isRead(connection, technique, signal))) return { kind: 'read' }
  return technique === 'event' ? outboxLeft(connection, signal) : tablesLeft(connection, left, signal)
}

async function isRead(connection: Connection, technique: Left['technique'], signal: AbortSignal): Promise<boolean> {
  const [row] = await connection.query(
    sql`select exists (select from pg_locks l where l.locktype = 'advisory' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and ((l.classid::bigint << 32) | l.objid::bigint) = ${streamLock(technique)})`,
    signal,
  )
  return row?.[0] === 't'
}

interface Found {
  readonly remote: string
  readonly figures: LeftFigures
  readonly triggers: number
}

async function tablesLeft(connection: Connection, { remotes, isWhole }: Left, signal: AbortSignal): Promise<Leftovers> {
  if (remotes.length === 0) return { kind: 'gone' }
  const names = remotes.map((remote, i) => sql`(${i}, ${changeName(remote)})`)
  const rows = await connection.query(
    sql`
    select a.place, coalesce(pg_stat_get_live_tuples(c.oid), 0), coalesce(pg_total_relation_size(c.oid), 0),
      (select count(distinct g.tgrelid) from pg_trigger g where g.tgfoid = p.oid)
    from (values ${joinSql(names)}) as a(place, name) join pg_namespace n on n.nspname = ${CAPTURE_SCHEMA}
      left join pg_class c on c.relnamespace = n.oid and c.relname = a.name and c.relkind = 'r'
      left join pg_proc p on p.pronamespace = n.oid and p.proname = a.name
    where c.oid is not null or p.oid is not null order by a.place`,
    signal,
  )
  const found = rows.map(([place, live, bytes, triggers]): Found => {
    const remote = remotes[Number(place)] as string
    return { remote, figures: { rows: live as string, bytes: bytes as string }, triggers: Number(triggers) }
  })
  if (found.length === 0) return { kind: 'gone' }
  const removal = ({ remote }: Found): readonly Sql[] => [
    ...dropOwn(remote),
    sql`drop table if exists ${changeIdent(remote)}`,
    forget(remote),
    ...(isWhole ? [endOf('trigger')] : []),
  ]
  return {
    kind: 'found',
    found: found.map((it): Leftover => ({
      remotes: [it.remote],
      ...changeTableTexts(textOf(sql`${changeIdent(it.remote)}`), it),
      remove: removal(it).map(statement),
    })),
  }
}

async function outboxLeft(connection: Connection, signal: AbortSignal): Promise<Leftovers> {
  const [row] = await connection.query(
    sql`select pg_stat_get_live_tuples(c.oid), pg_total_relation_size(c.oid) from pg_class c
      join pg_namespace n on n.oid = c.relnamespace where n.nspname = ${CAPTURE_SCHEMA} and c.relname = ${outboxTable.path[1] as string}`,
    signal,
  )
  if (row === undefined) return { kind: 'gone' }
  const told = outboxTexts(textOf(sql`${outboxTable}`), { rows: row[0] as string, bytes: row[1] as string })
  const remove = [sql`drop table if exists ${outboxTable}`, endOf('event')].map(statement)
  return { kind: 'found', found: [{ remotes: [], ...told, remove }] }
}

/** What is noted of a table. Whoever removes the last one removes the notes as well. */
function forget(remote: string): Sql {
  const notes = textOf(sql`${capturedTable}`)
  return block(
    sql`if to_regclass(${notes}) is not null then delete from ${capturedTable} where remote = ${remote}; end if;`,
  )
}

/**
 * Ends a stream that has no table any more, and then what all streams stand on, where none is left and nothing else is in the
 * schema. It stands behind each table, so that they can be removed in any order, and some of them only.
 */
function endOf(technique: Left['technique']): Sql {
  const isThere = sql`exists (select from ${capturedTable} c join pg_class t on t.oid = c.changes)`
  const base = [
    sql`drop table ${streamTable}, ${capturedTable};`,
    sql`drop sequence ${rawSql(sequenceName)};`,
    sql`drop schema ${schemaName};`,
  ]
  const steps = [
    sql`if to_regclass(${textOf(sql`${streamTable}`)}) is null then return; end if;`,
    ...(technique === 'trigger' ? [sql`if ${isThere} then return; end if;`, sql`delete from ${capturedTable};`] : []),
    sql`delete from ${streamTable} where technique = ${technique};`,
    sql`if exists (select from ${streamTable}) then return; end if;`,
    sql`begin ${joinSql(base, ' ')} exception when dependent_objects_still_exist then null; end;`,
  ]
  return block(joinSql(steps, ' '))
}

/** A statement that decides for itself: what was there when it was printed may have gone since. */
function block(body: Sql): Sql {
  return sql`do ${quoted(sql`begin ${body} end`)}`
}

function textOf(it: Sql): string {
  return renderSql(it, postgresDialect).text
}

function statement(it: Sql): string {
  return `${textOf(it)};`
}
