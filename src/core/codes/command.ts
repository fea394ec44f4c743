import { entry } from './entry.ts'

/** Errors of use of the command line, of selectors and of what commands ask for. */
export const commandCodes = {
  USAGE: entry({
    text: (p: { problem: string }) => p.problem,
    fix: 'Run the command with --help to see its arguments.',
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
  RUN_HELD: entry({
    text: (p: { holder: string; since: string }) => `${p.holder} is at work since ${p.since}, and only one may be`,
    fix: 'Wait until it ends, or end that process; its finished chunks are kept.',
    retry: 'later',
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
  REPORT_NO_RUN: entry({
    text: (p: { run: bigint | null }) =>
      p.run === null
        ? 'there is nothing to report: no run has ended yet'
        : `run ${p.run} is not known or has not ended`,
    fix: 'Run `naru run` first; `naru status` lists the last runs.',
    retry: 'never',
  }),
  FOLDER_NOT_EMPTY: entry({
    text: (p: { folder: string }) => `the folder ${p.folder} is not empty`,
    fix: 'Name a new folder: naru init writes only where nothing can be overwritten.',
    retry: 'never',
    exit: 2,
  }),
} as const
