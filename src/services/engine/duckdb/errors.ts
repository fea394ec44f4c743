import { fail, isNaruError, messageOf, type NaruError } from '../../../core/errors.ts'
import { redact, Secret } from '../../../core/secret.ts'
import type { RenderedSql } from '../../../core/sql.ts'

/** Characters of a statement that an error shows. */
const STATEMENT_CHARS = 200

/** The error of a failed statement. DuckDB's binding gives its errors as text only, so the kind is read from its prefix. */
export function statementError(cause: unknown, path: string, statement: RenderedSql): NaruError {
  const secrets = [...statement.secrets.map(inLiteral), ...statement.secrets]
  const problem = withoutValues(problemOf(redact(messageOf(cause), secrets)))
  // The driver's text may quote the statement with a secret in it, so it is kept as a cause only when it has none.
  const options = statement.secrets.length === 0 ? { cause } : undefined
  const shared = sharedError(problem, path, options)
  if (shared !== null) return shared
  if (problem.startsWith('INTERRUPT Error')) return fail('CANCELLED', { what: 'a statement of the engine' }, options)
  // Secrets go out before the cut, so that none is cut in half and missed.
  const text = redact(statement.text, secrets).replaceAll(/\s+/g, ' ').trim().slice(0, STATEMENT_CHARS)
  return fail('ENGINE_SQL', { problem, statement: text }, options)
}

/** Errors about a value quote it, and it may be personal: such a message keeps its kind and loses the value. */
function withoutValues(problem: string): string {
  if (!/^(Conversion|Out of Range|Invalid Input|Constraint) Error/.test(problem)) return problem
  return problem.replaceAll(/'(?:[^']|'')*'|"(?:[^"]|"")*"/g, "'***'").replaceAll(/-?\d[\d.]{3,}/g, '***')
}

/** How a secret stands in the text of a statement: with its quotes doubled. */
function inLiteral(secret: Secret): Secret {
  return new Secret(secret.reveal().replaceAll("'", "''"))
}

/** The error of a file that does not open. */
export function openError(cause: unknown, path: string): NaruError {
  const problem = problemOf(messageOf(cause))
  const held = /Conflicting lock is held in (.*?\(PID \d+\))/.exec(messageOf(cause))
  if (held !== null) return fail('ENGINE_HELD', { path, holder: held[1] as string }, { cause })
  if (/Permission denied|Is a directory|Read-only file system|No such file/.test(problem)) {
    return fail('ENGINE_IO', { path, problem }, { cause })
  }
  return sharedError(problem, path, { cause }, 'open') ?? fail('ENGINE_DAMAGED', { path, problem }, { cause })
}

function sharedError(problem: string, path: string, options?: { cause: unknown }, when?: 'open'): NaruError | null {
  if (
    /No space left on device|File too large|Disk quota exceeded|max_temp_directory_size|failed to offload data block/.test(
      problem,
    )
  )
    return fail('DISK_FULL', { path }, options)
  if (problem.startsWith('Out of Memory Error')) return fail('ENGINE_MEMORY', { problem }, options)
  // At opening, an IO error is most often a damaged file: the caller tells them apart.
  if (problem.startsWith('IO Error') && when === undefined) return fail('ENGINE_IO', { path, problem }, options)
  return null
}

/** True when a checkpoint was refused because transactions that read still need what it would replace. */
export function isHeldByReaders(error: unknown): boolean {
  return isNaruError(error, 'ENGINE_SQL') && error.message.includes('Cannot CHECKPOINT: there are other')
}

/** The first line says what is wrong; the rest repeats the statement. */
function problemOf(message: string): string {
  return (message.split('\n', 1)[0] as string).trim()
}
