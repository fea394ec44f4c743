import { ident, joinSql, sql, type Sql } from '../../core/sql.ts'
import type { RowsToTake } from './contract.ts'

/** Rows `t` of a table have the key of rows `k` of the keys to take. */
export function sameKey({ key }: Pick<RowsToTake, 'key'>): Sql {
  return joinSql(
    key.map(name => sql`${ident('t', name)} = ${ident('k', name)}`),
    ' and ',
  )
}
