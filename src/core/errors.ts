import { codes, type CodeEntry } from './codes.ts'

/** The stable name of an error of the table. */
export type Code = keyof typeof codes
type ParamsOf<C extends Code> = (typeof codes)[C] extends CodeEntry<infer P> ? P : never

/** The one error class. `code` is stable; nobody reads message text to decide anything. */
export class NaruError extends Error {
  readonly code: Code
  readonly fix: string
  readonly retry: 'never' | 'later'
  /** Exit status of a command that ends with this error. */
  readonly exit: 1 | 2 | 3

  constructor(code: Code, params: object, options?: { cause?: unknown }) {
    const entry = codes[code] as unknown as CodeEntry<object>
    super(entry.text(params), options)
    this.name = 'NaruError'
    this.code = code
    this.fix = typeof entry.fix === 'function' ? entry.fix(params) : entry.fix
    this.retry = entry.retry
    this.exit = entry.exit ?? 1
  }
}

/** Makes the error for `code`; the caller throws it: `throw fail('DEADLINE', { what, ms })`. */
export function fail<C extends Code>(code: C, params: ParamsOf<C>, options?: { cause?: unknown }): NaruError {
  return new NaruError(code, params as object, options)
}

/** An error as it goes to another process: text only, and never a stack. */
export interface ToldError {
  readonly code: Code
  readonly message: string
  readonly fix: string
  readonly retry: 'never' | 'later'
  readonly exit: 1 | 2 | 3
  /** What a driver said, where a command shows it. */
  readonly cause: string | null
}

export function toldError(error: NaruError): ToldError {
  const { code, message, fix, retry, exit, cause } = error
  return {
    code,
    message,
    fix,
    retry,
    exit,
    cause: code === 'ENGINE_SQL' && cause !== undefined ? messageOf(cause) : null,
  }
}

/** The error that another process told, with its own words. */
export function errorTold(told: ToldError): NaruError {
  const { cause, ...facts } = told
  const error = Object.create(NaruError.prototype) as NaruError
  return Object.assign(error, facts, { name: 'NaruError' }, cause === null ? {} : { cause: new Error(cause) })
}

/** True for a Naru error, with that code when one is given. */
export function isNaruError(error: unknown, code?: Code): error is NaruError {
  return error instanceof NaruError && (code === undefined || error.code === code)
}

/** The message of anything that was thrown, without a stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** True when there is no room: on the disk, in the quota, or below the largest size of a file. */
export function isDiskFull(error: unknown): boolean {
  const code = systemCodeOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
}

/** Codes of Node and OpenSSL for a certificate that is not the right one, and for a peer that does not speak TLS. */
const TLS =
  /^(ERR_(TLS|SSL|OSSL).*|CERT_.*|DEPTH_ZERO.*|SELF_SIGNED.*|UNABLE_TO_(GET|VERIFY|DECODE).*|HOSTNAME_MISMATCH|EPROTO)$/

/** True when no safe connection came about: waiting and asking again does not help. */
export function isTlsFault(error: unknown): boolean {
  return TLS.test(systemCodeOf(error) ?? '')
}

/** The `code` of a Node system error (`ENOENT`, `ECONNREFUSED`, ...), if it has one. */
export function systemCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
