import type { ChangeMessage } from './change-slice.ts'
import type { RowReject } from './reject.ts'

/** How the prefixes of our own messages begin: an application that writes such a one could tell of rejects that are none. */
export const ownPrefix = 'naru.'

/** Prefix of the messages of a slice that tell of a change which could not be taken. */
export const rejectPrefix = 'naru.reject'

/** A change that could not be taken, as a message of its slice: it travels with the changes, and blocks none of them. */
export function rejectMessage(order: number, table: string, reject: RowReject): ChangeMessage {
  return { order, prefix: rejectPrefix, content: Buffer.from(JSON.stringify({ table, reject })) }
}

/** The table and the reject that a message tells of; `null` when it is a message of the application. */
export function rejectOf({
  prefix,
  content,
}: ChangeMessage): { readonly table: string; readonly reject: RowReject } | null {
  if (prefix !== rejectPrefix) return null
  return JSON.parse(Buffer.from(content).toString('utf8')) as { readonly table: string; readonly reject: RowReject }
}

/** Prefix of the messages that tell of a table or a column of an event which nobody asked for. */
export const unknownPrefix = 'naru.unknown'

/** A table of an event that is in no config, or a column of it (`null`: the table itself). Told once for each stream. */
export function unknownMessage(order: number, table: string, column: string | null): ChangeMessage {
  return { order, prefix: unknownPrefix, content: Buffer.from(JSON.stringify({ table, column })) }
}

/** What such a message tells; `null` when it is another. */
export function unknownOf({
  prefix,
  content,
}: ChangeMessage): { readonly table: string; readonly column: string | null } | null {
  if (prefix !== unknownPrefix) return null
  return JSON.parse(Buffer.from(content).toString('utf8')) as { readonly table: string; readonly column: string | null }
}
