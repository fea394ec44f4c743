import { fail, isNaruError, isTlsFault, messageOf, systemCodeOf, type NaruError } from '../../../core/errors.ts'
import { machineError } from '../../../core/known-error.ts'
import { withoutSecrets, type Target } from './target.ts'

/** Codes of the server, by their first letters, that tell why it does not let us in. */
const LOGIN = ['28', '3D000']
/** Connection lost, too many clients, the server is starting or stopping. */
const UNREACHABLE = ['08', '53300', '57P']
const DENIED = '42501'
const TABLE_GONE = '42P01'

const NETWORK = /^E[A-Z]{3,}$/
/** No encryption where it is asked for. */
const NO_TLS = /does not support SSL|error establishing an SSL connection|SSL routines/
/** The driver throws these without a code. */
const DRIVER =
  /Connection terminated|timeout expired|Client was closed|not queryable|SSL connection|ended the connection/

/** Turns whatever the driver threw into an error of the table, without secrets. `object` is what was read, for people. */
export function sourceError(error: unknown, target: Target, object: string | null): NaruError {
  if (isNaruError(error)) {
    return isNaruError(error, 'DEADLINE') ? unreachable(error, target, error.message) : error
  }
  const ours = machineError(error)
  if (ours !== null) return ours
  const { source } = target
  const code = systemCodeOf(error) ?? ''
  const problem = withoutSecrets(target, messageOf(error) || code)
  const cause = { cause: withoutCause(error, problem) }
  const starts = (prefixes: readonly string[]): boolean => prefixes.some(prefix => code.startsWith(prefix))
  if (starts(LOGIN)) return fail('SOURCE_LOGIN', { source, user: target.user, problem }, cause)
  if (isTlsFault(error) || NO_TLS.test(problem))
    return fail('SOURCE_TLS', { source, address: target.address, problem }, cause)
  if (starts(UNREACHABLE) || NETWORK.test(code) || (code === '' && DRIVER.test(problem))) {
    return unreachable(error, target, problem)
  }
  if (code === DENIED) {
    return object === null
      ? fail('SOURCE_LOGIN', { source, user: target.user, problem }, cause)
      : fail('SOURCE_DENIED', { source, object, problem }, cause)
  }
  if (code === TABLE_GONE && object !== null) return fail('SOURCE_TABLE_GONE', { source, table: object }, cause)
  return fail('SOURCE_READ', { source, table: object ?? 'the catalog', problem }, cause)
}

function unreachable(error: unknown, target: Target, problem: string): NaruError {
  const { source, address } = target
  return fail('SOURCE_UNREACHABLE', { source, address, problem }, { cause: withoutCause(error, problem) })
}

/** The cause that is kept: the driver's error may hold its configuration, so only its text goes on. */
function withoutCause(error: unknown, problem: string): Error {
  return isNaruError(error) ? error : new Error(problem)
}
