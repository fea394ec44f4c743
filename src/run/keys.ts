import { asText } from '../core/dialect-functions.ts'
import { sql, type Sql } from '../core/sql.ts'

/**
 * One text for a key, in SQL: what quarantine, corrections and the crosswalk call a row by. A key of one column is its
 * plain text. Parts of several columns are joined by `/`; inside a part `\` becomes `\\` and `/` becomes `\/`, and a NULL
 * part is `\N`, so that two keys never share a text. (Doubling the `/` would not do: `a/`, `b` and `a`, `/b` would meet.)
 */
export function keyText(columns: readonly Sql[]): Sql {
  const [first, ...rest] = columns
  if (first === undefined) return sql`${''}`
  if (rest.length === 0) return sql`${asText(first)}`
  return sql`(${rest.reduce((text, column) => sql`${text} || ${'/'} || ${part(column)}`, part(first))})`
}

function part(column: Sql): Sql {
  const backslashes = sql`replace(${asText(column)}, ${'\\'}, ${'\\\\'})`
  return sql`coalesce(replace(${backslashes}, ${'/'}, ${'\\/'}), ${'\\N'})`
}

/** The key as control tables may show it: personal keys become a fingerprint, by which the row can still be found. */
export function keyShown(columns: readonly Sql[], personal: boolean): Sql {
  return personal ? sql`'#' || md5(${keyText(columns)})` : keyText(columns)
}
