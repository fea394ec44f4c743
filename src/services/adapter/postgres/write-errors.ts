import { fail, isNaruError, messageOf, systemCodeOf, type NaruError } from '../../../core/errors.ts'
import { sourceError } from './errors.ts'
import { withoutSecrets, type Target } from './target.ts'

/** Codes that mean the same whether a table is read or written. */
const SHARED = ['SOURCE_LOGIN', 'SOURCE_TLS', 'SOURCE_UNREACHABLE', 'SOURCE_DENIED', 'CANCELLED'] as const
/** Constraints whose detail names a key and nothing else of the row. */
const KEYS = ['23505', '23503']

/** What the hint of an error begins with that a called routine raised; the place of the row follows. */
export const CALL_HINT = 'naru: row '
/** The server's state rather than the row: the same calls may go well later. */
const NOT_THE_ROW = /^(08|40|53|55P03|57|58|XX)/
const ENDS_TRANSACTION = '2D000'

/** `WRITE_CALL` for what a called routine raised; `null` for any other error. */
function callError(error: unknown, target: Target, table: string, problem: string): NaruError | null {
  const hint = textOf(error, 'hint')
  const code = systemCodeOf(error) ?? ''
  if (!hint.startsWith(CALL_HINT) || NOT_THE_ROW.test(code)) return null
  const why = code === ENDS_TRANSACTION ? 'it commits or rolls back by itself, and all calls are one transaction: ' : ''
  const row = hint.slice('naru: '.length)
  return fail(
    'WRITE_CALL',
    { system: target.source, table, row, problem: why + problem },
    { cause: new Error(problem) },
  )
}

/** Turns whatever the driver threw into an error of the table, without secrets. `table` is the one that is written. */
export function writeError(error: unknown, target: Target, table: string): NaruError {
  if (isNaruError(error) && !isNaruError(error, 'DEADLINE')) return error
  const known = sourceError(error, target, `table "${table}"`)
  if (SHARED.some(code => isNaruError(known, code))) return known
  const detail = KEYS.includes(systemCodeOf(error) ?? '') ? textOf(error, 'detail') : ''
  const problem = withoutSecrets(target, [messageOf(error), detail].filter(text => text !== '').join(': '))
  const ofCall = callError(error, target, table, problem)
  if (ofCall !== null) return ofCall
  const cause = { cause: new Error(problem) }
  if (isTakenError(error)) return fail('WRITE_NOT_UNIQUE', { system: target.source, table, problem }, cause)
  return fail('WRITE_FAILED', { system: target.source, table, problem }, cause)
}

/** True for a row that a unique constraint refused. */
export function isTakenError(error: unknown): boolean {
  return systemCodeOf(error) === '23505'
}

/** True for a value that its type refused: of class 22 (data), or by the check of a domain. */
export function isValueError(error: unknown): boolean {
  return /^(22|23)/.test(systemCodeOf(error) ?? '')
}

/** Where a COPY stopped, as the server tells: its line from 1, and what begins with the name of the column. */
export function copyPlace(error: unknown): { readonly line: number; readonly column: string } | null {
  const [, line, column] = /, line (\d+)(?:, column (.*))?$/s.exec(firstLine(textOf(error, 'where'))) ?? []
  return line === undefined ? null : { line: Number(line), column: column ?? '' }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] as string
}

function textOf(error: unknown, field: 'detail' | 'hint' | 'where'): string {
  const value =
    typeof error === 'object' && error !== null && field in error ? (error as Record<string, unknown>)[field] : ''
  return typeof value === 'string' ? value : ''
}
