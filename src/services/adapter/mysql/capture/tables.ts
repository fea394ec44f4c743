import { sql } from '../../../../core/sql.ts'
import { typeText, type ColumnDef } from '../../../../core/types.ts'
import type { LoggedQuery } from '../../../../systems/mysql/binlog/events.ts'
import type { CapturedTable, SchemaChange } from '../../contract-capture.ts'
import { findTable, placesOf, type CatalogColumn } from '../catalog.ts'
import type { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import { mayName, type ShapeStatement } from './ddl.ts'
import { keepsValues } from './kept-values.ts'
import { ShapeUnknown, type KnownTable } from './plan.ts'
import { comparePlaces, type Place } from './position.ts'

/** What is known of the statement for which a table is looked at again. */
export interface LookedFor extends Pick<ShapeStatement, 'unseen' | 'touched' | 'shown' | 'keepsHistory'> {
  readonly isDropped: boolean
  /** The statement is about this table, so it is told whatever it did. */
  readonly isTold: boolean
  /** Where the statement begins in the log. */
  readonly at: Place
}

/** The tables of a stream, as the catalog had them when it was last looked at. */
export class StreamTables {
  readonly #target: Target
  readonly #connection: (signal: AbortSignal) => Promise<Connection>
  readonly #hasCase: boolean
  readonly #tables = new Map<string, KnownTable>()

  private constructor(target: Target, connection: (signal: AbortSignal) => Promise<Connection>, hasCase: boolean) {
    this.#target = target
    this.#connection = connection
    this.#hasCase = hasCase
  }

  static async open(
    target: Target,
    connection: (signal: AbortSignal) => Promise<Connection>,
    asked: readonly CapturedTable[],
    signal: AbortSignal,
  ): Promise<StreamTables> {
    const [row] = await (await connection(signal)).query(sql`select @@global.lower_case_table_names`, signal)
    const made = new StreamTables(target, connection, row?.[0] === '0')
    for (const table of asked) {
      const found = await made.#look(table, signal)
      made.#tables.set(made.#id(found.schema, found.relation), found)
    }
    return made
  }

  /** Statements spell names as their writers did, also where the server does not tell their case apart. */
  #id(schema: string, relation: string): string {
    const id = `${schema}\0${relation}`
    return this.#hasCase ? id : id.toLowerCase()
  }

  /** A table of the stream by its names in the source. */
  find(schema: string, relation: string): KnownTable | null {
    return this.#tables.get(this.#id(schema, relation)) ?? null
  }

  /** Those that a statement may be about. */
  named(query: LoggedQuery): readonly KnownTable[] {
    const isOfAll = /\b(database|schema)\b/i.test(query.text)
    return [...this.#tables.values()].filter(({ relation }) => isOfAll || mayName(query, relation))
  }

  /** Asks the catalog for a table again; gives what became of it, or `null` when nothing did. */
  async lookAgain(
    before: KnownTable,
    given: LookedFor,
    signal: AbortSignal,
  ): Promise<Omit<SchemaChange, 'position'> | null> {
    const { isDropped, isTold } = given
    const now = isDropped
      ? { ...before, columns: [], key: [], nullDefaults: new Set<string>(), isVersioned: false }
      : await this.#look(before.asked, signal)
    if (now.isVersioned || (isTold && given.keepsHistory)) throw versioned(before)
    const unseen = given.unseen ?? (isTold && hasOtherValues(before, now, given) ? given.shown : null)
    if (!isTold && unseen === null && shapeText(before) === shapeText(now)) return null
    this.#tables.set(this.#id(before.schema, before.relation), {
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
      const { schema, relation, columns, key, isVersioned } = found
      const nullDefaults = await nullDefaultsOf(connection, found, signal)
      const seenAt = await endOfLog(connection, signal)
      return { asked, schema, relation, columns, key, isVersioned, nullDefaults, seenAt }
    }
    const [schema, relation] = placesOf(asked.remote, database)[0] ?? [database, asked.remote]
    return { asked, schema, relation, columns: [], key: [], isVersioned: false, nullDefaults: new Set(), seenAt: null }
  }
}

function versioned({ asked }: KnownTable): ShapeUnknown {
  return new ShapeUnknown(
    `a statement made "${asked.remote}" keep its own history (SYSTEM VERSIONED): the log has the old versions as rows of the table`,
  )
}

/** Where the log ends now: statements that lie before it may be in what the catalog said. */
async function endOfLog(connection: Connection, signal: AbortSignal): Promise<Place> {
  const [status] = await connection.query(sql`show master status`, signal)
  return { file: status?.[0] ?? '', offset: Number(status?.[1] ?? 0) }
}

/**
 * True when the rows that are there may have other values behind a statement, though no change tells of it: a column was
 * dropped and made anew, took the name of another one, or has a type that holds less. What the column was like is known only
 * when the catalog was looked at before the statement.
 */
function hasOtherValues(before: KnownTable, now: KnownTable, { touched, at }: LookedFor): boolean {
  const isKnown = before.seenAt !== null && comparePlaces(before.seenAt, at) <= 0
  return now.columns.some(column => {
    const name = column.name.toLowerCase()
    if (!now.asked.columns.some(it => it.name.toLowerCase() === name)) return false
    // It is computed of other columns, which are not asked for perhaps.
    if (column.generated && touched.length > 0) return true
    const by = touched.filter(it => it.name === '*' || it.name.toLowerCase() === name)
    if (by.some(it => it.isAnother)) return true
    const was = before.columns.find(it => it.name.toLowerCase() === name)
    if (isKnown) return was !== undefined && !keepsValues(was, column) && by.length > 0
    return by.length > 0
  })
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
