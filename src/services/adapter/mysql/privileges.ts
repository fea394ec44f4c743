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

/** What the account and its role hold. A database is granted by a pattern, and what holds for the whole holds for its parts. */
async function readHeld(connection: Connection, signal: AbortSignal): Promise<Holds> {
  const quoted = rawSql(`concat('''', replace(current_user(), '@', '''@'''), '''')`)
  const role = connection.kind.isMariaDb ? rawSql(`coalesce(current_role(), '')`) : rawSql(`''`)
  const mine = sql`grantee in (${quoted}, ${role}, concat('''', ${role}, '''@'''''))`
  const rows = await connection.query(
    sql`select privilege_type, null, null, null from information_schema.user_privileges where ${mine}
      union all select privilege_type, table_schema, null, null from information_schema.schema_privileges where ${mine}
      union all select privilege_type, table_schema, table_name, null from information_schema.table_privileges where ${mine}
      union all select privilege_type, table_schema, table_name, column_name from information_schema.column_privileges where ${mine}`,
    signal,
  )
  const isSame = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()
  return (name, { on, column }) =>
    rows.some(([type, inSchema, ofTable, ofColumn]) => {
      if (!isSame(type ?? '', name)) return false
      if (inSchema == null) return true
      const [schema, table] = on?.path ?? []
      if (schema === undefined || table === undefined) return false
      if (ofTable == null) return likeOf(inSchema).test(schema)
      // Columns that may be read are found out with the table itself.
      const isColumn = ofColumn == null || ofColumn === column || isSame(name, 'select')
      return isSame(inSchema, schema) && isSame(ofTable, table) && isColumn
    })
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
