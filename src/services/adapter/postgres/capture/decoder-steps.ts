import type { ChangeSlice } from '../../../../core/change-slice.ts'
import { serverError, type ServerError } from '../../../../systems/postgres/copy-reader.ts'
import type { SchemaChange } from '../../contract-capture.ts'
import { SHORTENED } from './large-message.ts'
import { MESSAGE } from './messages.ts'

/** What stopped the decoder: the caller acts and calls `step` again. */
export type Found =
  /** All whole messages are done; the next one has so many bytes. */
  | { readonly kind: 'more'; readonly bytes: number }
  | { readonly kind: 'started' }
  | { readonly kind: 'slice'; readonly slice: ChangeSlice }
  | { readonly kind: 'schema'; readonly change: SchemaChange }
  | { readonly kind: 'keepalive'; readonly isReplyWanted: boolean }
  /** A type that is not known came into use: `types` must be read anew. */
  | { readonly kind: 'types' }
  /** Too much is buffered in memory. */
  | { readonly kind: 'spill' }
  /** What is buffered of a transaction is wanted, piece by piece: `replay`. */
  | { readonly kind: 'replay'; readonly xid: number }
  | { readonly kind: 'failed'; readonly error: ServerError }
  /** The server ended the stream. */
  | { readonly kind: 'ended' }

/** Kinds of frames that a replication connection has. */
export const KNOWN: ReadonlySet<number> = new Set(Buffer.from('dENSAWcCZ'))
/** Messages of changed rows. */
export const ROWS: ReadonlySet<number> = new Set([MESSAGE.insert, MESSAGE.update, MESSAGE.delete])
/** Messages of a streamed transaction that are buffered until it commits. */
export const BUFFERED: ReadonlySet<number> = new Set([
  MESSAGE.relation,
  MESSAGE.type,
  MESSAGE.insert,
  MESSAGE.update,
  MESSAGE.delete,
  MESSAGE.insert + SHORTENED,
  MESSAGE.update + SHORTENED,
  MESSAGE.delete + SHORTENED,
  MESSAGE.truncate,
  MESSAGE.message,
  MESSAGE.origin,
])

/** After these the same message is looked at again. */
export function isRepeated({ kind }: Found): boolean {
  return kind === 'slice' || kind === 'types' || kind === 'replay'
}

/** What a frame that is no data says; `null` when nothing follows from it. */
export function control(kind: number, body: Buffer): Found | null {
  if (kind === 0x45) return { kind: 'failed', error: serverError(body) }
  if (kind === 0x57) return { kind: 'started' }
  return kind === 0x63 || kind === 0x5a ? { kind: 'ended' } : null
}
