import { fail, isDiskFull, isNaruError, messageOf, systemCodeOf, type NaruError } from './errors.ts'

/** Anything that was thrown as an error of the table: a limit of this machine by its own name, the rest as a fault of ours. */
export function knownError(error: unknown): NaruError {
  if (isNaruError(error)) return error
  return machineError(error) ?? fail('INTERNAL', { what: messageOf(error) }, { cause: error })
}

/** The error for a limit or a right of this machine that no system outside is guilty of; `null` for any other. */
export function machineError(error: unknown): NaruError | null {
  const code = systemCodeOf(error) ?? ''
  const problem = messageOf(error)
  const path = pathOf(error)
  const cause = { cause: error }
  if (isDiskFull(error)) return fail('DISK_FULL', { path: path ?? 'the disk' }, cause)
  // Native libraries give the system's words without its code.
  if (/^(EMFILE|ENFILE)$/.test(code) || /Too many open files/.test(problem)) {
    return fail('OPEN_FILES', { problem }, cause)
  }
  if (/^(EACCES|EPERM|EROFS)$/.test(code) && path !== null) return fail('FILE_DENIED', { path, problem }, cause)
  // A process or a thread that could not be started: a limit of processes says the same as one of memory.
  if (code === 'EAGAIN' || code === 'ERR_WORKER_INIT_FAILED') return fail('PROCESSES', { problem }, cause)
  if (/^(ENOMEM|ERR_WORKER_OUT_OF_MEMORY|ERR_MEMORY_ALLOCATION_FAILED)$/.test(code) || isAllocation(error)) {
    return fail('MEMORY', { problem }, cause)
  }
  return null
}

/** The runtime gives these no code. */
function isAllocation(error: unknown): boolean {
  return error instanceof RangeError && /allocation failed|Invalid array buffer length/i.test(error.message)
}

function pathOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('path' in error)) return null
  return typeof error.path === 'string' ? error.path : null
}
