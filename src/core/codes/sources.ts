import { entry } from './entry.ts'

/** Errors of systems that are read: databases and their catalogs. */
export const sourceCodes = {
  SOURCE_UNREACHABLE: entry({
    text: (p: { source: string; address: string; problem: string }) =>
      `source "${p.source}" at ${p.address} cannot be reached: ${p.problem}`,
    fix: 'Check that the system is up, its address, and that this machine may reach it; then run again.',
    retry: 'later',
  }),
  SOURCE_LOGIN: entry({
    text: (p: { source: string; user: string; problem: string }) =>
      `source "${p.source}" refused user "${p.user}": ${p.problem}`,
    fix: 'Correct what the source logs in with: user, password, database, token or key, in the variable that it names.',
    retry: 'never',
  }),
  SOURCE_TLS: entry({
    text: (p: { source: string; address: string; problem: string }) =>
      `source "${p.source}" at ${p.address} cannot be reached by TLS: ${p.problem}`,
    fix: 'Give the certificate of the authority that signed the one of the server (ca, or sslrootcert in the address) and the name that stands in it; an expired one must be renewed there. A certificate of another name or issuer may mean that another server answers.',
    retry: 'never',
  }),
  SOURCE_DENIED: entry({
    text: (p: { source: string; object: string; problem: string }) =>
      `source "${p.source}" does not let us read ${p.object}: ${p.problem}`,
    fix: 'Grant the account read access to it.',
    retry: 'never',
  }),
  SOURCE_TABLE_GONE: entry({
    text: (p: { source: string; table: string }) => `source "${p.source}" has no table "${p.table}"`,
    fix: (p: { source: string; table: string }) =>
      `If its name is right, it is gone: run \`naru pull\` to renew the schema module, then correct what turns red. Where a stream follows it and it was made anew, \`naru resync ${p.source}.${p.table}\` takes it in again.`,
    retry: 'never',
  }),
  SOURCE_COLUMN_GONE: entry({
    text: (p: { source: string; table: string; column: string }) =>
      `table "${p.table}" of source "${p.source}" has no column "${p.column}"`,
    fix: 'If its name is right, it is gone: run `naru pull` to renew the schema module, then correct what turns red.',
    retry: 'never',
  }),
  SOURCE_TYPE_CHANGED: entry({
    text: (p: { source: string; table: string; column: string; expected: string; found: string }) =>
      `column "${p.column}" of table "${p.table}" in source "${p.source}" is now ${p.found}; the configuration says ${p.expected}`,
    fix: 'Run `naru pull` to renew the schema module, then correct what turns red.',
    retry: 'never',
  }),
  SOURCE_COLUMN_NEW: entry({
    text: (p: { source: string; table: string; columns: string }) =>
      `table "${p.table}" of source "${p.source}" has columns that the configuration does not name: ${p.columns}`,
    fix: "Run `naru pull` to take them in, or let the table go on without them: contract: { added: 'discard' }.",
    retry: 'never',
  }),
  SOURCE_KEY_CHANGED: entry({
    text: (p: { source: string; table: string; before: string; now: string }) =>
      `the key of table "${p.table}" in source "${p.source}" was ${p.before} and is now ${p.now}`,
    fix: "Run `naru pull` to renew the schema module; if rows are still known by the old key, say contract: { key: 'evolve' }.",
    retry: 'never',
  }),
  SOURCE_READ: entry({
    text: (p: { source: string; table: string; problem: string }) =>
      `reading "${p.table}" of source "${p.source}" failed: ${p.problem}`,
    fix: 'Run again: finished chunks are kept. If it fails at the same place, look at the message of the source.',
    retry: 'later',
  }),
  SOURCE_REWRITTEN: entry({
    text: (p: { source: string; table: string }) =>
      `table "${p.table}" of source "${p.source}" was truncated, rewritten or replaced after the read began: the read would find it empty`,
    fix: 'Run again: the next read finds the table as it is now.',
    retry: 'later',
  }),
  SOURCE_QUERY: entry({
    text: (p: { source: string; problem: string }) => `source "${p.source}" cannot run the query: ${p.problem}`,
    fix: "Correct the query: one SELECT in the source's own SQL, without a semicolon, each column with a name of its own.",
    retry: 'never',
  }),
  HORIZON_UNKNOWN: entry({
    text: (p: { source: string; table: string }) =>
      `source "${p.source}" cannot tell its oldest open transaction, so the timestamp technique could lose late commits of "${p.table}"`,
    fix: "State how late a row may commit: add lag: '10m' to the table's change technique, or let the account read pg_stat_activity (grant pg_read_all_stats).",
    retry: 'never',
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
  RANGE_UNSUPPORTED: entry({
    text: (p: { source: string; table: string; column: string }) =>
      `source "${p.source}" cannot read a range of "${p.table}" by its column "${p.column}"`,
    fix: 'Read the whole table: leave --from and --to out.',
    retry: 'never',
  }),
  SOURCE_VERSION: entry({
    text: (p: { source: string; system: string; found: string; needed: string }) =>
      `source "${p.source}" is ${p.system} ${p.found}; ${p.needed} or newer is needed`,
    fix: 'Upgrade the source, or read a replica of a newer version.',
    retry: 'never',
  }),
  SOURCE_PROTOCOL: entry({
    text: (p: { source: string; address: string; problem: string }) =>
      `what answers for source "${p.source}" at ${p.address} breaks its protocol: ${p.problem}`,
    fix: 'Check that the address is that of the database itself, and that nobody stands between; nothing was given to it.',
    retry: 'never',
  }),
  SOURCE_NO_SNAPSHOT: entry({
    text: (p: { source: string; table: string; engine: string }) =>
      `table "${p.table}" of source "${p.source}" is kept by ${p.engine}, which is in no snapshot: it may change while it is read`,
    fix: "Let InnoDB keep it (alter table … engine = InnoDB), or take it as it is at its moment: otherEngines: 'accept'.",
    retry: 'never',
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
    fix: 'Write the columns of its tables in the configuration; databases and folders of files are pulled.',
    retry: 'never',
    exit: 2,
  }),
  SOURCE_CATALOG_EMPTY: entry({
    text: (p: { source: string }) => `source "${p.source}" shows this account no table that it may read`,
    fix: 'Grant the account read access to the tables, or name their schemas in the option "schemas".',
    retry: 'never',
  }),
  SOURCE_FOLDER_EMPTY: entry({
    text: (p: { source: string; why: string }) =>
      `the folder of source "${p.source}" holds no file that can be described: ${p.why}`,
    fix: 'Put a file of each kind into the folder, or write the tables by hand: glob, format and columns.',
    retry: 'never',
  }),
  SOURCE_TABLE_UNKNOWN: entry({
    text: (p: { source: string; table: string; known: string }) =>
      `source "${p.source}" has no table "${p.table}" that this account may read; it has ${p.known}`,
    fix: 'Correct the name, or grant the account read access to the table.',
    retry: 'never',
    exit: 2,
  }),
} as const
