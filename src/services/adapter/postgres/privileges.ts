import { ident, joinSql, renderSql, sql, type Sql } from '../../../core/sql.ts'
import { postgresDialect } from '../../../systems/postgres/dialect.ts'
import type { CapturedTable, CaptureProblem, Privileges } from '../contract-capture.ts'
import type { LogSettings } from './capture/settings.ts'
import { sourceIdent, sourceName } from './source-name.ts'
import { scriptOf, statement } from './capture/setup.ts'
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
  const schemas = new Set(tables.map(({ remote }) => sourceName(remote).schema))
  return sql`grant usage on schema ${joinSql([...schemas].map(it => ident(it)))} to ${ident(user)}`
}

function select(tables: readonly CapturedTable[], user: string): Sql {
  return sql`grant select on ${joinSql(tables.map(it => sourceIdent(it.remote)))} to ${ident(user)}`
}

function updateFlag({ remote, status }: CapturedTable, user: string): Sql {
  return sql`grant update (${ident(status?.column ?? '')}) on ${sourceIdent(remote)} to ${ident(user)}`
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
  const name = postgresDialect.literal(renderSql(sql`${sourceIdent(remote)}`, postgresDialect).text)
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

/** A policy of a table `c` that decides what is read. */
const policyOf = sql`p.polrelid = c.oid and p.polcmd in ('r', '*')`

/** Tables of which row level security hides rows from the account: a stream gives changes of them that no reading has. */
export async function hiddenRowsProblems(
  connection: Connection,
  { user }: Pick<Target, 'user'>,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const problems: CaptureProblem[] = []
  for (const table of tables) {
    const { schema, relation } = sourceName(table.remote)
    const [row] = await connection.query(
      sql`select row_security_active(c.oid) and not (not restricts and exists (select from pg_policy p
          where ${policyOf} and p.polpermissive and pg_get_expr(p.polqual, p.polrelid) = 'true'
            and (0 = any(p.polroles) or exists (select from unnest(p.polroles) r where pg_has_role(r, 'usage'))))), restricts
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
          cross join lateral (select exists (select from pg_policy p where ${policyOf} and not p.polpermissive)) as any_(restricts)
        where n.nspname = ${schema} and c.relname = ${relation}`,
      signal,
    )
    const [hides, restricts] = row ?? []
    if (hides !== 't') continue
    const text = `row level security of "${table.remote}" hides rows from the account "${user}": they are missed when it is read, and their changes come all the same`
    const policy = sql`create policy naru_reads on ${sourceIdent(table.remote)} for select to ${ident(user)} using (true)`
    // A policy that restricts holds beside any that permits.
    const fix = statement(restricts === 't' ? sql`alter role ${ident(user)} bypassrls` : policy)
    problems.push({ table: table.name, text, fix, isFatal: true })
  }
  return problems
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
    const { schema, relation } = sourceName(table.remote)
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
