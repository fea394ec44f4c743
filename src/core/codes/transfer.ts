import { entry } from './entry.ts'

/** Errors of `naru transfer`. */
export const transferCodes = {
  TRANSFER_ADDRESS: entry({
    text: (p: { address: string; problem: string }) => `"${p.address}" names no system and table: ${p.problem}`,
    fix: 'Write env:VARIABLE#table for a database whose address is in a variable, source#table for a source of naru.config.ts, file.db#table for SQLite, or the path of a file.',
    retry: 'never',
    exit: 2,
  }),
  TRANSFER_CANNOT: entry({
    text: (p: { system: string; what: string }) => `"${p.system}" cannot ${p.what}`,
    fix: 'docs/guide/transfer.md lists what each system reads and writes.',
    retry: 'never',
    exit: 2,
  }),
  TRANSFER_FILE: entry({
    text: (p: { address: string; problem: string }) => `${p.address}: ${p.problem}`,
    fix: 'Correct the path or the pattern. Files that need to be described (fixed width, no header, another encoding) are read by naru run, from files() of a project.',
    retry: 'never',
    exit: 2,
  }),
  TRANSFER_TABLE: entry({
    text: (p: { address: string; table: string; known: string }) =>
      `${p.address} has no table "${p.table}" that this account may read; there are ${p.known}`,
    fix: 'Correct what stands behind the #, or grant the account read access to the table.',
    retry: 'never',
    exit: 2,
  }),
  TRANSFER_WHERE: entry({
    text: (p: { where: string; problem: string }) => `with --where ${JSON.stringify(p.where)}, ${p.problem}`,
    fix: "Correct the condition, which is in the source's own SQL. If it is right, run again: what was staged is kept.",
    retry: 'never',
  }),
  TRANSFER_COLUMN: entry({
    text: (p: { flag: string; column: string; table: string; known: string }) =>
      `${p.flag} names "${p.column}", which is no column of "${p.table}"; there are ${p.known}`,
    fix: (p: { flag: string }) => `Correct ${p.flag}; names are told apart by upper and lower case.`,
    retry: 'never',
    exit: 2,
  }),
  TRANSFER_INCREMENTAL: entry({
    text: (p: { column: string; problem: string }) => `--incremental: "${p.column}" ${p.problem}`,
    fix: 'Name a column that grows with every new or changed row; docs/guide/transfer.md says which go with which --mode.',
    retry: 'never',
    exit: 2,
  }),
  TRANSFER_TYPE: entry({
    text: (p: { column: string; type: string; system: string }) =>
      `column "${p.column}" is ${p.type}, and "${p.system}" has no type that holds it exactly`,
    fix: 'Leave the column out with --columns, or cast it in a --query.',
    retry: 'never',
  }),
  TRANSFER_REJECTS: entry({
    text: (p: { rows: number; table: string; example: string }) =>
      `${p.rows} rows of "${p.table}" cannot be read exactly; the first: ${p.example}`,
    fix: 'Nothing of the transfer is visible. Mend the rows, or leave out their column with --columns; in a database, the rows with --where. Files with bad lines or in another encoding than UTF-8 are read by naru run, from files() of a project.',
    retry: 'never',
  }),
  TRANSFER_DIFFERS: entry({
    text: (p: { from: string; to: string; what: string; source: string; target: string }) =>
      `${p.what} of ${p.from} is ${p.source}, of what arrived for ${p.to} ${p.target}`,
    fix: 'Nothing of the transfer is visible. Run it again; if the same figure differs, report it with both values.',
    retry: 'later',
  }),
} as const
