import type { ChangeMessage } from './change-slice.ts'
import type { RowReject } from './reject.ts'

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
