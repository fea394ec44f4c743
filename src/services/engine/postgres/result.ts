import { rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { Cell, QueryResult } from '../contract.ts'
import { pagesOf } from '../pages.ts'
import { cellsOf, send, type Session } from './session.ts'

const PAGE_ROWS = 2048

/** A query that is being read; it has a session of its own until it ends. */
export type OpenResult = QueryResult

/** Opens a query in a session that is inside a transaction, and reads it by a cursor. Closes the session at its end. */
export async function openResult(
  session: Session,
  statement: Sql,
  signal: AbortSignal,
  ended: () => void,
): Promise<OpenResult> {
  // Alone in its message: a second statement in a person's text would run outside of the cursor.
  await send(session, sql`declare naru_result no scroll cursor for ${statement}`, signal, { single: true })
  const shape = await send(session, sql`fetch 0 from naru_result`, signal)
  const types = await typesOf(session, shape.fields, signal)
  const columns = shape.fields.map(({ name }, i) => ({ name, type: types[i] as string }))
  return { columns, pages: pages(session, signal, ended) }
}

/** The types of the columns as the server spells them. */
async function typesOf(
  session: Session,
  fields: readonly { readonly dataTypeID: number; readonly dataTypeModifier: number }[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (fields.length === 0) return []
  const list = fields.map(
    ({ dataTypeID, dataTypeModifier }) => `format_type(${Number(dataTypeID)}, ${Number(dataTypeModifier)})`,
  )
  const { rows } = await send(session, rawSql(`select ${list.join(', ')}`), signal)
  return (rows[0] ?? []).map(String)
}

function pages(session: Session, signal: AbortSignal, ended: () => void): QueryResult['pages'] {
  const read = async (): Promise<readonly (readonly Cell[])[] | null> => {
    const page = cellsOf(await send(session, rawSql(`fetch ${PAGE_ROWS} from naru_result`), signal))
    return page.length > 0 ? page : null
  }
  const finish = async (): Promise<void> => {
    await session.close()
    ended()
  }
  return pagesOf(read, finish)
}
