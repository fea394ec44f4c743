import { engineCodes } from '../core/codes/engine.ts'
import { isNaruError, type Code, type NaruError } from '../core/errors.ts'

// What each kind of fault stops. The sets differ because they answer other questions: what is wrong with one table stops that
// table, what a stream lost stops its tables, and what may pass is tried again first.

/** What is wrong with the shape of one table, or with the numbers it is followed by, stops that table; any other fault ends the run. */
export const tableFaults: readonly Code[] = [
  'SOURCE_TABLE_GONE',
  'SOURCE_COLUMN_NEW',
  'SOURCE_COLUMN_GONE',
  'SOURCE_TYPE_CHANGED',
  'SOURCE_KEY_CHANGED',
  'APPEND_PART_ROWS',
  'APPEND_UNABLE',
  'VERSION_WENT_BACK',
  'VERSION_REPEATED',
]

/** What stops one stream with its tables: only a person decides what becomes of what it cannot tell any more. Everything else goes on. */
const streamFaults: readonly Code[] = [
  'POSITION_LOST',
  'STREAM_TABLE_LOST',
  'STREAM_LOG_GONE',
  'BUS_GAP',
  'BUS_POSITION',
]

/** Why a stream gives no changes of a table that may be there again. */
const goneFaults: readonly string[] = ['STREAM_TABLE_LOST', 'SOURCE_TABLE_GONE'] satisfies readonly Code[]

/** True for what stops one table, which stays as it is; the others go on. */
export function stopsTable(error: unknown): error is NaruError {
  return isNaruError(error) && tableFaults.includes(error.code)
}

/** True for what stops a stream with its tables until a person decides; the others go on. */
export function stopsStream(error: unknown): error is NaruError {
  return isNaruError(error) && streamFaults.includes(error.code)
}

/** True for the code of a fault that is mended by reading the table as one that is new to its stream. */
export function isTableGone(code: string): boolean {
  return goneFaults.includes(code)
}

/**
 * True for what a source, or the way to it, is asked for again by itself: by who reads it, and by who follows it. A full disk of
 * ours is not emptied by asking the source again, and what an HTTP source answers was asked for again by its client.
 */
export function mayPass(error: unknown): error is NaruError {
  return isNaruError(error) && error.retry === 'later' && /^(SOURCE|STORAGE|CAPTURE)_|^DEADLINE$/.test(error.code)
}

/** True for whatever a source is guilty of, also for what does not pass: who follows it meets the same, and says so. */
export function isOfSource(error: unknown): error is NaruError {
  return isNaruError(error) && /^SOURCE_|^DEADLINE$/.test(error.code)
}

/**
 * True for what ends a poll of one source and says nothing against the others: whatever it is, it is tried again after a pause.
 * Our own is what the engine refuses, for which trying again is no remedy, and what should not happen.
 */
export function endsPollAlone({ code, retry }: NaruError): boolean {
  return retry === 'later' || !(code in engineCodes || code === 'INTERNAL')
}
