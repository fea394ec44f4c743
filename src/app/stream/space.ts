import type { Env } from '../../core/env.ts'
import type { NaruError } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import type { ChangeStream } from '../../services/adapter/contract-capture.ts'
import type { DiskWatch } from '../disk.ts'
import type { ReaderState } from './reader-state.ts'
import { troubleOf } from './trouble.ts'

/** How often it is looked whether there is space on the disk again. */
const spaceMs = 1_000

interface SpaceGiven {
  readonly env: Env
  readonly emit: Emit
  readonly source: string
  readonly disk: DiskWatch
  readonly state: ReaderState
  /** A session waits until there is space again; a run ends with the error. */
  readonly isSession: boolean
  readonly signal: AbortSignal
}

/** Returns once there is space on the disk: while there is too little, nothing is read. Throws `DISK_LOW` in a run. */
export async function waitForSpace(given: SpaceGiven, from: ChangeStream): Promise<void> {
  const { error } = await given.disk.look()
  if (error === null) return
  if (!given.isSession) throw error
  await outlast(given, from, error)
  from.hold?.(false)
  given.state.set({ state: 'reading', error: null, trouble: null })
}

/**
 * Holds the source for as long as there is too little space, or until the signal; never throws because of the signal. At least
 * one look long: a limit that the system does not tell of (a quota) is found out by trying.
 */
export async function outlast(given: SpaceGiven, from: ChangeStream, error: NaruError): Promise<void> {
  const { env, emit, source, disk, state, signal } = given
  from.hold?.(true)
  const text = `source "${source}" waits for disk: ${error.message}`
  emit({ kind: 'note', level: 'warn', text, code: error.code, cause: error.message })
  for (let isLow = true; isLow && !signal.aborted;) {
    const trouble = troubleOf(env, error, { before: state.now.trouble, pauseMs: spaceMs })
    state.set({ state: 'waiting', error, trouble })
    await env.clock.sleep(spaceMs, signal).catch(() => {})
    isLow = (await disk.look()).level !== 'well'
  }
  if (signal.aborted) return
  emit({ kind: 'note', level: 'info', text: `source "${source}" is read again`, code: error.code })
}
