import { ident, joinSql, rawSql, renderSql, sql, type Ident, type Sql } from '../../../core/sql.ts'
import { mysqlDialect } from '../../../systems/mysql/dialect.ts'
import type { CapturedTable, CaptureProblem, Privileges } from '../contract-capture.ts'
import { placesOf } from './catalog.ts'
import { accountText } from './capture/inspect.ts'
import { capturedIdent, changeIdent, streamIdent } from './change-table/script.ts'
import { OUTBOX } from './change-table/names.ts'
import type { Connection } from './connection.ts'
import type { Target } from './target.ts'

type Technique = Parameters<Privileges>[0]

/** Privileges on one thing: on everything (`null`), on a table, or on a column of it. */
interface Needed {
  readonly names: readonly string[]
  readonly on: Ident | null
  readonly column?: string
  /** The table of the config that needs them; `null` for all. */
  readonly table: string | null
}

/** What a table of ours needs: it is made, written, read, and removed again. */
const ours = ['select', 'insert', 'update', 'delete', 'create', 'drop']
/** Techniques that read behind the oldest open transaction, which other accounts have as well. */
const behindHorizon: readonly string[] = ['timestamp', 'version', 'combined', 'trigger', 'event']

/** The least privileges of each technique, for an administrator: see `Privileges`. */
export function privilegesOf(target: Target): Privileges {
  return (technique, tables) => neededOf(target, technique, tables).map(it => grantOf(target, it))
}

function neededOf(target: Target, technique: Technique, tables: readonly CapturedTable[]): readonly Needed[] {
  const { database } = target
  const own = (on: Ident): Needed => ({ names: ours, on, table: null })
  const read = tables.map((it): Needed => ({ names: ['select'], on: placeOf(it, database), table: it.name }))
  const process: Needed = { names: ['process'], on: null, table: null }
  const open = behindHorizon.includes(technique) ? [process] : []
  switch (technique) {
    case 'log':
      return [{ names: ['replication slave', 'binlog monitor'], on: null, table: null }, ...read]
    case 'trigger':
      return [
        ...open,
        ...read.map(it => ({ ...it, names: ['select', 'trigger'] })),
        ...tables.map(({ remote }) => own(changeIdent(remote, database))),
        own(streamIdent(database)),
        own(capturedIdent(database)),
      ]
    case 'event':
      return [...open, ...read, ...[ident(database, OUTBOX), streamIdent(database), capturedIdent(database)].map(own)]
    case 'status':
      return [...read, ...tables.map(it => flagOf(it, database)), own(ident(database, 'naru_claim'))]
    default:
      return [...open, ...read]
  }
}

function flagOf(table: CapturedTable, database: string): Needed {
  const column = table.status?.column ?? ''
  return { names: ['update'], on: placeOf(table, database), column, table: table.name }
}

function placeOf({ remote }: CapturedTable, database: string): Ident {
  const [schema, relation] = placesOf(remote, database)[0] ?? [database, remote]
  return ident(schema, relation)
}

function grantOf(target: Target, { names, on, column }: Needed): string {
  const list = joinSql(names.map(name => rawSql(name)))
  const what = column === undefined ? list : sql`${list} (${ident(column)})`
  const grant: Sql = sql`grant ${what} on ${on === null ? rawSql('*.*') : on} to ${rawSql(accountText(target))}`
  return `${renderSql(grant, mysqlDialect).text};`
}

/** What of the least privileges the account lacks, each with the statement that gives it. */
export async function privilegeProblems(
  connection: Connection,
  target: Target,
  { technique, tables }: { readonly technique: Technique; readonly tables: readonly CapturedTable[] },
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const holds = await readHeld(connection, signal)
  return neededOf(target, technique, tables).flatMap(needed => {
    const names = needed.names.filter(name => !holds(name, needed))
    if (names.length === 0) return []
    const place = needed.on === null ? '' : ` on ${needed.on.path.join('.')}`
    const text = `user "${target.user}" lacks ${names.join(', ')}${place}`
    return [{ table: needed.table, text, fix: grantOf(target, { ...needed, names }), isFatal: true }]
  })
}

type Holds = (name: string, of: Pick<Needed, 'on' | 'column'>) => boolean

/** Part of a grant: `UPDATE (`a`, `b`)` of `GRANT SELECT, UPDATE (`a`, `b`) ON `shop`.`item` TO …`. */
interface Grant {
  readonly name: string
  /** `null` is all. */
  readonly columns: readonly string[] | null
  readonly schema: string | null
  readonly table: string | null
}

/** What the account and its role hold. A database is granted by a pattern, and what holds for the whole holds for its parts. */
async function readHeld(connection: Connection, signal: AbortSignal): Promise<Holds> {
  const rows = await connection.query(sql`show grants`, signal)
  const grants = rows.flatMap(([text]) => grantsIn(text ?? ''))
  const isSame = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()
  return (name, { on, column }) =>
    grants.some(it => {
      if (it.name !== 'all privileges' && it.name !== name) return false
      if (it.schema === null) return true
      const [schema, table] = on?.path ?? []
      if (schema === undefined || table === undefined) return false
      if (it.table === null) return likeOf(it.schema).test(schema)
      // Which columns may be read is found out with the table itself.
      const isColumn = it.columns === null || name === 'select' || (column !== undefined && it.columns.includes(column))
      return isSame(it.schema, schema) && isSame(it.table, table) && isColumn
    })
}

function grantsIn(text: string): readonly Grant[] {
  const match = /^GRANT (.+) ON (\*|`(?:[^`]|``)*`)\.(\*|`(?:[^`]|``)*`) TO /s.exec(text)
  if (match === null) return []
  const [, list, schema, table] = match as unknown as readonly [string, string, string, string]
  return [...list.matchAll(/([A-Z][A-Z ]*?)(?: \(([^)]*)\))?(?:, |$)/g)].map(([, name, columns]) => ({
    // MariaDB calls it by either word.
    name: (name ?? '').toLowerCase().replace('replication client', 'binlog monitor'),
    columns: columns === undefined ? null : [...columns.matchAll(/`((?:[^`]|``)*)`|(\w+)/g)].map(it => plain(it[0])),
    schema: schema === '*' ? null : plain(schema),
    table: table === '*' ? null : plain(table),
  }))
}

function plain(quoted: string): string {
  return quoted.startsWith('`') ? quoted.slice(1, -1).replaceAll('``', '`') : quoted
}

/** A pattern as the server reads it: `%` and `_`, unless a backslash stands before them. */
function likeOf(pattern: string): RegExp {
  const parts = pattern.split(/(\\.|%|_)/s).map(part => {
    if (part === '%') return '.*'
    if (part === '_') return '.'
    const plain = part.startsWith('\\') ? part.slice(1) : part
    return plain.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
  })
  return new RegExp(`^${parts.join('')}$`, 'is')
}
