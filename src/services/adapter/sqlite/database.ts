import { createHash } from 'node:crypto'
import type * as wasm from 'node-sqlite3-wasm'
import { fail, messageOf } from '../../../core/errors.ts'
import { renderSql, sql, type Sql } from '../../../core/sql.ts'
import { sqliteDialect } from './dialect.ts'
import type { SourceFile } from './errors.ts'

/** The driver: SQLite as WebAssembly, without a native part. */
export type Driver = typeof wasm

export type SqliteValue = number | bigint | string | Uint8Array | null
export type SqliteRow = Readonly<Record<string, SqliteValue>>

/** An open copy of a database file. Every call runs to its end before it returns: SQLite has no other way here. */
export class Database {
  #connection: wasm.Database

  private constructor(connection: wasm.Database) {
    this.#connection = connection
  }

  /** Opens the copy, rolls back what a broken transaction left in it, and proves that it is a database. */
  static open(driver: Driver, copy: string, at: SourceFile): Database {
    let connection: wasm.Database | undefined
    try {
      connection = new driver.Database(copy, { fileMustExist: true })
      const database = new Database(connection)
      // Exclusive: a write-ahead log is then read without memory that is shared with others, which the driver lacks.
      database.rows(sql`pragma locking_mode = exclusive`)
      database.rows(sql`select count(*) from sqlite_master`)
      database.rows(sql`pragma query_only = on`)
      // The sum of a content hash is SQL's; only md5 itself is lent to SQLite, which has none.
      connection.function('naru_md5_15', md5Start, { deterministic: true })
      return database
    } catch (error) {
      connection?.close()
      throw fail('SOURCE_NOT_DATABASE', { ...at, problem: messageOf(error) }, { cause: error })
    }
  }

  /** Opens a file to write into it; makes it when it is not there. */
  static openToWrite(driver: Driver, file: string): Database {
    const connection = new driver.Database(file)
    const database = new Database(connection)
    database.rows(sql`pragma locking_mode = exclusive`)
    return database
  }

  /** Runs one statement; gives the number of rows that it changed. */
  run(statement: Sql): number {
    return this.#connection.run(renderSql(statement, sqliteDialect).text).changes
  }

  /** Runs `statement`, whose parameters are `?`, once for each row of values. */
  runEach(statement: Sql, rows: Iterable<SqliteValue[]>): number {
    const prepared = this.#connection.prepare(renderSql(statement, sqliteDialect).text)
    let count = 0
    try {
      for (const row of rows) {
        prepared.run(row)
        count++
      }
    } finally {
      prepared.finalize()
    }
    return count
  }

  /** All of `body` or nothing of it. */
  transaction<T>(body: () => T): T {
    this.run(sql`begin immediate`)
    try {
      const result = body()
      this.run(sql`commit`)
      return result
    } catch (error) {
      this.rollback()
      throw error
    }
  }

  /** All rows of a small result. */
  rows(statement: Sql): readonly SqliteRow[] {
    return [...this.iterate(statement)]
  }

  /** Rows one by one. Must be read to the end or closed with `return()`. */
  *iterate(statement: Sql): Generator<SqliteRow, void> {
    const prepared = this.#connection.prepare(renderSql(statement, sqliteDialect).text)
    try {
      for (const row of prepared.iterate()) yield row as SqliteRow
    } finally {
      prepared.finalize()
    }
  }

  /** Takes back what the open transaction did, if there is one: a full disk may have ended it already. */
  rollback(): void {
    if (this.#connection.inTransaction) this.run(sql`rollback`)
  }

  /** Opens the file again after `close`. */
  reopen(driver: Driver, file: string): void {
    this.#connection = new driver.Database(file)
  }

  close(): void {
    if (this.#connection.isOpen) this.#connection.close()
  }
}

/** The first 15 hexadecimal digits of md5, as a number: 60 bits fit SQLite's integer. */
function md5Start(bytes: wasm.SQLiteValue): bigint {
  return BigInt(
    `0x${createHash('md5')
      .update(bytes as Uint8Array)
      .digest('hex')
      .slice(0, 15)}`,
  )
}
