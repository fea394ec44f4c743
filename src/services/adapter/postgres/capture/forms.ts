import { sql } from '../../../../core/sql.ts'
import type { Connection } from '../connection.ts'
import { writtenAnew } from '../written-anew.ts'

/** How the catalog has a table: what tells that its rows were written anew without a change of any. */
export interface TableForm {
  /** The file of its rows; 0 where they lie in partitions. */
  readonly file: string
  /** `p` when its changes are in the log. */
  readonly persistence: string
  readonly columns: ReadonlyMap<string, ColumnForm>
}

interface ColumnForm {
  /** A column that is dropped and made anew gets another one. */
  readonly number: string
  readonly type: string
  /** The transaction that altered it last. */
  readonly altered: string
}

/** The forms of tables, by their number. */
export async function readForms(
  connection: Connection,
  oids: readonly number[],
): Promise<ReadonlyMap<number, TableForm>> {
  const rows = await connection.query(
    sql`select c.oid, c.relfilenode, c.relpersistence, a.attname, a.attnum, a.atttypid || ' ' || a.atttypmod, a.xmin
      from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.oid = any(string_to_array(${oids.join(',')}, ',')::oid[]) and a.attnum > 0 and not a.attisdropped`,
  )
  const forms = new Map<number, { file: string; persistence: string; columns: Map<string, ColumnForm> }>()
  for (const row of rows) {
    const [oid, file, persistence, name, number, type, altered] = row as readonly string[]
    const form = forms.get(Number(oid)) ?? {
      file: file as string,
      persistence: persistence as string,
      columns: new Map<string, ColumnForm>(),
    }
    forms.set(Number(oid), form)
    form.columns.set(name as string, { number, type, altered } as ColumnForm)
  }
  return forms
}

/**
 * Why rows of a table have other values though the log has no change of them: `null` when they have not. `alter table` tells
 * nothing of the values that it gives. A column of another type is told with the next row, and its contract decides.
 */
export function rewritten(before: TableForm, now: TableForm, columns: readonly string[]): string | null {
  if (now.persistence !== 'p') return 'it is unlogged: its changes are in no log'
  for (const name of columns) {
    const [was, is] = [before.columns.get(name), now.columns.get(name)]
    if (was === undefined || is === undefined || was.type !== is.type) continue
    const told = writtenAnew(name, { ...was, file: before.file }, { ...is, file: now.file })
    if (told !== null) return told
  }
  return null
}
