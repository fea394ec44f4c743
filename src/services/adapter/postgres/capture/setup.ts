import { ident, joinSql, renderSql, sql, type Sql } from '../../../../core/sql.ts'
import { postgresDialect } from '../../../../systems/postgres/dialect.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import type { LogSettings } from './settings.ts'

/** Text of a statement as a person runs it. */
export function statement(it: Sql): string {
  return `${renderSql(it, postgresDialect).text.replaceAll(/\s+/g, ' ').trim()};`
}

/** A table by the name that the config has for it: without a schema it is one of `public`. */
export function tableIdent(remote: string): ReturnType<typeof ident> {
  const dot = remote.indexOf('.')
  return dot < 0 ? ident('public', remote) : ident(remote.slice(0, dot), remote.slice(dot + 1))
}

/** Changes of partitions come as changes of their table, so that it does not matter where a row lies. */
export function createPublication({ publication }: LogSettings, tables: readonly string[], version: number): Sql {
  const generated = version >= 180_000 ? sql`, publish_generated_columns = ${'stored'}` : sql``
  return sql`create publication ${ident(publication)} for table ${joinSql(tables.map(tableIdent))}
    with (publish_via_partition_root = true${generated})`
}

export function addToPublication({ publication }: LogSettings, tables: readonly string[]): Sql {
  return sql`alter publication ${ident(publication)} add table ${joinSql(tables.map(tableIdent))}`
}

/** By this `remove` knows that it was us who made it. */
export const publicationMark = 'made by Naru'

export function markPublication({ publication }: LogSettings): Sql {
  return sql`comment on publication ${ident(publication)} is ${publicationMark}`
}

/** `isFailover`: a slot that is copied to standbys which are set up for it, and goes on there. */
export function createSlot({ slot }: LogSettings, isFailover: boolean): Sql {
  const failover = isFailover ? sql`, failover => true` : sql``
  return sql`select lsn from pg_create_logical_replication_slot(${slot}, 'pgoutput', temporary => false${failover})`
}

export function dropSlot({ slot }: LogSettings): Sql {
  return sql`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = ${slot}`
}

/** What `install` and `remove` run, and the least privileges that a stream needs, for people. */
export function scriptOf(
  settings: LogSettings,
  tables: readonly CapturedTable[],
  user: string,
): { readonly install: readonly string[]; readonly remove: readonly string[] } {
  const names = tables.map(it => it.remote)
  const schemas = [...new Set(names.map(name => (name.includes('.') ? name.slice(0, name.indexOf('.')) : 'public')))]
  return {
    install: [
      '-- As a superuser: the least that the account needs.',
      statement(sql`alter role ${ident(user)} with replication`),
      statement(sql`grant usage on schema ${joinSql(schemas.map(it => ident(it)))} to ${ident(user)}`),
      statement(sql`grant select on ${joinSql(names.map(tableIdent))} to ${ident(user)}`),
      '-- As the owner of the tables; Naru does it itself where the account owns them.',
      statement(createPublication(settings, names, 0)),
      '-- As the account of Naru.',
      statement(createSlot(settings, false)),
    ],
    remove: [statement(dropSlot(settings)), statement(sql`drop publication if exists ${ident(settings.publication)}`)],
  }
}

/** The command that begins a stream. Its grammar is the one of replication: plain quotes, no escapes. */
export function startCommand(
  { slot, publication }: LogSettings,
  { lsn, version, isBinary }: { readonly lsn: string; readonly version: number; readonly isBinary: boolean },
): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`
  const streams = version >= 140_000
  const options = [
    `proto_version ${quoted(streams ? '2' : '1')}`,
    `publication_names ${quoted(`"${publication.replaceAll('"', '""')}"`)}`,
    ...(streams ? [`streaming 'on'`, `messages 'true'`] : []),
    ...(isBinary ? [`binary 'true'`] : []),
  ]
  return `START_REPLICATION SLOT "${slot}" LOGICAL ${lsn} (${options.join(', ')})`
}
