import { buffersOf, fixedWidth } from '../../../../core/batch.ts'
import { bufferPool } from '../../../../core/buffer-pool.ts'
import { fail } from '../../../../core/errors.ts'
import { joinSql, rawSql, sql, type Ident, type Sql } from '../../../../core/sql.ts'
import type { ClaimedRows, ClaimSource } from '../../claim-feed.ts'
import type { SourceBatch } from '../../contract.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import { findTable, type CatalogColumn, type CatalogTable } from '../catalog.ts'
import { columnOf, columnsOf, fromTable, keyLiteral, keyText, readValue } from '../columns.ts'
import type { Connection } from '../connection.ts'
import { sourceError } from '../errors.ts'
import { flagValue } from '../filter.ts'
import { clockMicros } from '../horizon.ts'
import { RowStream } from '../row-stream.ts'
import type { Target } from '../target.ts'

interface Flagged {
  readonly table: CapturedTable
  readonly from: CatalogTable
  readonly key: readonly CatalogColumn[]
  readonly columns: readonly CatalogColumn[]
  /** `flag = pending`, and `flag = done` as it is set. */
  readonly isPending: Sql
  readonly setDone: Sql
}

/** Text of the key columns of one row, from which `keyLiteral` makes the same values again. */
type KeyTexts = readonly string[]

/** Most rows of a claim: their keys are written out in a statement. */
const ROWS_MAX = 2_000

/**
 * Claims of rows of MariaDB and MySQL. Nothing there gives the rows that it updates, so in one transaction rows are locked
 * that nobody else holds, their flag is set, and they are read.
 */
export class MysqlClaims implements ClaimSource {
  readonly #target: Target
  readonly #connection: Connection
  readonly #tables: readonly Flagged[]
  readonly #confirmed: Ident
  readonly #pool = bufferPool()
  readonly #lent: ArrayBuffer[] = []

  private constructor(
    target: Target,
    connection: Connection,
    given: { readonly tables: readonly Flagged[]; readonly confirmed: Ident },
  ) {
    this.#target = target
    this.#connection = connection
    this.#tables = given.tables
    this.#confirmed = given.confirmed
  }

  /** `connection` becomes its own. `confirmed` is the table that keeps how far claims were confirmed. */
  static async open(
    { target, connection }: { readonly target: Target; readonly connection: Connection },
    { tables, confirmed }: { readonly tables: readonly CapturedTable[]; readonly confirmed: Ident },
    signal: AbortSignal,
  ): Promise<MysqlClaims> {
    const flagged: Flagged[] = []
    for (const table of tables) flagged.push(await flaggedTable(connection, target, table, signal))
    return new MysqlClaims(target, connection, { tables: flagged, confirmed })
  }

  async look(signal: AbortSignal): Promise<{ readonly clockMicros: bigint; readonly hasPending: boolean }> {
    this.#pool.give(this.#lent.splice(0))
    const waits = this.#tables.map(it => sql`exists (select 1 from ${fromTable(it.from)} where ${it.isPending})`)
    // The clock first: what was committed before it is looked at.
    const [clock] = await this.#connection.query(sql`select ${clockMicros}`, signal)
    const [row] = await this.#connection.query(sql`select ${joinSql(waits, ' or ')}`, signal)
    return { clockMicros: BigInt(clock?.[0] as string), hasPending: row?.[0] === '1' }
  }

  async claim(
    bytes: number,
    signal: AbortSignal,
  ): Promise<{ readonly rows: readonly ClaimedRows[]; readonly isWhole: boolean }> {
    await this.#connection.run(sql`set transaction isolation level read committed`, signal)
    await this.#connection.run(sql`start transaction`, signal)
    const rows: ClaimedRows[] = []
    let [room, isWhole] = [bytes, true]
    for (const it of this.#tables) {
      // What waits now: a row of it that is not claimed is left behind the place of this claim.
      const waiting = (await this.#keys(it, false, signal)).map(({ key }) => textOf(key))
      const chosen: KeyTexts[] = []
      for (const { key, bytes: size } of room <= 0 ? [] : await this.#keys(it, true, signal)) {
        if (chosen.length > 0 && room < size) break
        chosen.push(key)
        room -= size
      }
      const claimed = new Set(chosen.map(textOf))
      isWhole &&= waiting.length <= ROWS_MAX && waiting.every(key => claimed.has(key))
      if (chosen.length === 0) continue
      const isChosen = isOneOf(it.key, chosen)
      await this.#connection.run(sql`update ${fromTable(it.from)} set ${it.setDone} where ${isChosen}`, signal)
      rows.push({ table: it.table, columns: it.columns, batches: await this.#read(it, isChosen) })
    }
    return { rows, isWhole }
  }

  async commit(number: bigint): Promise<void> {
    await this.#connection.run(sql`update ${this.#confirmed} set position = ${number}`)
    await this.#connection.run(sql`commit`)
  }

  async rollback(): Promise<void> {
    try {
      await this.#connection.run(sql`rollback`)
    } catch {
      // The server takes back what a session that ended had not committed.
      this.#connection.destroy()
    }
  }

  async pendingBytes(signal: AbortSignal): Promise<bigint> {
    let bytes = 0n
    for (const it of this.#tables) {
      const [row] = await this.#connection.query(
        sql`select coalesce(sum(${sizeOf(it)}), 0) from ${fromTable(it.from)} where ${it.isPending}`,
        signal,
      )
      bytes += BigInt(row?.[0] ?? '0')
    }
    return bytes
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }

  problem(error: unknown): unknown {
    return sourceError(error, this.#target, null)
  }

  async #keys(
    it: Flagged,
    locks: boolean,
    signal: AbortSignal,
  ): Promise<readonly { readonly key: KeyTexts; readonly bytes: number }[]> {
    const end = locks ? sql`limit ${ROWS_MAX} for update skip locked` : sql`limit ${ROWS_MAX + 1}`
    const found = await this.#connection.query(
      sql`select ${sizeOf(it)}, ${joinSql(it.key.map(keyText))} from ${fromTable(it.from)} where ${it.isPending} ${end}`,
      signal,
    )
    return found.map(([bytes, ...key]) => ({ key: key as KeyTexts, bytes: Number(bytes) }))
  }

  async #read({ table, from, columns }: Flagged, where: Sql): Promise<readonly SourceBatch[]> {
    const query = sql`select ${joinSql(columns.map(readValue))} from ${fromTable(from)} where ${where}`
    const batches: SourceBatch[] = []
    const give = (batch: SourceBatch): void => {
      batches.push(batch)
      this.#lent.push(...buffersOf(batch.batch))
      stream.credit() // all of them are kept: their size was bounded before
    }
    const job = { query, columns, key: table.key }
    const stream: RowStream = new RowStream(this.#connection, this.#target, job, { give, pool: this.#pool })
    await stream.run()
    return batches
  }
}

function textOf(key: KeyTexts): string {
  return JSON.stringify(key)
}

/** About the bytes of a row. */
function sizeOf({ columns }: Flagged): Sql {
  const varying = columns.filter(({ type }) => fixedWidth(type) === null)
  const sizes = varying.map(column => sql`coalesce(octet_length(${columnOf(column)}), 0)`)
  return joinSql([rawSql(String(columns.length * 8)), ...sizes], ' + ')
}

function isOneOf(key: readonly CatalogColumn[], rows: readonly KeyTexts[]): Sql {
  const [first] = key as readonly [CatalogColumn]
  if (key.length === 1) {
    return sql`${columnOf(first)} in (${joinSql(rows.map(([text]) => keyLiteral(first, text as string)))})`
  }
  const one = (texts: KeyTexts): Sql =>
    sql`(${joinSql(
      key.map((column, i) => sql`${columnOf(column)} = ${keyLiteral(column, texts[i] as string)}`),
      ' and ',
    )})`
  return sql`(${joinSql(rows.map(one), ' or ')})`
}

async function flaggedTable(
  connection: Connection,
  { source, database }: Target,
  table: CapturedTable,
  signal: AbortSignal,
): Promise<Flagged> {
  const { remote, status, key } = table
  const from = await findTable(connection, remote, database, signal)
  if (from === null) throw fail('SOURCE_TABLE_GONE', { source, table: remote })
  if (status === undefined) throw fail('INTERNAL', { what: `"${remote}" is claimed without a flag` })
  const [flag] = columnsOf(from, [status.column], source) as readonly [CatalogColumn]
  const wanted = columnsOf(
    from,
    table.columns.map(column => column.name),
    source,
  ).map((column, i) => ({ ...column, ...only(table.columns[i]) }))
  return {
    table,
    from,
    key: columnsOf(from, key, source),
    columns: wanted,
    isPending: sql`${columnOf(flag)} = ${flagValue(flag, status.pending)}`,
    setDone: sql`${columnOf(flag)} = ${flagValue(flag, status.done)}`,
  }
}

/** What the config knows of a column, whose type is the one that the source has. */
function only(column: CapturedTable['columns'][number] | undefined): { nullable: boolean; personal: boolean } {
  return { nullable: column?.nullable ?? true, personal: column?.personal ?? false }
}
