import { entry } from './entry.ts'

/** Errors of storages and the files in them. */
export const storageCodes = {
  FILES_COLUMNS_CHANGED: entry({
    text: (p: { table: string }) =>
      `the columns of ${p.table} changed in the configuration, and its earlier files would have to be read again`,
    fix: 'Put a file that holds the whole table into the folder (scope "full"), or give the table another name.',
    retry: 'never',
  }),
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
  STORAGE_TLS: entry({
    text: (p: { storage: string; address: string; problem: string }) =>
      `no safe connection to the storage of ${p.storage} at ${p.address}: ${p.problem}`,
    fix: "Ask for the certificate of the server's authority and give it as ca: file('ca.pem'); check the host's name.",
    retry: 'never',
  }),
  STORAGE_HOST_KEY: entry({
    text: (p: { storage: string; address: string; found: string; expected: string }) =>
      `the server of ${p.storage} at ${p.address} has the host key ${p.found}, ${p.expected}`,
    fix: (p: { found: string }) =>
      `Ask whoever runs the server for its fingerprint; if it is this one, write hostKey: '${p.found}' in the source.`,
    retry: 'never',
  }),
  STORAGE_EXISTS: entry({
    text: (p: { storage: string; key: string }) =>
      `the storage of ${p.storage} has ${JSON.stringify(p.key)} already: somebody else put it first`,
    fix: 'Run again: what the other one wrote is read first.',
    retry: 'later',
  }),
  STORAGE_UNCONDITIONAL: entry({
    text: (p: { storage: string; address: string }) =>
      `the storage of ${p.storage} at ${p.address} takes the condition "only when there is none" and replaces all the same`,
    fix: 'Use a store that keeps If-None-Match (Amazon S3, MinIO since 2024), or another storage for this.',
    retry: 'never',
  }),
  PUT_TOO_LARGE: entry({
    text: (p: { key: string; bytes: number; max: number }) =>
      `${JSON.stringify(p.key)} has ${p.bytes} bytes or more, and at most ${p.max} can be put`,
    fix: 'Raise partBytes of the storage.',
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
  STORAGE_TOO_MANY: entry({
    text: (p: { storage: string; folder: string; names: number }) =>
      `the storage of ${p.storage} lists more than ${p.names} names in ${JSON.stringify(p.folder)}`,
    fix: 'Move files that were taken to another folder, or give the table a pattern that begins with a narrower one.',
    retry: 'never',
  }),
  STORAGE_TOO_DEEP: entry({
    text: (p: { storage: string; folder: string; depth: number }) =>
      `the storage of ${p.storage} has folders more than ${p.depth} deep below ${JSON.stringify(p.folder)}`,
    fix: 'Name the folders in the pattern of the table, so that only those are entered.',
    retry: 'never',
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
  PATH_OUTSIDE: entry({
    text: (p: { path: string; root: string }) => `the path ${JSON.stringify(p.path)} leaves the folder ${p.root}`,
    fix: 'Remove the name at its origin; Naru reads and writes only inside the named folder.',
    retry: 'never',
  }),
} as const
