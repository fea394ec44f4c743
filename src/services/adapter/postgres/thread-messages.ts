import type { Sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { SourceBatch } from '../contract.ts'
import type { Target } from './target.ts'

/** What a reading thread is started with. */
export interface ThreadStart {
  readonly target: Target
  /** Name of the exported view that it reads in. */
  readonly snapshot: string
}

/** One table to read. */
export interface CopyJob {
  readonly copy: Sql
  readonly columns: readonly ColumnDef[]
  /** It holds SQL of the user's: names in it are looked up as the account is used to. */
  readonly hasOwnSql: boolean
  /** Columns that name a row in its reject. */
  readonly key: readonly string[]
}

export type ToThread =
  | { readonly kind: 'copy'; readonly job: CopyJob }
  /** One batch was consumed; its buffers come back. */
  | { readonly kind: 'credit'; readonly buffers: readonly ArrayBuffer[] }
  | { readonly kind: 'close' }

export type FromThread =
  | { readonly kind: 'batch'; readonly batch: SourceBatch }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly message: string; readonly code: string | undefined }

/** Batches that wait for their consumer. With the one that is being filled this bounds the memory of a read. */
export const BATCHES_IN_FLIGHT = 2
