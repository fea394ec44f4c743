import { ident, rawSql, renderSql, sql } from '../../../../core/sql.ts'
import { mysqlDialect } from '../../../../systems/mysql/dialect.ts'
import type { CapturedTable, CaptureProblem } from '../../contract-capture.ts'
import { cascadesFix, cascadesOf } from '../cascades.ts'
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
  const problems = [
    ...settingProblems(settings, target),
    ...(await unloggedProblems(connection, signal)),
    ...(await privilegeProblems(connection, target, signal)),
  ]
  for (const asked of tables) problems.push(...(await tableProblems({ connection, target, settings }, asked, signal)))
  return problems
}

interface Settings {
  readonly isOn: boolean
  readonly format: string
  readonly image: string
  readonly metadata: string
  readonly server: string
  /** Bytes that an event may have before rows go to another one: a larger event is of one row. 0 where the server does not say. */
  readonly eventBytes: number
}

async function readSettings(connection: Connection, signal: AbortSignal): Promise<Settings> {
  const [row] = await connection.query(
    sql`select @@global.log_bin, @@global.binlog_format, @@global.binlog_row_image, @@global.binlog_row_metadata,
      @@global.server_id,
      (select global_value from information_schema.system_variables where variable_name = 'BINLOG_ROW_EVENT_MAX_SIZE')`,
    signal,
  )
  const [isOn, format, image, metadata, server, eventBytes] = row as readonly (string | null)[]
  return {
    isOn: isOn === '1',
    format: format ?? '',
    image: image ?? '',
    metadata: metadata ?? '',
    server: server ?? '',
    eventBytes: Number(eventBytes ?? 0),
  }
}

function settingProblems(
  { isOn, format, metadata, eventBytes }: Settings,
  { rowBytesMax }: Target,
): readonly CaptureProblem[] {
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
      true,
      `binlog_row_metadata is ${metadata}: the log does not name the columns of its rows`,
      "set global binlog_row_metadata = 'FULL'; -- and in its configuration",
    )
  }
  if (eventBytes > rowBytesMax) {
    say(
      true,
      `binlog_row_event_max_size is ${eventBytes}, over the limit of a row (${rowBytesMax}): rows that are small could not be read because they lie in one event`,
      'Give it its default (8192) in the configuration of the server, then restart it; or raise maxValueBytes.',
    )
  }
  return problems
}

/** Whose changes the server does not log, though it writes a log. */
export async function unloggedProblems(
  connection: Connection,
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const [row] = await connection.query(
    sql`select @@global.log_slave_updates = 0 and (select count(*) from information_schema.global_status
        where variable_name = 'SLAVES_RUNNING' and variable_value <> '0') > 0`,
    signal,
  )
  if (row?.[0] !== '1') return []
  return [
    {
      table: null,
      text: 'it is a replica that does not log what it takes from its own source (log_slave_updates is off)',
      fix: 'Read the log of its source, or set log_slave_updates in its configuration, then restart it.',
      isFatal: true,
    },
  ]
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
  const filtered = await filteredOf(connection, table, signal)
  if (filtered === 'rows') {
    say(
      `the server leaves database "${table.schema}" out of its log`,
      'Change binlog_do_db or binlog_ignore_db in its configuration, then restart it.',
    )
  } else if (filtered === 'statements') {
    say(
      `the server leaves databases out of its log: a TRUNCATE or ALTER TABLE of "${asked.remote}" by a session that uses one of them is not in it`,
      'Take binlog_do_db and binlog_ignore_db out of its configuration, then restart it; or have such statements run in the database of the table.',
      false,
    )
  }
  const cascades = await cascadesOf(connection, table, signal)
  if (cascades.length > 0) {
    say(
      `what the foreign keys of "${asked.remote}" delete or change along with rows of other tables (${cascades.join(', ')}) is not in the log`,
      cascadesFix,
      false,
    )
  }
  if (table.isVersioned) {
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

/** What the server leaves out of its log: of rows the database of their table counts, of statements the one that the session uses. */
async function filteredOf(
  connection: Connection,
  { schema }: CatalogTable,
  signal: AbortSignal,
): Promise<'rows' | 'statements' | null> {
  try {
    const [row] = await connection.query(sql`show master status`, signal)
    const [, , only = '', never = ''] = row ?? []
    const isIn = (list: string | null): boolean => (list ?? '').split(',').includes(schema)
    if (isIn(never) || (only !== '' && only !== null && !isIn(only))) return 'rows'
    return (only ?? '') === '' && (never ?? '') === '' ? null : 'statements'
  } catch {
    return null // the missing privilege is a problem of its own
  }
}

/** The account as a grant names it. */
export function accountText({ user }: Target): string {
  return renderSql(sql`${user}@${rawSql(`'%'`)}`, mysqlDialect).text
}
