import { ident, rawSql, renderSql, sql } from '../../../../core/sql.ts'
import { mysqlDialect } from '../../../../systems/mysql/dialect.ts'
import type { CapturedTable, CaptureProblem } from '../../contract-capture.ts'
import { findTable, type CatalogTable } from '../catalog.ts'
import type { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import { nullDefaultsOf } from './tables.ts'

/** What the source lacks for reading its log. */
export async function inspectLog(
  connection: Connection,
  target: Target,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const settings = await readSettings(connection, signal)
  const problems = [...settingProblems(settings), ...(await privilegeProblems(connection, target, signal))]
  for (const asked of tables) problems.push(...(await tableProblems({ connection, target, settings }, asked, signal)))
  return problems
}

interface Settings {
  readonly isOn: boolean
  readonly format: string
  readonly image: string
  readonly metadata: string
  readonly server: string
}

async function readSettings(connection: Connection, signal: AbortSignal): Promise<Settings> {
  const [row] = await connection.query(
    sql`select @@global.log_bin, @@global.binlog_format, @@global.binlog_row_image, @@global.binlog_row_metadata,
      @@global.server_id`,
    signal,
  )
  const [isOn, format, image, metadata, server] = row as readonly string[]
  return {
    isOn: isOn === '1',
    format: format ?? '',
    image: image ?? '',
    metadata: metadata ?? '',
    server: server ?? '',
  }
}

function settingProblems({ isOn, format, metadata }: Settings): readonly CaptureProblem[] {
  const problems: CaptureProblem[] = []
  const say = (isFatal: boolean, text: string, fix: string): void =>
    void problems.push({ table: null, text, fix, isFatal })
  if (!isOn)
    say(
      true,
      'the server writes no binary log',
      '[mariadb] log_bin = mysqld-bin -- in its configuration, then a restart',
    )
  if (format !== 'ROW') {
    say(
      true,
      `binlog_format is ${format}: statements stand in the log instead of rows`,
      "set global binlog_format = 'ROW'; -- and in its configuration; sessions that are open keep theirs",
    )
  }
  if (metadata !== 'FULL') {
    say(
      false,
      `binlog_row_metadata is ${metadata}: rows that were written before a table changed its shape cannot be read when reading is behind by then`,
      "set global binlog_row_metadata = 'FULL'; -- and in its configuration",
    )
  }
  return problems
}

/** The privileges that reading the log needs, by the words of SHOW GRANTS. */
const PRIVILEGES: readonly (readonly [name: string, also: RegExp, why: string])[] = [
  ['REPLICATION SLAVE', /\bREPLICATION (SLAVE|REPLICA)\b(?! ADMIN)/, 'the server sends its log to nobody else'],
  ['BINLOG MONITOR', /\b(BINLOG MONITOR|REPLICATION CLIENT)\b/, 'it tells where the log ends'],
]

async function privilegeProblems(
  connection: Connection,
  target: Target,
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const grants = (await connection.query(sql`show grants`, signal))
    .map(([text]) => text ?? '')
    .filter(text => / ON \*\.\* TO /.test(text))
  const isAll = grants.some(text => text.startsWith('GRANT ALL PRIVILEGES '))
  return PRIVILEGES.filter(([, words]) => !isAll && !grants.some(text => words.test(text))).map(([name, , why]) => ({
    table: null,
    text: `user "${target.user}" lacks the privilege ${name}: ${why}`,
    fix: `grant ${name.toLowerCase()} on *.* to ${accountText(target)};`,
    isFatal: true,
  }))
}

interface Looking {
  readonly connection: Connection
  readonly target: Target
  readonly settings: Settings
}

async function tableProblems(
  { connection, target, settings }: Looking,
  asked: CapturedTable,
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const problems: CaptureProblem[] = []
  const say = (text: string, fix: string, isFatal = true): void =>
    void problems.push({ table: asked.name, text, fix, isFatal })
  const table = await findTable(connection, asked.remote, target.database, signal)
  if (table === null) {
    say(`the source has no table "${asked.remote}"`, 'Correct its name, or leave the table out.')
    return problems
  }
  const name = renderSql(sql`${ident(table.schema, table.relation)}`, mysqlDialect).text
  if (table.engine === null)
    say(`"${asked.remote}" is a view: the log has rows of tables only`, 'Capture the tables that it reads.')
  if (settings.image !== 'FULL' && table.key.join('\0') !== asked.key.join('\0')) {
    say(
      `with binlog_row_image = ${settings.image} the log has the key (${table.key.join(', ')}) of "${asked.remote}", not ${asked.key.length === 0 ? 'whole rows' : `(${asked.key.join(', ')})`}`,
      "set global binlog_row_image = 'FULL'; -- and in its configuration",
    )
  }
  const withDefaults = settings.image === 'MINIMAL' ? await defaultsOf(connection, table, asked, signal) : []
  if (withDefaults.length > 0) {
    say(
      `with binlog_row_image = MINIMAL the log has no value of ${withDefaults.join(', ')} of "${asked.remote}" when an insert leaves it to its default`,
      "set global binlog_row_image = 'FULL'; -- and in its configuration",
    )
  }
  for (const text of columnProblems(table, asked)) say(text, `Leave the column out, or: alter table ${name} force;`)
  if (await isFiltered(connection, table, signal)) {
    say(
      `the server leaves database "${table.schema}" out of its log`,
      'Change binlog_do_db or binlog_ignore_db in its configuration, then restart it.',
    )
  }
  if (await isVersioned(connection, table, signal)) {
    say(
      `"${asked.remote}" keeps its own history (SYSTEM VERSIONED): the log has the old versions as rows of the table`,
      `alter table ${name} drop system versioning;`,
    )
  }
  return problems
}

/** Columns asked for that get a value when an insert does not name them. */
async function defaultsOf(
  connection: Connection,
  table: CatalogTable,
  asked: CapturedTable,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const nulls = await nullDefaultsOf(connection, table, signal)
  return asked.columns.map(({ name }) => name).filter(name => !nulls.has(name) && !asked.key.includes(name))
}

function columnProblems(table: CatalogTable, asked: CapturedTable): readonly string[] {
  return table.columns
    .filter(({ name }) => asked.columns.some(column => column.name === name))
    .flatMap(({ name, nativeType }) => {
      if (/\/\* mariadb-5\.3 \*\//i.test(nativeType))
        return [`column "${name}" of "${asked.remote}" lies in an old layout`]
      if (/compressed/i.test(nativeType))
        return [`column "${name}" of "${asked.remote}" is compressed: the log has its packed bytes`]
      return []
    })
}

async function isFiltered(connection: Connection, { schema }: CatalogTable, signal: AbortSignal): Promise<boolean> {
  try {
    const [row] = await connection.query(sql`show master status`, signal)
    const [, , only = '', never = ''] = row ?? []
    const isIn = (list: string | null): boolean => (list ?? '').split(',').includes(schema)
    return isIn(never) || (only !== '' && only !== null && !isIn(only))
  } catch {
    return false // the missing privilege is a problem of its own
  }
}

async function isVersioned(connection: Connection, table: CatalogTable, signal: AbortSignal): Promise<boolean> {
  const [row] = await connection.query(
    sql`select table_type from information_schema.tables
        where table_schema = ${table.schema} and table_name = ${table.relation}`,
    signal,
  )
  return row?.[0] === 'SYSTEM VERSIONED'
}

/** The account as a grant names it. */
export function accountText({ user }: Target): string {
  return renderSql(sql`${user}@${rawSql(`'%'`)}`, mysqlDialect).text
}
