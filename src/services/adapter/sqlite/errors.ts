import { fail, isNaruError, messageOf, systemCodeOf, type NaruError } from '../../../core/errors.ts'

/** Which file of which source an error is about. */
export interface SourceFile {
  readonly source: string
  readonly file: string
}

/** What went wrong with the file itself, as an error of the table. */
export function fileError(error: unknown, { source, file }: SourceFile): NaruError {
  if (isNaruError(error)) return error
  const code = systemCodeOf(error)
  const cause = { cause: error }
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return fail('SOURCE_DENIED', { source, object: file, problem: code }, cause)
    case 'EISDIR':
      return fail('SOURCE_NOT_DATABASE', { source, file, problem: 'it is a folder' }, cause)
    case 'ENOENT':
    case 'ENOTDIR':
      return fail('SOURCE_UNREACHABLE', { source, address: file, problem: 'there is no such file' }, cause)
    default:
      return fail('SOURCE_UNREACHABLE', { source, address: file, problem: messageOf(error) }, cause)
  }
}

/** What SQLite said while reading `table`. The driver gives no codes, so only its own errors' text is passed on. */
export function readError(error: unknown, source: string, table: string): unknown {
  if (isNaruError(error)) return error
  return fail('SOURCE_READ', { source, table, problem: messageOf(error) }, { cause: error })
}
