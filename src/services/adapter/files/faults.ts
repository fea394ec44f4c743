import { fail } from '../../../core/errors.ts'

/** `FILE_DAMAGED`. */
export function damaged(file: string, problem: string, cause?: unknown): Error {
  return fail('FILE_DAMAGED', { file, problem }, cause === undefined ? undefined : { cause })
}

/** What a library says of its fault, in few words. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]?.slice(0, 200) ?? ''
}
