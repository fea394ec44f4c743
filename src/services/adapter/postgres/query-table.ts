import { fail, isNaruError, messageOf } from '../../../core/errors.ts'
import { rawSql, sql } from '../../../core/sql.ts'
import { readNative, readTypes, type CatalogColumn, type CatalogTable } from './catalog.ts'
import type { Connection } from './connection.ts'
import { sourceError } from './errors.ts'
import type { Target } from './target.ts'

/**
 * A query as a table: its columns as the server plans them. Planning it locks what it reads. Throws `SOURCE_QUERY` with
 * the words of the server, also for what is no SELECT.
 */
export async function describeQuery(
  connection: Connection,
  target: Target,
  { name, query, signal }: { readonly name: string; readonly query: string; readonly signal: AbortSignal },
): Promise<CatalogTable> {
  const { source } = target
  await connection.query(sql`savepoint query`, signal)
  try {
    const fields = await connection.fields(sql`select * from (${rawSql(query)}) as t limit 0`, signal)
    const types = await readTypes(connection, signal)
    const columns: CatalogColumn[] = []
    for (const field of fields) {
      const [row] = await connection.query(sql`select format_type(${field.type}, ${field.modifier})`, signal)
      columns.push({
        name: field.name,
        nativeType: row?.[0] as string,
        nullable: true,
        readable: true,
        personal: false,
        ...readNative(field.type, field.modifier, types),
      })
    }
    return { name, query, oid: 0, schema: '', relation: '', key: [], rowsEstimate: null, columns }
  } catch (error) {
    const known = sourceError(error, target, name)
    await connection.rollbackTo('query')
    if (isNaruError(known, 'SOURCE_UNREACHABLE') || isNaruError(known, 'CANCELLED')) throw known
    throw fail('SOURCE_QUERY', { source, problem: messageOf(error) }, { cause: known })
  }
}
