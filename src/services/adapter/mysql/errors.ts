import { fail, isNaruError, isTlsFault, messageOf, systemCodeOf, type NaruError } from '../../../core/errors.ts'
import { machineError } from '../../../core/known-error.ts'
import { withoutSecrets, type Target } from './target.ts'

/** Numbers of the server for why it does not let us in: wrong password, no such account, host or database. */
const LOGIN: ReadonlySet<string> = new Set([
  '1044',
  '1045',
  '1049',
  '1130',
  '1251',
  '1275',
  '1698',
  '1820',
  '1862',
  '3118',
  '4151',
])
/** Too many connections, starting or stopping, gone, killed, out of resources. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  '1040',
  '1053',
  '1080',
  '1129',
  '1158',
  '1159',
  '1160',
  '1161',
  '1184',
  '1203',
  '1226',
  '1927',
])
const DENIED: ReadonlySet<string> = new Set(['1142', '1143', '1227', '1290', '1356', '1370'])
const TABLE_GONE: ReadonlySet<string> = new Set(['1051', '1146'])

const NETWORK = /^(E[A-Z]{3,}|PROTOCOL_.*|HANDSHAKE_.*|AUTH_SWITCH.*)$/
/** The driver's own codes for a server that cannot encrypt, and for a certificate that it does not take. */
const HANDSHAKE = /^HANDSHAKE_(NO_SSL_SUPPORT|SSL_ERROR)$/
/** What breaks a handshake that may go well the next time. */
const BROKEN = /ECONNRESET|EPIPE|ETIMEDOUT|hang up|disconnected before/
/** What has no code: our own words about a server that has gone or does not speak the protocol. */
const LOST = /^the server |^the connection |Connection lost|before the login/

/** Turns whatever was thrown into an error of the table, without secrets. `object` is what was read, for people. */
export function sourceError(error: unknown, target: Target, object: string | null): NaruError {
  if (isNaruError(error)) {
    return isNaruError(error, 'DEADLINE') ? unreachable(error, target, error.message) : error
  }
  const ours = machineError(error)
  if (ours !== null) return ours
  const { source } = target
  const code = systemCodeOf(error) ?? ''
  const problem = withoutSecrets(target, messageOf(error) || code)
  const cause = { cause: new Error(problem) }
  if (code === 'NARU_PROTOCOL') return fail('SOURCE_PROTOCOL', { source, address: target.address, problem }, cause)
  if (isTlsFault(error) || (HANDSHAKE.test(code) && !BROKEN.test(problem))) {
    return fail('SOURCE_TLS', { source, address: target.address, problem }, cause)
  }
  if (LOGIN.has(code)) return fail('SOURCE_LOGIN', { source, user: target.user, problem }, cause)
  if (UNREACHABLE.has(code) || NETWORK.test(code) || (code === '' && LOST.test(problem))) {
    return unreachable(error, target, problem)
  }
  if (DENIED.has(code)) {
    return fail('SOURCE_DENIED', { source, object: object === null ? 'the catalog' : `"${object}"`, problem }, cause)
  }
  if (TABLE_GONE.has(code) && object !== null) return fail('SOURCE_TABLE_GONE', { source, table: object }, cause)
  return fail('SOURCE_READ', { source, table: object ?? 'the catalog', problem }, cause)
}

function unreachable(error: unknown, target: Target, problem: string): NaruError {
  const { source, address } = target
  const cause = isNaruError(error) ? error : new Error(problem)
  return fail('SOURCE_UNREACHABLE', { source, address, problem }, { cause })
}
