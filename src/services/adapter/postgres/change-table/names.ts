import { ident, shortened, type Ident } from '../../../../core/sql.ts'
import { postgresDialect } from '../../../../systems/postgres/dialect.ts'

/** The schema of everything that the techniques `trigger` and `event` make. */
export const CAPTURE_SCHEMA = 'naru_capture'

export const schemaName = ident(CAPTURE_SCHEMA)
/** One row for each technique: which log it is, and how far it is pruned. */
export const streamTable = ident(CAPTURE_SCHEMA, 'naru_stream')
/** One row for each captured table: what its triggers were when they were made. */
export const capturedTable = ident(CAPTURE_SCHEMA, 'naru_captured')
export const sequenceName = `${CAPTURE_SCHEMA}.naru_sequence`
export const outboxTable = ident(CAPTURE_SCHEMA, 'outbox')

/** Columns of a change table beside those of its table. */
export const own = { xid: 'naru_xid', seq: 'naru_seq', op: 'naru_op' } as const

/** Triggers of one kind run in the order of their names: these come first, so that what others change after comes after. */
export const triggerNames = {
  insert: '0_naru_insert',
  update: '0_naru_update',
  delete: '0_naru_delete',
  truncate: '0_naru_truncate',
} as const

/** The change table of a table, and the function of its triggers, have its name in the schema of the captures. */
export function changeName(remote: string): string {
  return shortened(remote, postgresDialect.identBytesMax)
}

export function changeIdent(remote: string): Ident {
  return ident(CAPTURE_SCHEMA, changeName(remote))
}
