import { sql } from '../../../../core/sql.ts'
import { typeText, type ColumnDef } from '../../../../core/types.ts'
import type { LoggedQuery } from '../../../../systems/mysql/binlog/events.ts'
import type { CapturedTable, SchemaChange } from '../../contract-capture.ts'
import { findTable, placesOf, type CatalogColumn } from '../catalog.ts'
import type { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import { mayName } from './ddl.ts'
import type { KnownTable } from './plan.ts'

/** The tables of a stream, as the catalog had them when it was last looked at. */
export class StreamTables {
  readonly #target: Target
  readonly #connection: (signal: AbortSignal) => Promise<Connection>
  readonly #tables = new Map<string, KnownTable>()

  private constructor(target: Target, connection: (signal: AbortSignal) => Promise<Connection>) {
    this.#target = target
    this.#connection = connection
  }

  static async open(
    target: Target,
    connection: (signal: AbortSignal) => Promise<Connection>,
    asked: readonly CapturedTable[],
    signal: AbortSignal,
  ): Promise<StreamTables> {
    const made = new StreamTables(target, connection)
    for (const table of asked) {
      const found = await made.#look(table, signal)
      made.#tables.set(`${found.schema}\0${found.relation}`, found)
    }
    return made
  }

  /** A table of the stream by its names in the source. */
  find(schema: string, relation: string): KnownTable | null {
    return this.#tables.get(`${schema}\0${relation}`) ?? null
  }

  /** Those that a statement may be about. */
  named(query: LoggedQuery): readonly KnownTable[] {
    const isOfAll = /\b(database|schema)\b/i.test(query.text)
    return [...this.#tables.values()].filter(({ relation }) => isOfAll || mayName(query, relation))
  }

  /** Asks the catalog for a table again; gives what became of it, or `null` when nothing did. `isTold`: the statement is about this table, so it is told whatever it did. */
  async lookAgain(
    before: KnownTable,
    {
      isDropped,
      isTold,
      unseen,
    }: { readonly isDropped: boolean; readonly isTold: boolean; readonly unseen: string | null },
    signal: AbortSignal,
  ): Promise<Omit<SchemaChange, 'position'> | null> {
    const now = isDropped
      ? { ...before, columns: [], key: [], nullDefaults: new Set<string>() }
      : await this.#look(before.asked, signal)
    if (!isTold && unseen === null && shapeText(before) === shapeText(now)) return null
    this.#tables.set(`${before.schema}\0${before.relation}`, {
      ...now,
      schema: before.schema,
      relation: before.relation,
    })
    return {
      kind: 'schema',
      table: before.asked.name,
      columns: now.columns.map(plainColumn),
      // Asked for whole rows, whose log has no need of the key that the table may have.
      key: before.asked.key.length === 0 ? [] : now.key,
      ...(unseen === null ? {} : { unseen }),
    }
  }

  async #look(asked: CapturedTable, signal: AbortSignal): Promise<KnownTable> {
    const { database } = this.#target
    const connection = await this.#connection(signal)
    const found = await findTable(connection, asked.remote, database, signal)
    if (found !== null) {
      const { schema, relation, columns, key } = found
      return { asked, schema, relation, columns, key, nullDefaults: await nullDefaultsOf(connection, found, signal) }
    }
    const [schema, relation] = placesOf(asked.remote, database)[0] ?? [database, asked.remote]
    return { asked, schema, relation, columns: [], key: [], nullDefaults: new Set() }
  }
}

/** Columns that are NULL when an insert does not name them. */
export async function nullDefaultsOf(
  connection: Connection,
  { schema, relation }: Pick<KnownTable, 'schema' | 'relation'>,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const rows = await connection.query(
    sql`select column_name from information_schema.columns
        where table_schema = ${schema} and table_name = ${relation} and is_nullable = 'YES'
          and coalesce(column_default, 'NULL') = 'NULL' and coalesce(generation_expression, '') = ''`,
    signal,
  )
  return new Set(rows.map(([name]) => name as string))
}

function plainColumn({ name, type, nullable, personal }: CatalogColumn): ColumnDef {
  return { name, type, nullable, personal }
}

function shapeText({ columns, key }: KnownTable): string {
  return JSON.stringify([columns.map(it => [it.name, it.nativeType, it.charset, it.nullable, typeText(it.type)]), key])
}
