/**
 * The table of every error a user can meet. `docs/errors.md` is generated from it.
 *
 * `text` says what happened and to which object, lower-case start, values in the text. `fix` says what to do next.
 * `retry` decides whether Naru tries again by itself: `never` needs a person or a change, `later` may pass on its own.
 * `exit` is the exit status of the command that ends with it: 1 failed, 2 wrong use, 3 rejects passed a limit.
 */
export interface CodeEntry<P> {
  readonly text: (params: P) => string
  readonly fix: string | ((params: P) => string)
  readonly retry: 'never' | 'later'
  readonly exit?: 1 | 2 | 3
}

function entry<P>(value: CodeEntry<P>): CodeEntry<P> {
  return value
}

export const codes = {
  // use of the command line
  USAGE: entry({
    text: (p: { problem: string }) => p.problem,
    fix: 'Run the command with --help to see its arguments.',
    retry: 'never',
    exit: 2,
  }),
  // configuration
  CONFIG_NOT_FOUND: entry({
    text: (p: { path: string }) => `no configuration at ${p.path}`,
    fix: 'Run the command in the folder of naru.config.ts, name the file with --config, or write one with `naru init`.',
    retry: 'never',
    exit: 2,
  }),
  CONFIG_INVALID: entry({
    text: (p: { path: string; problem: string }) => `${p.path}: ${p.problem}`,
    fix: 'Correct the configuration; an editor with TypeScript marks most mistakes on the faulty word.',
    retry: 'never',
    exit: 2,
  }),
  ENV_MISSING: entry({
    text: (p: { name: string; usedBy: string }) =>
      `the environment variable ${p.name} is not set; ${p.usedBy} needs it`,
    fix: (p: { name: string }) => `Set it: export ${p.name}=...`,
    retry: 'never',
    exit: 2,
  }),
  DRIVER_MISSING: entry({
    text: (p: { package: string; service: string; kind: string }) =>
      `cannot load "${p.package}" for ${p.service} "${p.kind}"`,
    fix: (p: { package: string }) => `Install it: npm install ${p.package}`,
    retry: 'never',
    exit: 2,
  }),
  OPTION_INVALID: entry({
    text: (p: { where: string; option: string; problem: string }) =>
      `${p.where}: the option "${p.option}" ${p.problem}`,
    fix: 'Correct the option in the configuration.',
    retry: 'never',
    exit: 2,
  }),
  // sources
  SOURCE_UNREACHABLE: entry({
    text: (p: { source: string; address: string; problem: string }) =>
      `source "${p.source}" at ${p.address} cannot be reached: ${p.problem}`,
    fix: 'Check that the system is up, its address, and that this machine may reach it; then run again.',
    retry: 'later',
  }),
  SOURCE_LOGIN: entry({
    text: (p: { source: string; user: string; problem: string }) =>
      `source "${p.source}" refused user "${p.user}": ${p.problem}`,
    fix: 'Correct the user or the password in the variable that the source names.',
    retry: 'never',
  }),
  SOURCE_DENIED: entry({
    text: (p: { source: string; object: string; problem: string }) =>
      `source "${p.source}" does not let us read ${p.object}: ${p.problem}`,
    fix: 'Grant the account read access to it.',
    retry: 'never',
  }),
  SOURCE_TABLE_GONE: entry({
    text: (p: { source: string; table: string }) => `table "${p.table}" is no longer in source "${p.source}"`,
    fix: 'Run `naru pull` to renew the schema module, then correct what turns red.',
    retry: 'never',
  }),
  SOURCE_COLUMN_GONE: entry({
    text: (p: { source: string; table: string; column: string }) =>
      `column "${p.column}" of table "${p.table}" is no longer in source "${p.source}"`,
    fix: 'Run `naru pull` to renew the schema module, then correct what turns red.',
    retry: 'never',
  }),
  SOURCE_TYPE_CHANGED: entry({
    text: (p: { source: string; table: string; column: string; expected: string; found: string }) =>
      `column "${p.column}" of table "${p.table}" in source "${p.source}" is now ${p.found}; the configuration says ${p.expected}`,
    fix: 'Run `naru pull` to renew the schema module, then correct what turns red.',
    retry: 'never',
  }),
  SOURCE_READ: entry({
    text: (p: { source: string; table: string; problem: string }) =>
      `reading "${p.table}" of source "${p.source}" failed: ${p.problem}`,
    fix: 'Run again: finished chunks are kept. If it fails at the same place, look at the message of the source.',
    retry: 'later',
  }),
  // engine
  ENGINE_SQL: entry({
    text: (p: { problem: string; statement: string }) =>
      `the engine refused a statement: ${p.problem} (in: ${p.statement})`,
    fix: 'If the statement comes from your configuration, correct it there; otherwise report it with this text.',
    retry: 'never',
  }),
  SQL_FAILED: entry({
    text: (p: { problem: string }) => `the query failed: ${p.problem}`,
    fix: 'Correct the query; `naru sql "select schema_name, view_name from duckdb_views()"` lists the tables.',
    retry: 'never',
    exit: 2,
  }),
  SQL_NOT_ALLOWED: entry({
    text: (p: { why: string }) => `this query is not run: ${p.why}`,
    fix: 'Ask with one SELECT over the tables of staging, ods, export, dw, mart and naru, written as schema.table.',
    retry: 'never',
    exit: 2,
  }),
  ENGINE_CLOSED: entry({
    text: (p: { what: string }) => `${p.what} was called on an engine that is closed`,
    fix: 'Report it with the text of this error.',
    retry: 'never',
  }),
  ENGINE_RESULT_TOO_LARGE: entry({
    text: (p: { rows: number; limit: number }) => `a result of ${p.rows} rows passes the limit of ${p.limit}`,
    fix: 'Add a LIMIT or an aggregate to the query.',
    retry: 'never',
  }),
  SECRET_FILE: entry({
    text: (p: { file: string; problem: string }) => `the secret file ${p.file} cannot be read: ${p.problem}`,
    fix: 'Check the path (relative to the folder of the configuration) and its permissions.',
    retry: 'never',
    exit: 2,
  }),
  SELECTOR_UNKNOWN: entry({
    text: (p: { selector: string; known: string }) =>
      `"${p.selector}" is neither a source nor a source.table; there are ${p.known}`,
    fix: 'Name a source or a table of a source. What depends on it follows by itself.',
    retry: 'never',
    exit: 2,
  }),
  LINEAGE_UNKNOWN: entry({
    text: (p: { name: string; known: string }) => `no table or column is called "${p.name}"; the tables are ${p.known}`,
    fix: 'Write it as schema.table or schema.table.column.',
    retry: 'never',
    exit: 2,
  }),
  DATABASE_MISSING: entry({
    text: (p: { path: string }) => `there is no database at ${p.path} yet`,
    fix: 'Run `naru run` first.',
    retry: 'never',
  }),
  // interface and staging
  HORIZON_UNKNOWN: entry({
    text: (p: { source: string; table: string }) =>
      `source "${p.source}" cannot tell its oldest open transaction, so the timestamp technique could lose late commits of "${p.table}"`,
    fix: "State how late a row may commit: add lag: '10m' to the table's change technique, or let the account read pg_stat_activity (grant pg_read_all_stats).",
    retry: 'never',
  }),
  LOAD_REFUSED: entry({
    text: (p: { table: string; load: bigint; differences: string }) =>
      `load ${p.load} of ${p.table} is refused: the staged rows do not agree with the source's control totals (${p.differences})`,
    fix: 'Nothing of the load is visible. Run again; if it repeats, query naru.control_total for the load and report it.',
    retry: 'never',
  }),
  RUN_HELD: entry({
    text: (p: { holder: string; since: string }) => `this project is held by ${p.holder} since ${p.since}`,
    fix: 'Wait until it ends, or end that process; its finished chunks are kept.',
    retry: 'later',
  }),
  // profiling and cleansing
  REJECT_LIMIT: entry({
    text: (p: {
      rule: string
      entity: string
      contributor: string
      failed: number
      checked: number
      allowed: number
    }) =>
      `${p.failed} of ${p.checked} rows of "${p.entity}" from "${p.contributor}" break the rule ${p.rule}; ${p.allowed} are allowed, so nothing of this run became visible`,
    fix: (p: { rule: string }) =>
      `See which rows with \`naru report\`, correct them in the source or repair them with cleanse, and run again; if they are as they should be, raise the limit of ${p.rule} or lower its severity.`,
    retry: 'never',
    exit: 3,
  }),
  REFERENCE_NOT_BUILT: entry({
    text: (p: { rule: string; entity: string; to: string }) =>
      `the rule ${p.rule} of "${p.entity}" refers to ${p.to}, which has not been built yet`,
    fix: 'Run it together with what it refers to; two entities cannot refer to each other in a circle.',
    retry: 'never',
  }),
  QUARANTINE_NONE: entry({
    text: (p: { entity: string; contributor: string; key: string }) =>
      `no open row ${p.key} of "${p.entity}" from "${p.contributor}" is in quarantine`,
    fix: 'List the open rows with `naru quarantine list`.',
    retry: 'never',
    exit: 2,
  }),
  QUARANTINE_FIX: entry({
    text: (p: { entity: string; column: string; problem: string }) =>
      `the column ${p.column} of "${p.entity}" cannot be fixed here: ${p.problem}`,
    fix: 'Correct the row in its source; the next run reads it again.',
    retry: 'never',
    exit: 2,
  }),
  // engine: files and resources
  ENGINE_HELD: entry({
    text: (p: { path: string; holder: string }) => `the database ${p.path} is open in ${p.holder}`,
    fix: 'Wait until that process ends; while it writes, nobody else can read the file.',
    retry: 'later',
  }),
  ENGINE_DAMAGED: entry({
    text: (p: { path: string; problem: string }) => `the database ${p.path} cannot be opened: ${p.problem}`,
    fix: (p: { path: string }) =>
      `Delete nothing. Copy ${p.path} and ${p.path}.wal to a safe place first: the log holds committed rows. If the problem names the log, move ${p.path}.wal aside, run again, and read the loads after the last checkpoint from their sources again; otherwise restore the file from a backup.`,
    retry: 'never',
  }),
  ENGINE_IO: entry({
    text: (p: { path: string; problem: string }) => `the engine could not read or write ${p.path}: ${p.problem}`,
    fix: 'Check the disk and the rights on that file and its folder, then run again; what was committed is kept.',
    retry: 'later',
  }),
  ENGINE_MEMORY: entry({
    text: (p: { problem: string }) => `the engine ran out of its memory: ${p.problem}`,
    fix: "Raise the engine's memory option in the configuration, or free space for its temporary files.",
    retry: 'never',
  }),
  LITERAL_INVALID: entry({
    text: (p: { why: string }) => `a value cannot stand in SQL: ${p.why}`,
    fix: 'Correct the value at its origin, or give it to the engine as data.',
    retry: 'never',
  }),
  // export and warehouse
  EXPORT_KEY_MASKED: entry({
    text: (p: { export: string; column: string; mask: string }) =>
      `export "${p.export}" masks its key column "${p.column}" with ${p.mask}, and several rows would share a key`,
    fix: 'Mask a key column only with mask.hash(), which keeps different keys apart, or leave it as it is.',
    retry: 'never',
    exit: 2,
  }),
  MASK_SECRET_EMPTY: entry({
    text: (p: { export: string; column: string; name: string }) =>
      `the secret "${p.name}" that masks column "${p.column}" of export "${p.export}" is empty: its tokens could be guessed`,
    fix: 'Set it to a long random value and keep that value: another one gives other tokens.',
    retry: 'never',
    exit: 2,
  }),
  DIMENSION_EMPTIED: entry({
    text: (p: { dimension: string; export: string; members: number }) =>
      `export "${p.export}" is empty while dimension "${p.dimension}" has ${p.members} members: nothing was closed`,
    fix: "Look at the source and at the export's filter. If it is meant to be empty, give the dimension onDelete: 'keep'.",
    retry: 'never',
  }),
  DIMENSION_RANGES: entry({
    text: (p: { dimension: string; key: string; problem: string }) =>
      `the versions of "${p.key}" in dimension "${p.dimension}" are wrong after the load: ${p.problem}`,
    fix: 'Nothing of the load is visible. Report it with the text of this error.',
    retry: 'never',
  }),
  FACT_NOT_RECONCILED: entry({
    text: (p: { fact: string; export: string; differences: string }) =>
      `fact "${p.fact}" does not agree with export "${p.export}" after the load (${p.differences})`,
    fix: 'Nothing of the load is visible. If the fact table was changed by hand, restore it; otherwise report it.',
    retry: 'never',
  }),
  WAREHOUSE_TYPE_CHANGED: entry({
    text: (p: { table: string; column: string; was: string; now: string }) =>
      `column "${p.column}" of ${p.table} holds ${p.was} and is now declared as ${p.now}`,
    fix: 'Keep the type, or give the column a new name: the history that is already there cannot change its type.',
    retry: 'never',
  }),
  WAREHOUSE_COLUMN_TAKEN: entry({
    text: (p: { table: string; column: string }) => `column "${p.column}" would stand twice in ${p.table}`,
    fix: 'Rename the column in the entity: the warehouse makes a column of that name itself.',
    retry: 'never',
    exit: 2,
  }),
  // storage, files and sqlite
  STORAGE_UNREACHABLE: entry({
    text: (p: { storage: string; address: string; problem: string }) =>
      `the storage of ${p.storage} at ${p.address} cannot be reached: ${p.problem}`,
    fix: 'Check that the server is up, its address, and that this machine may reach it; then run again.',
    retry: 'later',
  }),
  STORAGE_LOGIN: entry({
    text: (p: { storage: string; user: string; problem: string }) =>
      `the storage of ${p.storage} refused user "${p.user}": ${p.problem}`,
    fix: 'Correct the user or the password in the variable that the source names.',
    retry: 'never',
  }),
  STORAGE_NOT_FOUND: entry({
    text: (p: { storage: string; key: string }) => `the storage of ${p.storage} has no ${JSON.stringify(p.key)}`,
    fix: 'Check the folder in the configuration and the name of the file.',
    retry: 'never',
  }),
  STORAGE_DENIED: entry({
    text: (p: { storage: string; key: string; problem: string }) =>
      `the storage of ${p.storage} denies access to ${JSON.stringify(p.key)}: ${p.problem}`,
    fix: 'Grant the account access to it.',
    retry: 'never',
  }),
  STORAGE_TIMEOUT: entry({
    text: (p: { storage: string; address: string; what: string; ms: number }) =>
      `the storage of ${p.storage} at ${p.address} did not finish ${p.what} within ${p.ms} ms`,
    fix: 'Check that the server is up and not overloaded, or raise the timeout of the source; then run again.',
    retry: 'later',
  }),
  STORAGE_BROKEN: entry({
    text: (p: { storage: string; key: string; problem: string }) =>
      `the transfer of ${JSON.stringify(p.key)} with the storage of ${p.storage} broke off: ${p.problem}`,
    fix: 'Run again; nothing of the broken transfer was kept.',
    retry: 'later',
  }),
  STORAGE_CLOSED: entry({
    text: (p: { storage: string }) => `the storage of ${p.storage} was used after it was closed`,
    fix: 'Report it with the text of this error.',
    retry: 'never',
  }),
  FILE_CHECKSUM: entry({
    text: (p: { file: string; expected: string; found: string }) =>
      `file "${p.file}" does not match its side-car: that says ${p.expected}, the content is ${p.found}`,
    fix: 'Ask the sender for the file and its side-car again; this file is left where it is, the others go on.',
    retry: 'later',
  }),
  FILE_CHANGED: entry({
    text: (p: { file: string; was: string; now: string }) =>
      `file "${p.file}" changed while it was read: it had ${p.was}, now it has ${p.now}`,
    fix: 'Run again when the sender has finished; senders that write under another name and rename avoid this.',
    retry: 'later',
  }),
  FILE_COLUMN_MISSING: entry({
    text: (p: { file: string; column: string; header: string }) =>
      `file "${p.file}" has no column "${p.column}"; its header has: ${p.header}`,
    fix: 'Ask the sender for the column, or correct the columns or the encoding of the table in the configuration.',
    retry: 'never',
  }),
  FILE_COLUMN_REPEATED: entry({
    text: (p: { file: string; column: string }) => `file "${p.file}" has column "${p.column}" more than once`,
    fix: 'Ask the sender to name each column once.',
    retry: 'never',
  }),
  FILE_ENCODING: entry({
    text: (p: { file: string; encoding: string }) => `file "${p.file}": the encoding "${p.encoding}" is not known`,
    fix: 'Name one such as utf-8, cp949, euc-kr, shift_jis, gb18030, windows-1252, utf-16le.',
    retry: 'never',
    exit: 2,
  }),
  SOURCE_NOT_DATABASE: entry({
    text: (p: { source: string; file: string; problem: string }) =>
      `source "${p.source}": ${p.file} cannot be read as a SQLite database: ${p.problem}`,
    fix: 'Check the path; the file must be an unencrypted SQLite 3 database with UTF-8 text.',
    retry: 'never',
  }),
  SOURCE_BUSY: entry({
    text: (p: { source: string; file: string; tries: number }) =>
      `source "${p.source}": ${p.file} was written to during each of ${p.tries} attempts to copy it`,
    fix: 'Run again when its program writes less.',
    retry: 'later',
  }),
  SINCE_UNSUPPORTED: entry({
    text: (p: { source: string; table: string; column: string }) =>
      `source "${p.source}" cannot filter "${p.table}" by time: column "${p.column}" has no exact time type there`,
    fix: "Use the change technique 'full' for this table.",
    retry: 'never',
  }),
  // adapter postgres
  SOURCE_VERSION: entry({
    text: (p: { source: string; system: string; found: string; needed: string }) =>
      `source "${p.source}" is ${p.system} ${p.found}; ${p.needed} or newer is needed`,
    fix: 'Upgrade the source, or read a replica of a newer version.',
    retry: 'never',
  }),
  // integration
  ENTITY_WITHOUT_KEYS: entry({
    text: (p: { entity: string }) =>
      `no source gives the key of the entity "${p.entity}": there is no golden record that its matches could find`,
    fix: 'Add .from() with a source that has the key; a match only adds to records that exist.',
    retry: 'never',
    exit: 2,
  }),
  // quality report
  REPORT_NO_RUN: entry({
    text: (p: { run: bigint | null }) =>
      p.run === null
        ? 'there is nothing to report: no run has ended yet'
        : `run ${p.run} is not known or has not ended`,
    fix: 'Run `naru run` first; `naru status` lists the last runs.',
    retry: 'never',
  }),
  // naru init and naru pull
  FOLDER_NOT_EMPTY: entry({
    text: (p: { folder: string }) => `the folder ${p.folder} is not empty`,
    fix: 'Name a new folder: naru init writes only where nothing can be overwritten.',
    retry: 'never',
    exit: 2,
  }),
  PULL_CONFIG: entry({
    text: (p: { problem: string }) => `the configuration cannot tell where the sources are: ${p.problem}`,
    fix: 'Before the first pull, or while the configuration is broken, name the system here: naru pull ops --from postgres --url OPS_URL, or naru pull legacy --from sqlite --path FILE.',
    retry: 'never',
    exit: 2,
  }),
  SOURCE_UNKNOWN: entry({
    text: (p: { source: string; known: string }) =>
      `the configuration uses no source "${p.source}"; it uses ${p.known === '' ? 'none' : p.known}`,
    fix: 'Correct the name, or read a system that the configuration does not use yet: naru pull ops --from postgres --url OPS_URL.',
    retry: 'never',
    exit: 2,
  }),
  SOURCE_NO_CATALOG: entry({
    text: (p: { source: string; adapter: string }) =>
      `source "${p.source}" has no catalog to pull: "${p.adapter}" knows no tables`,
    fix: 'Write the columns of its tables in the configuration; databases are pulled.',
    retry: 'never',
    exit: 2,
  }),
  SOURCE_CATALOG_EMPTY: entry({
    text: (p: { source: string }) => `source "${p.source}" shows this account no table that it may read`,
    fix: 'Grant the account read access to the tables, or name their schemas in the option "schemas".',
    retry: 'never',
  }),
  SOURCE_TABLE_UNKNOWN: entry({
    text: (p: { source: string; table: string; known: string }) =>
      `source "${p.source}" has no table "${p.table}" that this account may read; it has ${p.known}`,
    fix: 'Correct the name, or grant the account read access to the table.',
    retry: 'never',
    exit: 2,
  }),
  // programming and internal limits
  IDENT_INVALID: entry({
    text: (p: { name: string; why: string }) => `${JSON.stringify(p.name)} cannot be a name in SQL: ${p.why}`,
    fix: 'Rename the object, or give it another name in the configuration.',
    retry: 'never',
  }),
  PATH_OUTSIDE: entry({
    text: (p: { path: string; root: string }) => `the path ${JSON.stringify(p.path)} leaves the folder ${p.root}`,
    fix: 'Remove the name at its origin; Naru reads and writes only inside the named folder.',
    retry: 'never',
  }),
  DEADLINE: entry({
    text: (p: { what: string; ms: number }) => `${p.what} did not answer within ${p.ms} ms`,
    fix: 'Check that the system is up and reachable, or raise its timeout in the configuration.',
    retry: 'later',
  }),
  CANCELLED: entry({
    text: (p: { what: string }) => `${p.what} was cancelled`,
    fix: 'Run it again; finished chunks are kept.',
    retry: 'never',
  }),
  INTERNAL: entry({
    text: (p: { what: string }) => `this should not happen: ${p.what}`,
    fix: 'Report it with the text of this error.',
    retry: 'never',
  }),
  DISK_FULL: entry({
    text: (p: { path: string }) => `no space left while writing ${p.path}`,
    fix: 'Free space on that disk and run again; what was finished is kept.',
    retry: 'later',
  }),
  // test and demo systems
  LOCAL_SERVER_PLATFORM: entry({
    text: (p: { server: string; platform: string; arch: string }) =>
      `there is no ${p.server} package for ${p.platform} on ${p.arch}`,
    fix: 'Run it on Linux or macOS on x64 or arm64.',
    retry: 'never',
  }),
  LOCAL_SERVER_ACCOUNT: entry({
    text: (p: { server: string; tried: readonly string[] }) =>
      `${p.server} does not run as root, and this process may not run it as ${p.tried.join(', ')}`,
    fix: 'Run the command as an ordinary user, or let root change its user id (CAP_SETUID in a container).',
    retry: 'never',
  }),
  LOCAL_SERVER_FOLDER: entry({
    text: (p: { folder: string; why: string }) => `the folder ${p.folder} cannot be used: ${p.why}`,
    fix: 'Remove that folder, or point TMPDIR to one of your own that other users can enter and that may hold programs.',
    retry: 'never',
  }),
  LOCAL_SERVER_START: entry({
    text: (p: { server: string; why: string }) => `${p.server} did not start: ${p.why}`,
    fix: 'Read the log that the message names; most often a port is taken, the disk is full or a folder is not readable.',
    retry: 'later',
  }),
  LOCAL_SERVER_STOP: entry({
    text: (p: { server: string; pid: number }) => `${p.server} with process id ${p.pid} did not stop`,
    fix: (p: { pid: number }) => `End it by hand: kill -QUIT ${p.pid}`,
    retry: 'later',
  }),
} as const
