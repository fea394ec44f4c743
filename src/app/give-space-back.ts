import type { Emit } from '../core/events.ts'
import { knownError } from '../core/known-error.ts'
import type { Engine } from '../services/engine/contract.ts'

/**
 * Gives the space of deleted rows back, for about `withinMs` milliseconds, or until the signal. What is published stays so,
 * whatever happens here: an error is told as a note.
 */
export async function giveSpaceBack(
  engine: Pick<Engine, 'checkpoint'>,
  given: { readonly emit: Emit; readonly signal: AbortSignal; readonly withinMs?: number },
): Promise<void> {
  try {
    await engine.checkpoint(given.withinMs, given.signal)
  } catch (error) {
    const { code, message } = knownError(error)
    const text = `what was published is kept, but the space of deleted rows was not given back: ${message}`
    given.emit({ kind: 'note', level: 'warn', text, code, cause: message })
  }
}
