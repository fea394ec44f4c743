import type { Sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { TextRow } from '../../../systems/mysql/text-reader.ts'
import type { SourceBatch } from '../contract.ts'
import type { Target } from './target.ts'

/** What a reading thread is started with. */
export interface ThreadStart {
  readonly target: Target
}

/** One table to read. */
export interface ReadJob {
  readonly query: Sql
  readonly columns: readonly ColumnDef[]
  /** Columns that name a row in its reject. */
  readonly key: readonly string[]
}

export type ToThread =
  /** Connects and opens the view. */
  | { readonly kind: 'begin' }
  /** Asks something small within the view. */
  | { readonly kind: 'ask'; readonly query: Sql }
  | { readonly kind: 'read'; readonly job: ReadJob }
  /** One batch was consumed; its buffers come back. */
  | { readonly kind: 'credit'; readonly buffers: readonly ArrayBuffer[] }
  /** Nobody wants the rest of what is read: it is thrown away as it comes, so that the view stays. */
  | { readonly kind: 'drain' }
  | { readonly kind: 'close' }

export type FromThread =
  | { readonly kind: 'batch'; readonly batch: SourceBatch }
  | { readonly kind: 'rows'; readonly rows: readonly TextRow[] }
  /** The view is open; `thread` is the number of its session. */
  | { readonly kind: 'begun'; readonly thread: number; readonly takenAtMicros: bigint }
  | { readonly kind: 'done' }
  /** `usable`: the view is still there. */
  | { readonly kind: 'failed'; readonly message: string; readonly code: string | undefined; readonly usable: boolean }

/** Batches that wait for their consumer. With the one that is being filled this bounds the memory of a read. */
export const BATCHES_IN_FLIGHT = 2
