import { changeOp } from '../../../../core/change-slice.ts'
import { ident, joinSql, rawSql, renderSql, sql, type Sql } from '../../../../core/sql.ts'
import { postgresDialect } from '../../../../systems/postgres/dialect.ts'
import { keptColumns, type CapturedTable } from '../../contract-capture.ts'
import { sourceIdent, sourceName } from '../source-name.ts'
import { keptText, type KeptColumn, type SourceForm } from './kept.ts'
import {
  capturedTable,
  changeIdent,
  changeName,
  outboxTable,
  own,
  schemaName,
  sequenceName,
  streamTable,
  triggerNames,
} from './names.ts'

/** The techniques that keep something in the schema of the captures: two of them read a table of changes. */
export type TableTechnique = 'trigger' | 'event' | 'status'

/** What both techniques stand on. `identity` is that of a log which is made now. */
export function baseScript(technique: TableTechnique, identity: Sql): readonly Sql[] {
  return [
    sql`create schema if not exists ${schemaName}`,
    sql`create table if not exists ${streamTable} (
  technique text primary key, identity text not null, pruned pg_snapshot, pinned xid8, owner text)`,
    sql`create table if not exists ${capturedTable} (
  remote text primary key, relation oid not null, changes oid not null, columns text not null, state text not null)`,
    sql`create sequence if not exists ${rawSql(sequenceName)}`,
    sql`insert into ${streamTable} (technique, identity) values (${technique}, ${identity}) on conflict do nothing`,
  ]
}

/** Everything for one table. Waits for its writers, and then holds them until the transaction ends: a moment. */
export function tableScript(table: CapturedTable): readonly Sql[] {
  const [source, changes] = [sourceIdent(table.remote), changeIdent(table.remote)]
  const columns = keptColumns(table)
  const run = sql`for each statement execute function ${changes}()`
  const triggers = Object.values(triggerNames).map(name => ident(name))
  return [
    ...dropScript(table.remote),
    // Types as the table has them, whatever they are: nothing is converted on the way.
    sql`create table ${changes} as
  select null::xid8 as ${ident(own.xid)}, null::bigint as ${ident(own.seq)}, null::smallint as ${ident(own.op)},
    ${listOf('t', columns)}
  from ${source} as t with no data`,
    sql`create index on ${changes} (${ident(own.xid)}, ${ident(own.seq)})`,
    functionScript(table),
    sql`create trigger ${ident(triggerNames.insert)} after insert on ${source}
  referencing new table as new_rows ${run}`,
    sql`create trigger ${ident(triggerNames.update)} after update on ${source}
  referencing old table as old_rows new table as new_rows ${run}`,
    sql`create trigger ${ident(triggerNames.delete)} after delete on ${source}
  referencing old table as old_rows ${run}`,
    sql`create trigger ${ident(triggerNames.truncate)} after truncate on ${source} ${run}`,
    // Also in sessions that replicate or restore (session_replication_role), which run no other triggers.
    sql`alter table ${source} ${joinSql(triggers.map(name => sql`enable always trigger ${name}`))}`,
    rememberTable(table),
  ]
}

/** Makes other writers wait until the transaction ends, behind those that write now. */
export function holdScript(remote: string): Sql {
  return sql`lock table ${sourceIdent(remote)} in share row exclusive mode`
}

/**
 * Makes the triggers of a table that is held keep other columns, while its log goes on: what was kept of a column that is
 * another one now is forgotten.
 */
export function widenScript(
  table: CapturedTable,
  {
    kept,
    before,
    source,
  }: { readonly kept: readonly KeptColumn[]; readonly before: readonly KeptColumn[]; readonly source: SourceForm },
): readonly Sql[] {
  const changes = changeIdent(table.remote)
  const isAsBefore = (it: KeptColumn): boolean => before.some(was => was.name === it.name && was.since === it.since)
  const gone = before.filter(was => !kept.some(it => it.name === was.name && isAsBefore(it)))
  const come = kept.filter(it => !isAsBefore(it))
  const typeOf = (name: string): Sql => rawSql(source.columns.find(it => it.name === name)?.type ?? '')
  const names = new Set(kept.map(it => it.name))
  // Also of what comes: earlier versions forgot what was not asked for, and left it in the change table.
  const dropped = new Set([...gone, ...come].map(it => it.name))
  return [
    ...[...dropped].map(name => sql`alter table ${changes} drop column if exists ${ident(name)}`),
    ...come.map(({ name }) => sql`alter table ${changes} add column ${ident(name)} ${typeOf(name)}`),
    functionScript({ ...table, columns: table.columns.filter(it => names.has(it.name)) }),
    noteKept(table.remote, kept),
  ]
}

/** Notes what the triggers of a table keep, and how they are now. */
export function noteKept(remote: string, kept: readonly KeptColumn[]): Sql {
  return sql`update ${capturedTable} c set columns = ${keptText(kept)}, state = ${stateOf(sql`c.relation`)} where c.remote = ${remote}`
}

/** Notes how kept columns are at the source. What became of the triggers meanwhile is not taken as sound. */
export function noteForms(remote: string, kept: readonly KeptColumn[]): Sql {
  return sql`update ${capturedTable} c set columns = ${keptText(kept)} where c.remote = ${remote}`
}

/** Keys are compared as texts: settings of the session that writes must not show two of them as one. */
function functionScript(table: CapturedTable): Sql {
  return sql`create or replace function ${changeIdent(table.remote)}() returns trigger
  language plpgsql security definer set search_path = pg_catalog set extra_float_digits = 1 set datestyle = iso
  as ${quoted(triggerBody(table))}`
}

/** Removes the triggers, the function and the change table of one table, whatever is left of them. */
export function dropScript(remote: string): readonly Sql[] {
  const [source, changes] = [sourceIdent(remote), changeIdent(remote)]
  return [
    ...Object.values(triggerNames).map(name => sql`drop trigger if exists ${ident(name)} on ${source}`),
    ...dropOwn(remote),
    sql`drop table if exists ${changes}`,
    sql`delete from ${capturedTable} where remote = ${remote}`,
  ]
}

/** The function, and with it triggers of a table that has another name now. */
export function dropOwn(remote: string): readonly Sql[] {
  return [sql`drop function if exists ${changeIdent(remote)}() cascade`]
}

/** The outbox. */
export function outboxScript(): readonly Sql[] {
  return [
    sql`create table if not exists ${outboxTable} (
  naru_xid xid8 not null default pg_current_xact_id(),
  id bigint not null default nextval(${sequenceName}) primary key,
  created_at timestamp with time zone not null default now(),
  table_name text not null,
  op text not null,
  key json not null,
  row json,
  idempotency_key text not null default gen_random_uuid()::text unique)`,
    sql`create index if not exists outbox_naru_xid on ${outboxTable} (naru_xid, id)`,
  ]
}

/** The state of a table's triggers and function: any change of them, also one that was taken back, makes it another text. */
export function stateOf(relation: Sql): Sql {
  return sql`coalesce((
    select string_agg(concat_ws(':', g.tgname, g.tgenabled, g.tgtype, g.xmin, p.oid, p.xmin), ',' order by g.tgname)
    from pg_trigger g join pg_proc p on p.oid = g.tgfoid join pg_namespace n on n.oid = p.pronamespace
    where g.tgrelid = ${relation} and n.nspname = ${schemaName.path[0] as string}), '') || '/' || coalesce((
    with recursive parts(oid) as (
      select i.inhrelid from pg_inherits i where i.inhparent = ${relation}
      union select i.inhrelid from parts p join pg_inherits i on i.inhparent = p.oid)
    select string_agg(p.oid::text, ',' order by p.oid) from parts p), '')`
}

function rememberTable(table: CapturedTable): Sql {
  const { schema, relation } = sourceName(table.remote)
  const oid = regclass(schema, relation)
  const changes = regclass(schemaName.path[0] as string, changeName(table.remote))
  return sql`insert into ${capturedTable} (remote, relation, changes, columns, state)
  select ${table.remote}, ${oid}, ${changes}, ${keptColumns(table).join('\u001f')}, ${stateOf(oid)}`
}

/** The number of a table by its name; NULL when there is none. */
export function regclass(schema: string, relation: string): Sql {
  return sql`to_regclass(format('%I.%I', ${schema}::text, ${relation}::text))::oid`
}

function triggerBody(table: CapturedTable): Sql {
  const columns = keptColumns(table)
  const into = insertInto(table, columns)
  const stamp = (op: number): Sql => sql`pg_current_xact_id(), nextval(${sequenceName}), ${op}`
  const keyOf = (rows: string): Sql => sql`row(${listOf(rows, table.key)})::record`
  const rows = (from: 'old_rows' | 'new_rows'): Sql => rowsThatAreThere(table, from)
  const numbered = (from: 'old_rows' | 'new_rows'): Sql =>
    sql`(select row_number() over () as naru_place, ${listOf('r', columns)} from ${rows(from)})`
  // By their bytes: a collation may take two keys for one.
  const keyTexts = joinSql(table.key.map(name => sql`${ident('r', name)}::text collate "C"`))
  const pairs = sql`${numbered('old_rows')} o join ${numbered('new_rows')} n on n.naru_place = o.naru_place`
  // As text, which is hashed: a statement may move the keys of a million rows.
  const isKept = sql`exists (select from ${numbered('new_rows')} k where ${keyOf('k')}::text = ${keyOf('o')}::text)`
  return sql`
begin
  if tg_op = 'INSERT' then
    ${into}
    select ${stamp(changeOp.insert)}, ${listOf('r', columns)} from ${rows('new_rows')};
  elsif tg_op = 'DELETE' then
    -- Nobody reads more of it than its key.
    ${insertInto(table, table.key)}
    select ${stamp(changeOp.delete)}, ${listOf('r', table.key)} from ${rows('old_rows')};
  elsif tg_op = 'TRUNCATE' then
    insert into ${changeIdent(table.remote)} (${joinSql(Object.values(own).map(name => ident(name)))}) values (${stamp(changeOp.truncate)});
  elsif not exists (select ${keyTexts} from ${rows('old_rows')} except select ${keyTexts} from ${rows('new_rows')}) then
    ${into}
    select ${stamp(changeOp.update)}, ${listOf('r', columns)} from ${rows('new_rows')};
  else
    -- The two tables hold the rows in one order. A key that another row has taken is not deleted.
    ${into}
    select pg_current_xact_id(), nextval(${sequenceName}), c.naru_kind, ${listOf('c', columns)} from (
      select u.* from (
        select o.naru_place, ${changeOp.delete} as naru_kind, ${listOf('o', columns)} from ${pairs}
        where ${keyOf('o')} *<> ${keyOf('n')} and not ${isKept}
        union all
        select n.naru_place, case when ${keyOf('o')} *<> ${keyOf('n')} and not ${isKept}
          then ${changeOp.move} else ${changeOp.update} end, ${listOf('n', columns)} from ${pairs}) u
      order by u.naru_place, u.naru_kind <> ${changeOp.delete}) c;
  end if;
  return null;
end`
}

function insertInto(table: CapturedTable, columns: readonly string[]): Sql {
  return sql`insert into ${changeIdent(table.remote)}
      (${joinSql([own.xid, own.seq, own.op, ...columns].map(name => ident(name)))})`
}

/**
 * The rows of a statement, as \`r\`. A column that the table no longer has is NULL, instead of an error in the face of every
 * writer: its name is then found one level further out, in the change table, of which no row is read. As long as all are
 * there nothing refers to that level, which is one row at most, so that the planner leaves it out.
 */
function rowsThatAreThere(table: CapturedTable, from: 'old_rows' | 'new_rows'): Sql {
  const columns = keptColumns(table)
  const names = joinSql(columns.map(name => ident(name)))
  const nothing = columns.map(
    name => sql`(select ${ident('c', name)} from ${changeIdent(table.remote)} c where false) as ${ident(name)}`,
  )
  return sql`${ident(from)} t left join (select ${joinSql(nothing)} having false) d on true
      cross join lateral (select ${names} from (select t.*) s) r`
}

function listOf(alias: string, columns: readonly string[]): Sql {
  return joinSql(columns.map(name => ident(alias, name)))
}

/** A body between marks that do not occur in it, so that people can read it. */
export function quoted(body: Sql): Sql {
  const { text } = renderSql(body, postgresDialect)
  let mark = '$naru$'
  while (text.includes(mark)) mark = mark.replace(/\$$/, '_$')
  return rawSql(`${mark}${text}${mark}`)
}
