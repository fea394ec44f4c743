import type { Env } from '../../core/env.ts'
import type { Secret, SecretRef } from '../../core/secret.ts'

/** What every storage is opened with. Nothing is connected before the first method is called. */
export interface StorageOpening {
  /** Who uses it, for messages: `source "partner"`. */
  readonly usedBy: string
  /** Read by `readOptions` against the storage's option table. */
  readonly options: Readonly<Record<string, unknown>>
  readonly secret: (ref: SecretRef, usedBy: string) => Secret
  /** Folder of the user's config: drivers and relative paths are looked up from here. */
  readonly configDir: string
  readonly env: Env
}

/** `openStorage` of every storage's `open.ts`. */
export type OpenStorage = (given: StorageOpening) => Promise<Storage>

/**
 * Where bytes rest, below one folder. The core calls it from many tasks at once; implementations need no lock of their
 * own. A key is a relative path with `/`, checked by `checkKey`: nothing outside the folder can be named.
 */
export interface Storage {
  readonly kind: string

  /**
   * Files that lie directly in `folder` (`''` is the root), by name; what is being put is not among them. With `enter`
   * also those in each sub-folder (its key is given) for which it says true, and below. Names that could lead outside,
   * and links to folders, are given as `refused`, never followed. Throws `STORAGE_NOT_FOUND` when there is no such
   * folder, `STORAGE_TOO_MANY` and `STORAGE_TOO_DEEP` past the limits of `walk.ts`.
   */
  list(folder: string, signal: AbortSignal, enter?: (folder: string) => boolean): Promise<Listing>

  /** Size and time of one file. Throws `STORAGE_NOT_FOUND`. */
  stat(key: string, signal: AbortSignal): Promise<Stored>

  /**
   * The bytes of a file from byte `from` on. Throws `STORAGE_NOT_FOUND`, or `STORAGE_BROKEN` in the middle: what was
   * given until then is good, and a call with `from` behind it goes on. Must be read to the end or closed with `return()`.
   */
  get(key: string, from: number, signal: AbortSignal): AsyncIterable<Uint8Array>

  /** Makes the whole file visible at once or not at all, replacing one of that name. Repeating it is harmless. */
  put(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Stored>

  /**
   * As `put`, but never replaces: of many that put one key at the same time, from any machine, exactly one wins and the
   * others throw `STORAGE_EXISTS`. After a broken answer the caller cannot know who won: `get` tells. Called by the writer
   * of files for an insert. Absent where the system has no such thing.
   */
  putIfAbsent?(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Stored>

  /**
   * Removes what puts that were killed left behind and no listing shows, when it was begun more than `olderThanMs` ago by
   * the storage's clock, below the folder. Gives their keys. Whoever writes with `put` calls it once before: the adapter of
   * files does when it opens a writer. Harmless when repeated. Absent where nothing stays but hidden files.
   */
  removeAbandoned?(olderThanMs: number, signal: AbortSignal): Promise<readonly string[]>

  /** Removes a file; one that is not there is no error. */
  remove(key: string, signal: AbortSignal): Promise<void>

  /** Called once, last; never throws. After it every other method throws `STORAGE_CLOSED`. */
  close(): Promise<void>
}

export interface Stored {
  readonly key: string
  readonly bytes: number
  /** Microseconds since 1970-01-01 UTC by the storage's clock, as fine as it tells. */
  readonly modifiedMicros: bigint
}

export interface Listing {
  /** The time is `null` where a listing does not tell it: `stat` does. */
  readonly files: readonly (Omit<Stored, 'modifiedMicros'> & { readonly modifiedMicros: bigint | null })[]
  readonly refused: readonly string[]
}
