import { shortened } from '../../../../core/sql.ts'

/** The techniques that read a table of changes. */
export type TableTechnique = 'trigger' | 'event'

export const STREAM = 'naru_stream'
export const CAPTURED = 'naru_captured'
export const OUTBOX = 'naru_outbox'
/** Columns of a change table beside those of its table. */
export const own = { id: 'naru_id', op: 'naru_op' } as const
/** Letters of a name: the server refuses longer ones. */
const NAME_MAX = 64

/** Name of the change table of a table, in its own database. */
export function changeName(relation: string): string {
  return shortened(`naru_changes_${relation}`, NAME_MAX)
}

export function triggerName(relation: string, op: 'insert' | 'update' | 'delete'): string {
  return shortened(`naru_${op}_${relation}`, NAME_MAX)
}

/** Database and name of a table; `null` is the database of the address. */
export function sourceName(remote: string): { readonly schema: string | null; readonly relation: string } {
  const dot = remote.indexOf('.')
  return dot < 0
    ? { schema: null, relation: remote }
    : { schema: remote.slice(0, dot), relation: remote.slice(dot + 1) }
}
