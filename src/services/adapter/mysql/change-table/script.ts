import { changeOp } from '../../../../core/change-slice.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../../../core/sql.ts'
import { keptColumns, type CapturedTable } from '../../contract-capture.ts'
import { CAPTURED, changeName, OUTBOX, own, sourceName, STREAM, triggerName, type TableTechnique } from './names.ts'

export function sourceIdent(remote: string, database: string): Ident {
  const { schema, relation } = sourceName(remote)
  return ident(schema ?? database, relation)
}

export function changeIdent(remote: string, database: string): Ident {
  const { schema, relation } = sourceName(remote)
  return ident(schema ?? database, changeName(relation))
}

export function streamIdent(database: string): Ident {
  return ident(database, STREAM)
}

export function capturedIdent(database: string): Ident {
  return ident(database, CAPTURED)
}

const TEXT = rawSql('character set utf8mb4 collate utf8mb4_bin')

/** What both techniques stand on. */
export function baseScript(technique: TableTechnique, database: string, identity: Sql): readonly Sql[] {
  return [
    sql`create table if not exists ${streamIdent(database)} (technique varchar(16) primary key, identity varchar(64) not null,
  confirmed longtext, pinned bigint not null default 0, owner varchar(500)) engine = InnoDB ${TEXT}`,
    sql`create table if not exists ${capturedIdent(database)} (remote varchar(200) primary key, state text not null) engine = InnoDB ${TEXT}`,
    sql`insert ignore into ${streamIdent(database)} (technique, identity) values (${technique}, ${identity})`,
  ]
}

/** Everything for one table. Each trigger waits for the table's writers, and holds new ones until it is made. */
export function tableScript(table: CapturedTable, database: string): readonly Sql[] {
  const [source, changes] = [sourceIdent(table.remote, database), changeIdent(table.remote, database)]
  const columns = keptColumns(table)
  const { relation } = sourceName(table.remote)
  const row = (op: number, from: 'new' | 'old'): Sql =>
    sql`insert into ${changes} (${joinSql([own.op, ...columns].map(name => ident(name)))})
    values (${op}, ${joinSql(columns.map(name => ident(from, name)))})`
  const isSameKey = joinSql(
    table.key.map(name => sql`cast(${ident('new', name)} as binary) <=> cast(${ident('old', name)} as binary)`),
    ' and ',
  )
  const trigger = (op: 'insert' | 'update' | 'delete'): Sql =>
    sql`create trigger ${triggerIdent(table.remote, database, op)} after ${rawSql(op)} on ${source} for each row`
  return [
    ...dropScript(table.remote, database),
    sql`create table ${changes} (${ident(own.id)} bigint not null auto_increment primary key, ${ident(own.op)} smallint not null)
  engine = InnoDB select ${joinSql(columns.map(name => ident('t', name)))} from ${source} as t where false`,
    // The modes of this session are those of the triggers: they must take every value that the table took.
    sql`set session sql_mode = ''`,
    sql`${trigger('insert')} ${row(changeOp.insert, 'new')}`,
    sql`${trigger('update')}
  begin
    if ${isSameKey} then ${row(changeOp.update, 'new')};
    else ${row(changeOp.delete, 'old')}; ${row(changeOp.move, 'new')};
    end if;
  end`,
    sql`${trigger('delete')} ${row(changeOp.delete, 'old')}`,
    sql`replace into ${capturedIdent(database)} (remote, state) values (${table.remote}, ${stateOf(database, relation, table.remote)})`,
  ]
}

function triggerIdent(remote: string, database: string, op: 'insert' | 'update' | 'delete'): Ident {
  const { schema, relation } = sourceName(remote)
  return ident(schema ?? database, triggerName(relation, op))
}

export function dropScript(remote: string, database: string): readonly Sql[] {
  return [
    ...(['insert', 'update', 'delete'] as const).map(
      op => sql`drop trigger if exists ${triggerIdent(remote, database, op)}`,
    ),
    sql`drop table if exists ${changeIdent(remote, database)}`,
    sql`delete from ${capturedIdent(database)} where remote = ${remote}`,
  ]
}

export function outboxScript(database: string): readonly Sql[] {
  return [
    sql`create table if not exists ${ident(database, OUTBOX)} (
  id bigint not null auto_increment primary key,
  created_at timestamp(6) not null default current_timestamp(6),
  table_name varchar(200) not null,
  op varchar(20) not null,
  ${ident('key')} longtext not null,
  ${ident('row')} longtext,
  idempotency_key varchar(200) not null default (uuid()) unique) engine = InnoDB ${TEXT}`,
  ]
}

/** The triggers of a table and when they were made, and its change table: any change makes it another text. */
export function stateOf(database: string, relation: string, remote: string): Sql {
  const schema = sourceName(remote).schema ?? database
  return sql`(select concat(
    coalesce((select group_concat(g.trigger_name, ' ', g.created, ' ', md5(g.action_statement) order by g.trigger_name)
      from information_schema.triggers g where g.event_object_schema = ${schema} and g.event_object_table = ${relation}
        and g.trigger_name in (${joinSql((['insert', 'update', 'delete'] as const).map(op => sql`${triggerName(relation, op)}`))})), ''),
    '/', coalesce((select b.create_time from information_schema.tables b
      where b.table_schema = ${schema} and b.table_name = ${changeName(relation)}), '')))`
}
