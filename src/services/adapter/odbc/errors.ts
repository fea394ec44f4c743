import { fail, isNaruError, messageOf, type NaruError } from '../../../core/errors.ts'
import type { Failure } from './messages.ts'
import { withoutSecrets, type Target } from './target.ts'

/** What the process of the driver reported, on this side. */
export class OdbcFailure extends Error {
  readonly failure: Failure

  constructor(failure: Failure) {
    super(failure.message)
    this.failure = failure
  }
}

/** The error to throw for a failure; what it was about is added by `sourceError`. */
export function failureError(failure: Failure): Error {
  return new OdbcFailure(failure)
}

/** No data source of that name, no driver, or a driver that cannot be loaded. */
const DRIVER_MISSING = ['IM002', 'IM003', 'IM004', 'IM005', '01S00']
/** Login refused, invalid connection string attribute that drivers report for it. */
const LOGIN = ['28']
/** Connection failures and time limits. */
const UNREACHABLE = ['08', 'HYT', '57P']
const DENIED = ['42501']
const TABLE_GONE = ['42S02', '42P01', 'S0002']

/** Turns a failure of the driver into an error of the table, without secrets. `object` is what was read, for people. */
export function sourceError(error: unknown, target: Target, object: string | null): NaruError {
  const { source, address } = target
  if (isNaruError(error)) {
    if (!isNaruError(error, 'DEADLINE')) return error
    return fail('SOURCE_UNREACHABLE', { source, address, problem: error.message }, { cause: error })
  }
  const { reason, state } = error instanceof OdbcFailure ? error.failure : { reason: 'other', state: '' }
  const problem = `${withoutSecrets(target, messageOf(error))}${state === '' ? '' : ` (${state})`}`
  const cause = { cause: new Error(problem) }
  if (reason === 'manager-missing') return fail('ODBC_MANAGER_MISSING', { source, problem }, cause)
  if (reason === 'package-missing')
    return fail('DRIVER_MISSING', { package: 'koffi', service: 'adapter', kind: 'odbc' }, cause)
  if (reason === 'cancelled') return fail('CANCELLED', { what: `reading source "${source}"` }, cause)
  const starts = (states: readonly string[]): boolean => states.some(it => state.startsWith(it))
  if (starts(DRIVER_MISSING) || /can't open lib/i.test(problem))
    return fail('ODBC_DRIVER_MISSING', { source, problem }, cause)
  if (starts(LOGIN) || isLogin(problem, object))
    return fail('SOURCE_LOGIN', { source, user: target.user, problem }, cause)
  if (starts(UNREACHABLE) || (object === null && reason === 'driver')) {
    return fail('SOURCE_UNREACHABLE', { source, address, problem }, cause)
  }
  if (starts(DENIED) || /denied|permission/i.test(problem)) {
    return fail('SOURCE_DENIED', { source, object: object ?? 'the catalog', problem }, cause)
  }
  if (starts(TABLE_GONE) && object !== null) return fail('SOURCE_TABLE_GONE', { source, table: object }, cause)
  return fail('SOURCE_READ', { source, table: object ?? 'the catalog', problem }, cause)
}

/** Drivers report a refused login with states of all kinds; their words are the same since decades. */
function isLogin(problem: string, object: string | null): boolean {
  // What libpq says of a server that speaks something else.
  if (/expected authentication request/i.test(problem)) return false
  return object === null && /password|authentication|access denied|login failed|role ".*" does not exist/i.test(problem)
}
