import { joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { KeyBound } from '../contract.ts'
import type { CatalogTable } from './catalog.ts'
import type { TextRow } from './connection.ts'
import { boundOf, columnOf, fromTable, rowOf, type KeyPart } from './filter.ts'

/** Where a table is cut. The server walks an index from bound to bound; without one it sorts the keys once for all. */
export class Bounds {
  readonly #table: CatalogTable
  readonly #key: readonly KeyPart[]
  readonly #isCommon: boolean
  readonly #rows: number
  /** The condition of the table. */
  readonly #where: string | undefined
  readonly #ask: (statement: Sql) => Promise<readonly TextRow[]>
  /** All bounds of the table, where no index has the key. */
  #all: Promise<readonly KeyBound[]> | null = null
  #isIndexed: Promise<boolean> | null = null

  constructor(
    table: CatalogTable,
    cut: {
      readonly key: readonly KeyPart[]
      readonly isCommon: boolean
      readonly rows: number
      readonly where: string | undefined
    },
    ask: (statement: Sql) => Promise<readonly TextRow[]>,
  ) {
    this.#table = table
    this.#key = cut.key
    this.#isCommon = cut.isCommon
    this.#rows = cut.rows
    this.#where = cut.where
    this.#ask = ask
  }

  /** The bound that follows `after`, `null` when fewer rows than a chunk do. */
  async next(after: KeyBound | undefined): Promise<KeyBound | null> {
    // Who asks in the common order takes a range or two of a view, not all: the first rows are sorted, not the table.
    if (this.#isCommon) return this.#walk(after)
    this.#isIndexed ??= this.#hasIndex()
    if (await this.#isIndexed) return this.#walk(after)
    this.#all ??= this.#sortOnce()
    const all = await this.#all
    if (after === undefined) return all[0] ?? null
    const at = all.findIndex(bound => bound.every((text, i) => text === after[i]))
    // A bound that is not ours comes from an earlier run: its chunks go on where they ended.
    return at < 0 ? this.#walk(after) : (all[at + 1] ?? null)
  }

  /** Bounds are told by rows without NULL; rows with one lie behind their neighbours, so no condition of theirs is needed. */
  async #walk(after: KeyBound | undefined): Promise<KeyBound | null> {
    const isAfter = after === undefined ? sql`true` : sql`${rowOf(this.#key)} > ${boundOf(this.#key, after)}`
    const [row] = await this.#ask(
      sql`select ${this.#texts()} from ${fromTable(this.#table)} where ${isAfter} and ${this.#isTold()}
          order by ${this.#columns()} offset ${this.#rows - 1} limit 1`,
    )
    return row === undefined ? null : (row as KeyBound)
  }

  async #sortOnce(): Promise<readonly KeyBound[]> {
    const rows = await this.#ask(
      sql`select ${this.#texts()} from (
            select t.*, row_number() over (order by ${this.#columns()}) as naru_place
            from (select ${this.#columns()} from ${fromTable(this.#table)} where ${this.#isTold()}) t) t
          where t.naru_place % ${this.#rows} = 0 order by t.naru_place`,
    )
    const isNew = (bound: TextRow, i: number): boolean => i === 0 || bound.some((text, c) => text !== rows[i - 1]?.[c])
    return rows.filter(isNew) as readonly KeyBound[]
  }

  #columns(): Sql {
    return joinSql(this.#key.map(({ value }) => value))
  }

  #texts(): Sql {
    return joinSql(this.#key.map(({ name }) => sql`${columnOf(name)}::text`))
  }

  #isTold(): Sql {
    const nullable = this.#key.filter(part => part.nullable)
    const conditions = nullable.map(({ name }) => sql`${columnOf(name)} is not null`)
    if (this.#where !== undefined) conditions.push(sql`(${rawSql(this.#where)})`)
    return conditions.length === 0 ? sql`true` : joinSql(conditions, ' and ')
  }

  /** An index that begins with the key, in its order. */
  async #hasIndex(): Promise<boolean> {
    if (this.#table.query !== undefined) return false
    const columns = joinSql(this.#key.map(({ name }) => sql`${name}`))
    const found = await this.#ask(
      sql`
      select 1 from pg_index i join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
      where i.indrelid = ${this.#table.oid} and i.indisvalid and i.indpred is null and m.amname = 'btree'
        and (select array_agg(a.attname::text order by k.place)
          from unnest(i.indkey::int2[]) with ordinality k(attnum, place)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
          where k.place <= ${this.#key.length}) = array[${columns}]
        and not exists (select 1 from unnest(i.indoption::int2[]) with ordinality o(bits, place)
          where o.place <= ${this.#key.length} and o.bits <> 0)
      limit 1`,
    )
    return found.length > 0
  }
}
