import { fail, isNaruError, messageOf, systemCodeOf, type NaruError } from '../../../../core/errors.ts'
import type { ServerError } from '../../../../systems/mysql/protocol.ts'
import { sourceError } from '../errors.ts'
import type { Target } from '../target.ts'
import { ShapeUnknown } from './plan.ts'

const technique = 'log'

/** What the server answered instead of its log, with its number as `code`. */
export function refusal({ number, message }: ServerError): Error {
  return Object.assign(new Error(message), { code: String(number) })
}

/** The log cannot be gone on with: `problem` says what is missed. */
export function lost({ source }: Target, problem: string, cause?: unknown): NaruError {
  return fail('POSITION_LOST', { source, technique, problem }, cause === undefined ? {} : { cause })
}

/** Somebody else reads under our number. */
export function inUse({ source }: Target, holder: string): NaruError {
  return fail('CAPTURE_HELD', { source, technique, holder })
}

export function notReady({ source }: Target, problems: string): NaruError {
  return fail('CAPTURE_NOT_READY', { source, technique, problems })
}

/** The server cannot read its log from where we asked. */
const LOG_UNREADABLE = '1236'
/** Another reader came under the same number: the server says it in these words, or with a number of its own. */
const SAME_ID = /same server[_ ](uu)?id/i
const NOT_READY: ReadonlySet<string> = new Set(['1227', '1381'])

/** Turns whatever ended the reading of the log into an error of the table. `at` is where it was. */
export function logError(error: unknown, target: Target, at: string): NaruError {
  if (isNaruError(error) && error.code !== 'DEADLINE') return error
  const code = systemCodeOf(error) ?? ''
  const message = messageOf(error)
  if (error instanceof ShapeUnknown) return lost(target, `${message} (at ${at})`, error)
  if (SAME_ID.test(message)) {
    return inUse(
      target,
      `a reader with the same server id has come (${message}); give one of them a serverId of its own`,
    )
  }
  if (code === LOG_UNREADABLE) return lost(target, `the server cannot read its log from ${at}: ${message}`, error)
  if (NOT_READY.has(code)) return notReady(target, message)
  return sourceError(error, target, 'the log')
}
