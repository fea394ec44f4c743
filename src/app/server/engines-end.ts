import { isNaruError, type Code } from '../../core/errors.ts'

const ends: readonly Code[] = ['ENGINE_DAMAGED', 'ENGINE_CLOSED', 'ENGINE_UNREACHABLE', 'ENGINE_HELD']

/**
 * True for an error after which this process can do nothing more with its database: it has to be opened anew, by the next
 * process. A source that fails, a full disk or a rule that stops a run is none.
 */
export function isEnginesEnd(error: unknown): boolean {
  if (!isNaruError(error)) return false
  return ends.includes(error.code) || (error.code === 'ENGINE_SQL' && /FATAL Error|invalidated/.test(error.message))
}
