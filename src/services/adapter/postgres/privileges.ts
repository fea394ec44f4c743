import { ident, joinSql, renderSql, sql, type Sql } from '../../../core/sql.ts'
import { postgresDialect } from '../../../systems/postgres/dialect.ts'
import type { CapturedTable, CaptureProblem, Privileges } from '../contract-capture.ts'
import type { LogSettings } from './capture/settings.ts'
import { scriptOf, statement, tableIdent } from './capture/setup.ts'
import type { Connection } from './connection.ts'
import type { Target } from './target.ts'

/** Techniques that read behind the oldest open transaction, which other accounts have as well. */
const behindHorizon: readonly string[] = ['timestamp', 'version', 'combined']

/** The least privileges of each technique, for an administrator: see `Privileges`. */
export function privilegesOf(target: Target, settings: LogSettings): Privileges {
  const { user } = target
  return (technique, tables) => {
    const read = [statement(usage(tables, user)), statement(select(tables, user))]
    switch (technique) {
      case 'log':
        // The last two are a comment and the slot, which the account makes itself.
        return scriptOf(settings, tables, user).install.slice(0, -2)
      case 'trigger':
        return [statement(usage(tables, user)), createHere(target), ...tables.flatMap(table => owning(table, user))]
      case 'event':
        return [...read, createHere(target)]
      case 'status':
        return [...read, ...tables.map(table => statement(updateFlag(table, user))), createHere(target)]
      default:
        return behindHorizon.includes(technique)
          ? [...read, statement(sql`grant pg_read_all_stats to ${ident(user)}`)]
          : read
    }
  }
}

function usage(tables: readonly CapturedTable[], user: string): Sql {
  const schemas = new Set(tables.map(({ remote }) => tableIdent(remote).path[0] as string))
  return sql`grant usage on schema ${joinSql([...schemas].map(it => ident(it)))} to ${ident(user)}`
}

function select(tables: readonly CapturedTable[], user: string): Sql {
  return sql`grant select on ${joinSql(tables.map(it => tableIdent(it.remote)))} to ${ident(user)}`
}

function updateFlag({ remote, status }: CapturedTable, user: string): Sql {
  return sql`grant update (${ident(status?.column ?? '')}) on ${tableIdent(remote)} to ${ident(user)}`
}

/** For the schema of the captures: the server asks for it also when that is there. */
function createHere({ url, user }: Target): string {
  const database = decodeURIComponent(new URL(url).pathname.slice(1))
  return statement(sql`grant create on database ${ident(database)} to ${ident(user)}`)
}

/**
 * Triggers that fire in every session are made by the owner of a table. To be a member of a superuser would be everything,
 * so a table of such a one is handed over: its applications keep their grants.
 */
function owning({ remote }: CapturedTable, user: string): readonly string[] {
  const name = postgresDialect.literal(renderSql(sql`${tableIdent(remote)}`, postgresDialect).text)
  const account = postgresDialect.literal(user)
  return [
    '-- Triggers are made by the owner of a table: the account becomes a member of it, or the owner in place of a superuser.',
    `do $$ declare t regclass := ${name}; o record; begin select r.rolname, r.rolsuper into o from pg_class c join pg_roles r on r.oid = c.relowner where c.oid = t; if o.rolsuper then execute format('alter table %s owner to %I', t, ${account}); elsif o.rolname <> ${account} then execute format('grant %I to %I', o.rolname, ${account}); end if; end $$;`,
  ]
}

/** Whether the account may make the schema of the captures. */
export async function schemaProblems(
  connection: Connection,
  target: Target,
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const [row] = await connection.query(sql`select has_database_privilege(current_database(), 'create')`, signal)
  if (row?.[0] === 't') return []
  const text = `the account "${target.user}" may not make a schema in its database, where it keeps what it needs`
  return [{ table: null, text, fix: createHere(target), isFatal: true }]
}

/** Schemas and tables that the account may not use or read. What else is asked of them would end with an error of the server. */
export async function readProblems(
  connection: Connection,
  { user }: Pick<Target, 'user'>,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const problems: CaptureProblem[] = []
  for (const table of tables) {
    const [schema, relation] = tableIdent(table.remote).path as readonly [string, string]
    const [row] = await connection.query(
      sql`select has_schema_privilege(n.oid, 'usage'), (select has_any_column_privilege(c.oid, 'select') from pg_class c
          where c.relnamespace = n.oid and c.relname = ${relation}) from pg_namespace n where n.nspname = ${schema}`,
      signal,
    )
    const [mayUse, mayRead] = row ?? []
    const say = (text: string, grant: Sql): void =>
      void problems.push({ table: table.name, text, fix: statement(grant), isFatal: true })
    if (mayUse === 'f') say(`the account "${user}" may not use the schema "${schema}"`, usage([table], user))
    if (mayRead === 'f') say(`the account "${user}" may not read "${table.remote}"`, select([table], user))
  }
  return problems
}
