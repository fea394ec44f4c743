import { ident, joinSql, rawSql, renderSql, sql, type Sql } from '../../../../core/sql.ts'
import { postgresDialect } from '../../../../systems/postgres/dialect.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import { sourceIdent, sourceName } from '../source-name.ts'
import type { LogSettings } from './settings.ts'

/** Text of a statement as a person runs it. */
export function statement(it: Sql): string {
  return `${renderSql(it, postgresDialect).text.replaceAll(/\s+/g, ' ').trim()};`
}

/** A table as it is published: all rows, or those for which a condition holds. */
export type Published = Pick<CapturedTable, 'remote' | 'where'>

/** Changes of partitions come as changes of their table, so that it does not matter where a row lies. */
export function createPublication({ publication }: LogSettings, tables: readonly Published[], version: number): Sql {
  const generated = version >= 180_000 ? sql`, publish_generated_columns = ${'stored'}` : sql``
  return sql`create publication ${ident(publication)} for table ${joinSql(tables.map(published))}
    with (publish_via_partition_root = true${generated})`
}

export function addToPublication({ publication }: LogSettings, tables: readonly Published[]): Sql {
  return sql`alter publication ${ident(publication)} add table ${joinSql(tables.map(published))}`
}

function published({ remote, where }: Published): Sql {
  return where === undefined ? sql`${sourceIdent(remote)}` : sql`${sourceIdent(remote)} where (${rawSql(where)})`
}

export function removeFromPublication({ publication }: LogSettings, table: string): Sql {
  return sql`alter publication ${ident(publication)} drop table ${sourceIdent(table)}`
}

/** By this `remove` knows that it was us who made it. */
const publicationMark = 'made by Naru'
/** Behind the mark: the conditions, by table. The server keeps them in words of its own. */
const conditionsMark = `${publicationMark}; where `

/** A condition that a table of our publication was given. */
export interface NotedCondition {
  /** As the config has it. */
  readonly where: string
  /** As the server showed it then; `null` where that was not noted. */
  readonly shown: string | null
}

/** Notes that we made the publication, and by which conditions its tables were chosen from. */
export function markPublication({ publication }: LogSettings, conditions: ReadonlyMap<string, NotedCondition>): Sql {
  const noted = [...conditions].map(([remote, { where, shown }]) => [remote, where, shown])
  const text = noted.length === 0 ? publicationMark : `${conditionsMark}${JSON.stringify(noted)}`
  return sql`comment on publication ${ident(publication)} is ${text}`
}

/** What was noted; `null` for a publication that somebody else made. */
export function notedConditions(comment: string): ReadonlyMap<string, NotedCondition> | null {
  if (comment === publicationMark) return new Map()
  if (!comment.startsWith(conditionsMark)) return null
  const noted = JSON.parse(comment.slice(conditionsMark.length)) as [string, string, (string | null)?][]
  return new Map(noted.map(([remote, where, shown = null]) => [remote, { where, shown }]))
}

/** The server has slots that its standbys take over. */
export function hasFailover(version: number): boolean {
  return version >= 170_000
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
  const schemas = [...new Set(names.map(name => sourceName(name).schema))]
  return {
    install: [
      '-- As a superuser: the least that the account needs.',
      statement(sql`alter role ${ident(user)} with replication`),
      statement(sql`grant usage on schema ${joinSql(schemas.map(it => ident(it)))} to ${ident(user)}`),
      statement(sql`grant select on ${joinSql(names.map(sourceIdent))} to ${ident(user)}`),
      '-- As the owner of the tables; Naru does it itself where the account owns them.',
      statement(createPublication(settings, tables, 0)),
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
