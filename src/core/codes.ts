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
} as const
