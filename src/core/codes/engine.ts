import { entry } from './entry.ts'

/** Errors of the engine and its SQL. */
export const engineCodes = {
  ENGINE_SQL: entry({
    text: (p: { problem: string; statement: string }) =>
      `the engine refused a statement: ${p.problem} (in: ${p.statement})`,
    fix: 'If the statement comes from your configuration, correct it there; otherwise report it with this text.',
    retry: 'never',
  }),
  SQL_FAILED: entry({
    text: (p: { problem: string }) => `the query failed: ${p.problem}`,
    fix: `Correct the query; \`naru sql "select distinct table_schema, table_name from information_schema.tables where table_schema <> 'pg_catalog' order by 1, 2"\` lists the tables.`,
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
  ENGINE_HELD: entry({
    text: (p: { path: string; holder: string }) => `the database ${p.path} is open in ${p.holder}`,
    fix: 'Wait until that process ends, or end it: one process writes at a time.',
    retry: 'later',
  }),
  ENGINE_BUSY: entry({
    text: (p: { address: string; what: string }) => `the database at ${p.address} is busy: ${p.what}`,
    fix: 'Try again when the other one has ended; on the server, `select application_name, state, query_start, query from pg_stat_activity` shows who works there.',
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
  ENGINE_UNREACHABLE: entry({
    text: (p: { address: string; problem: string }) => `the database at ${p.address} does not answer: ${p.problem}`,
    fix: 'Check that the server runs and can be reached, then run again; what was committed is kept.',
    retry: 'later',
  }),
  ENGINE_LOGIN: entry({
    text: (p: { address: string; problem: string }) => `the database at ${p.address} refuses the login: ${p.problem}`,
    fix: 'Check user, password and database in the address that the option `url` of the engine names.',
    retry: 'never',
  }),
  ENGINE_UNSUITABLE: entry({
    text: (p: { address: string; why: string }) => `the database at ${p.address} cannot hold the warehouse: ${p.why}`,
    fix: "On PostgreSQL 17 or newer, make one that fits: create database warehouse template template0 encoding 'UTF8' locale_provider builtin builtin_locale 'C.UTF-8';",
    retry: 'never',
  }),
  ENGINE_CANNOT: entry({
    text: (p: { engine: string; what: string; why: string }) =>
      `the engine "${p.engine}" cannot do ${p.what}: ${p.why}`,
    fix: 'Write it in another way, or choose another engine; the page on engines lists what each of them does.',
    retry: 'never',
  }),
  ENGINE_VALUE: entry({
    text: (p: { table: string; column: string; problem: string }) =>
      `a value of ${p.column} has no place in ${p.table}: ${p.problem}`,
    fix: 'Correct it in the source, or read the column as text; the page on engines lists what each type holds.',
    retry: 'never',
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
  IDENT_INVALID: entry({
    text: (p: { name: string; why: string }) => `${JSON.stringify(p.name)} cannot be a name in SQL: ${p.why}`,
    fix: 'Rename the object, or give it another name in the configuration.',
    retry: 'never',
  }),
} as const
