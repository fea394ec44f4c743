import type { ChangeSlice } from '../../core/change-slice.ts'
import { fail, messageOf } from '../../core/errors.ts'
import { decodeSlice, encodeSlice } from '../../core/slice-codec.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { SchemaChange } from '../../services/adapter/contract-capture.ts'

/**
 * A message of a topic of changes: `u32 bytes of the head | head as JSON, filled with spaces to a multiple of 8 | slice`.
 * Every head has what a reader needs that finds it as the newest: which log it is, and from where the source is to be read on.
 */
export interface MessageHead {
  /** Name of the log, made with its first message: places in another one mean nothing. */
  readonly log: string
  /** Position of the source from which a reader goes on behind this message. */
  readonly goesOn: string
}

/**
 * `opened`: a reader begins to read these tables; slices before it that miss the end of their transaction are void, for
 * they come again. `schema`: a table has another shape from here on. `slice`: changes.
 */
export type MessageBody =
  | { readonly kind: 'opened'; readonly tables: readonly string[] }
  | { readonly kind: 'schema'; readonly change: SchemaChange }
  | { readonly kind: 'slice'; readonly slice: ChangeSlice }

/** A message of a topic of changes. */
export type StreamMessage = MessageHead & MessageBody

/** What the head holds beside `MessageHead`. */
type Head = MessageHead &
  (
    | { readonly kind: 'opened'; readonly tables: readonly string[] }
    | {
        readonly kind: 'schema'
        readonly change: Omit<SchemaChange, 'columns'> & { readonly columns: readonly ColumnDef[] }
      }
    | { readonly kind: 'slice' }
  )

const alignment = 8

/** The message as bytes; the buffers of a slice are copied, once. `allocate` is of `encodeSlice`. */
export function encodeMessage(message: StreamMessage, allocate?: Parameters<typeof encodeSlice>[2]): Uint8Array {
  const { slice, ...head } = { slice: undefined, ...message }
  const text = Buffer.from(JSON.stringify(head))
  const start = Math.ceil((4 + text.length) / alignment) * alignment
  const bytes = slice === undefined ? new Uint8Array(start) : encodeSlice(slice, start, allocate)
  const front = Buffer.from(bytes.buffer, bytes.byteOffset, start)
  front.writeUInt32LE(start - 4)
  front.set(text, 4)
  front.fill(' ', 4 + text.length)
  return bytes
}

/** The message that bytes of a topic hold: a slice is a view on them. */
export function decodeMessage(bytes: Uint8Array): StreamMessage {
  const { head, body } = parse(bytes)
  return head.kind === 'slice' ? { ...head, slice: decodeSlice(body) } : head
}

/** Only what every message has. */
export function decodeHead(bytes: Uint8Array): MessageHead {
  return parse(bytes).head
}

function parse(bytes: Uint8Array): { readonly head: Head; readonly body: Uint8Array } {
  try {
    const end = 4 + new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true)
    const head = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + 4, end - 4).toString('utf8')) as Head
    return { head, body: bytes.subarray(end) }
  } catch (error) {
    throw fail('SLICE_DAMAGED', { problem: messageOf(error) }, { cause: error })
  }
}
