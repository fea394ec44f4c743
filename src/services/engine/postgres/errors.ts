import { fail, isNaruError, messageOf, systemCodeOf, type NaruError } from '../../../core/errors.ts'
import { redact, Secret } from '../../../core/secret.ts'
import type { RenderedSql } from '../../../core/sql.ts'
import { withoutSecrets, type Site } from './site.ts'

/** Characters of a statement that an error shows. */
const STATEMENT_CHARS = 200
/** A lock that did not come in time, and a circle of locks that the server cut. */
const BUSY = ['55P03', '40P01']
const HELD = 'another session changes a table that is needed here, as a run does with one whose columns changed'
const LOGIN = ['28', '3D000']
const UNREACHABLE = ['08', '53300', '57P']
const NETWORK = /^(E[A-Z]{3,}|ERR_TLS.*|CERT_.*|DEPTH_ZERO.*|SELF_SIGNED.*|UNABLE_TO.*)$/
/** The driver throws these without a code. */
const DRIVER =
  /Connection terminated|timeout expired|Client was closed|not queryable|SSL connection|ended the connection/

/** The error of a failed statement. The server's text may quote values, which may be personal: those go. */
export function statementError(cause: unknown, site: Site, statement: RenderedSql): NaruError {
  if (isNaruError(cause)) return cause
  const secrets = [...statement.secrets.map(inLiteral), ...statement.secrets]
  const code = systemCodeOf(cause) ?? ''
  const told = redact(withoutSecrets(site, messageOf(cause)), secrets)
  const problem = withoutValues(told.split('\n', 1)[0] as string, code)
  const kept = { cause: new Error(problem) }
  const shared = connectionError(code, problem, site, kept)
  if (shared !== null) return shared
  const { address } = site
  if (BUSY.includes(code)) return fail('ENGINE_BUSY', { address, what: HELD }, kept)
  if (code === '53100') return fail('DISK_FULL', { path: address }, kept)
  if (code === '53200') return fail('ENGINE_MEMORY', { problem }, kept)
  if (code === '58030') return fail('ENGINE_IO', { path: address, problem }, kept)
  const text = redact(statement.text, secrets).replaceAll(/\s+/g, ' ').trim().slice(0, STATEMENT_CHARS)
  return fail('ENGINE_SQL', { problem, statement: text }, kept)
}

/** The error of a connection that did not come about. */
export function openError(cause: unknown, site: Site): NaruError {
  if (isNaruError(cause) && cause.code !== 'DEADLINE') return cause
  const code = systemCodeOf(cause) ?? ''
  const problem = withoutSecrets(site, messageOf(cause) || code)
  const kept = { cause: new Error(problem) }
  const { address } = site
  return connectionError(code, problem, site, kept) ?? fail('ENGINE_UNREACHABLE', { address, problem }, kept)
}

function connectionError(code: string, problem: string, { address }: Site, kept: { cause: Error }): NaruError | null {
  const starts = (prefixes: readonly string[]): boolean => prefixes.some(prefix => code.startsWith(prefix))
  if (starts(LOGIN)) return fail('ENGINE_LOGIN', { address, problem }, kept)
  if (starts(UNREACHABLE) || NETWORK.test(code) || (code === '' && DRIVER.test(problem))) {
    return fail('ENGINE_UNREACHABLE', { address, problem }, kept)
  }
  return null
}

/** Data errors and broken constraints quote the value. */
function withoutValues(problem: string, code: string): string {
  if (!code.startsWith('22') && !code.startsWith('23')) return problem
  return problem.replaceAll(/"(?:[^"]|"")*"/g, '"***"').replaceAll(/-?\d[\d.]{3,}/g, '***')
}

/** How a secret stands in the text of a statement. */
function inLiteral(secret: Secret): Secret {
  return new Secret(secret.reveal().replaceAll('\\', '\\\\').replaceAll("'", "''"))
}
