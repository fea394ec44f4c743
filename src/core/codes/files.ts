import { entry } from './entry.ts'

/** Errors of single files: each stops its file, and the run goes on with the others. */
export const fileCodes = {
  FILE_DAMAGED: entry({
    text: (p: { file: string; problem: string }) => `file "${p.file}" cannot be read: ${p.problem}`,
    fix: 'Ask the sender for the file again, or correct the format of the table in the configuration; the others go on.',
    retry: 'never',
  }),
  FILE_LIMIT: entry({
    text: (p: { file: string; what: string; limit: string; option: string }) =>
      `file "${p.file}" has more than ${p.limit} ${p.what} (${p.option})`,
    fix: p =>
      `If the file is sound, raise ${p.option} of the source; a file like this may be made to fill a disk or memory.`,
    retry: 'never',
  }),
  FILE_TYPE: entry({
    text: (p: { file: string; column: string; declared: string; found: string }) =>
      `file "${p.file}": column "${p.column}" is ${p.found} there, which ${p.declared} cannot hold`,
    fix: 'Declare the column with a type that holds what the file has, or as t.text() or t.json().',
    retry: 'never',
  }),
  FILE_COLUMN_NEW: entry({
    text: (p: { file: string; columns: string }) =>
      `file "${p.file}" has columns that the configuration does not name: ${p.columns}`,
    fix: "Name them in the columns of the table, or change its contract: { added: 'discard' } leaves them out, { added: 'evolve' } stages them.",
    retry: 'never',
  }),
  FILE_TYPE_CHANGED: entry({
    text: (p: { file: string; column: string; expected: string; found: string }) =>
      `file "${p.file}": column "${p.column}" is ${p.found} there; the configuration says ${p.expected}`,
    fix: "Correct the type in the configuration, or take the rows that fit it: contract: { types: 'evolve' }.",
    retry: 'never',
  }),
  FILE_TRAILER: entry({
    text: (p: { file: string; problem: string }) => `file "${p.file}" does not agree with its trailer: ${p.problem}`,
    fix: 'Ask the sender for the whole file again; nothing of it is taken, the others go on.',
    retry: 'later',
  }),
  FILE_MEMBER: entry({
    text: (p: { file: string; problem: string }) => `archive "${p.file}" is refused: ${p.problem}`,
    fix: 'Ask the sender for an archive of plain files with plain names, or correct `members` of the table; the others go on.',
    retry: 'never',
  }),
}
