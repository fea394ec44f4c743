import native from '@duckdb/node-bindings'
import { batchBytes } from '../../../core/batch.ts'
import { fail, isNaruError } from '../../../core/errors.ts'
import { ident, joinSql, renderSql, sql, type Sql } from '../../../core/sql.ts'
import { typeText, type ColumnDef } from '../../../core/types.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import type { DescribedColumn, RowReject, SourceBatch } from '../contract.ts'
import { damaged, reasonOf } from './faults.ts'
import { checkColumnCount, expansionLimit, type FileLimits } from './limits.ts'
import { contentChars } from './lines.ts'
import { conversionOf, describedType, wideDecimal } from './parquet-types.ts'
import { readChunk } from './parquet-vectors.ts'
import { nextChunk } from '../../../systems/duckdb/fetch.ts'
import { duckdbApi } from '../../../systems/duckdb/api.ts'

const { DuckDBDataChunk } = duckdbApi

/** Memory that reading a Parquet file may take: a few row groups of wide tables. */
const memory = '512MB'

export interface ParquetFile {
  /** Its name, for messages. */
  readonly file: string
  readonly localPath: string
  /** The size that limits what it may become. */
  readonly bytes: number
  readonly limits: FileLimits
}

/** A column as the file has it. */
interface ParquetColumn {
  readonly name: string
  /** In DuckDB's words. */
  readonly type: string
  /** Stamps in nanoseconds, which are read as whole microseconds. */
  readonly isInt96: boolean
}

/**
 * Reads the declared columns of a Parquet file with their types, in file order. A value that the declared type does not
 * hold exactly makes a reject of its row; a column of a type that cannot be compared with it stops the file. A column of
 * the path (`partitions`) has one value for the file.
 */
export async function* readParquet(
  from: ParquetFile,
  asked: { readonly columns: readonly ColumnDef[]; readonly partitions: ReadonlyMap<string, string | null> },
  signal: AbortSignal,
): AsyncGenerator<SourceBatch> {
  const reader = await ParquetReader.open(from)
  try {
    yield* reader.read(asked, signal)
  } catch (error) {
    throw isNaruError(error) || signal.aborted ? error : reader.damaged(error)
  } finally {
    reader.close()
  }
}

/** The columns of a Parquet file with their types. Throws `FILE_DAMAGED`, `FILE_LIMIT`. */
export async function describeParquet(from: ParquetFile): Promise<readonly DescribedColumn[]> {
  const reader = await ParquetReader.open(from)
  try {
    const [columns, required] = [await reader.columns(), await reader.requiredColumns()]
    return columns.map(({ name, type, isInt96 }) => ({
      name,
      ...describedType(type),
      ...(isInt96 && { nativeType: 'INT96, parts of a microsecond are cut' }),
      nullable: !required.has(name),
      personal: false,
    }))
  } catch (error) {
    throw isNaruError(error) ? error : reader.damaged(error)
  } finally {
    reader.close()
  }
}

/** An engine of its own for one file: it sees this file only, writes none, and has its own memory. */
class ParquetReader {
  readonly #from: ParquetFile
  readonly #database: native.Database
  readonly #connection: native.Connection

  private constructor(from: ParquetFile, database: native.Database, connection: native.Connection) {
    this.#from = from
    this.#database = database
    this.#connection = connection
  }

  static async open(from: ParquetFile): Promise<ParquetReader> {
    const config = native.create_config()
    native.set_config(config, 'memory_limit', memory)
    native.set_config(config, 'temp_directory', '')
    native.set_config(config, 'autoinstall_known_extensions', 'false')
    native.set_config(config, 'autoload_known_extensions', 'false')
    const database = await native.open(':memory:', config)
    const reader = new ParquetReader(from, database, await native.connect(database))
    await reader.#query(sql`set allowed_paths = [${from.localPath}]`)
    await reader.#query(sql`set TimeZone = 'UTC'`)
    await reader.#query(sql`set enable_external_access = false`)
    await reader.#query(sql`set lock_configuration = true`)
    return reader
  }

  async columns(): Promise<readonly ParquetColumn[]> {
    const rows = await this.#rows(sql`describe select * from ${this.#source()}`)
    checkColumnCount(this.#from.file, rows.length, this.#from.limits)
    const { wide, int96 } = await this.#physical()
    return rows.map(([given, type]) => {
      const name = given as string
      return { name, type: wide.get(name) ?? (type as string), isInt96: int96.has(name) }
    })
  }

  /**
   * What the engine's types do not tell of the columns. `wide`: decimals of more than 38 digits, also inside of nested
   * values, for which it gives floats that are other numbers. `int96`: the stamps of old writers, in nanoseconds.
   */
  async #physical(): Promise<{ readonly wide: ReadonlyMap<string, string>; readonly int96: ReadonlySet<string> }> {
    const elements = await this.#rows(sql`
      select name, coalesce(num_children, 0), coalesce(precision, 0), coalesce(scale, 0), coalesce(type, '')
      from parquet_schema(${this.#from.localPath}) order by column_id`)
    const [wide, int96] = [new Map<string, string>(), new Set<string>()]
    // Each element stands before its children, the root first: how many of each are still to come.
    const left: number[] = []
    let column = ''
    for (const [name, children, precision, scale, type] of elements) {
      if (left.length === 1) column = name as string
      if (Number(precision) > 38) wide.set(column, wideDecimal(Number(precision), Number(scale)))
      if (type === 'INT96') int96.add(column)
      if (left.length > 0) left[left.length - 1] = (left.at(-1) as number) - 1
      if (Number(children) > 0) left.push(Number(children))
      while (left.at(-1) === 0) left.pop()
    }
    return { wide, int96 }
  }

  /** Columns that the file says are never NULL. A name that nested values have as well counts when all of them are. */
  async requiredColumns(): Promise<ReadonlySet<string>> {
    const rows = await this.#rows(sql`
      select name from parquet_schema(${this.#from.localPath})
      group by name having bool_and(coalesce(repetition_type = 'REQUIRED', false))`)
    return new Set(rows.map(([name]) => name as string))
  }

  async *read(asked: Parameters<typeof readParquet>[1], signal: AbortSignal): AsyncGenerator<SourceBatch> {
    const rows = await this.#checkSize()
    const found = await this.columns()
    const known = asked.columns.map(it => it.name)
    const unknownColumns = found.map(it => it.name).filter(name => !known.includes(name))
    const cut = found.filter(it => it.isInt96 && known.includes(it.name)).map(it => it.name)
    const dialect = `stamps of the old type INT96 (${cut.join(', ')}), whose parts of a microsecond are cut`
    const news = { ...(unknownColumns.length > 0 && { unknownColumns }), ...(cut.length > 0 && { dialect }) }
    const result = await this.#stream(this.#selectOf(asked, found))
    const reject = (row: number, detail: string, content: string): RowReject => ({
      reason: 'VALUE_NOT_IN_TYPE',
      detail,
      key: null,
      line: row,
      bytes: Buffer.byteLength(content),
      content: content.slice(0, contentChars),
    })
    // A dictionary makes many rows of few bytes, of which the footer says nothing.
    const count = expansionLimit(this.#from.file, this.#from.bytes, this.#from.limits)
    let before = 0
    const isShort = (): Error => damaged(this.#from.file, `its footer says ${rows} rows, its pages hold ${before}`)
    for (let first = true; ; first = false) {
      signal.throwIfAborted()
      const chunk = await nextChunk(result, () => Promise.reject(isShort()))
      if (chunk === null) break
      const read = readChunk(chunk, asked.columns, { before, maxValueBytes: this.#from.limits.maxValueBytes, reject })
      before += native.data_chunk_get_size(chunk)
      count(batchBytes(read.batch))
      yield { ...read, ...(first && news) }
    }
    // Both figures are the file's own: the footer's, and what its pages gave.
    if (before !== rows) throw isShort()
  }

  /** What the footer says of the size, before anything is unpacked; gives the rows. */
  async #checkSize(): Promise<number> {
    const { file, localPath, limits } = this.#from
    const [footer] = await this.#rows(sql`select num_rows from parquet_file_metadata(${localPath})`)
    const rows = Number(footer?.[0] ?? 0)
    if (rows > limits.maxRows) {
      throw fail('FILE_LIMIT', { file, what: 'rows', limit: String(limits.maxRows), option: 'maxRows' })
    }
    const [sizes] = await this.#rows(sql`
      select cast(sum(total_uncompressed_size) as bigint), cast(sum(total_compressed_size) as bigint)
      from parquet_metadata(${localPath})`)
    const [unpacked, packed] = (sizes ?? []).map(it => Number(it ?? 0)) as [number, number]
    if (unpacked > Math.max(64 << 20, packed * limits.maxExpansion)) {
      const limit = `${limits.maxExpansion} times its ${packed}`
      throw fail('FILE_LIMIT', { file, what: 'bytes when it is unpacked', limit, option: 'maxExpansion' })
    }
    return rows
  }

  #selectOf({ columns, partitions }: Parameters<typeof readParquet>[1], found: readonly ParquetColumn[]): Sql {
    const { file } = this.#from
    const parts = columns.map(column => {
      if (partitions.has(column.name)) return this.#constant(column, partitions.get(column.name) ?? null)
      const there = found.find(it => it.name === column.name)
      if (there === undefined) {
        const header = found
          .map(it => it.name)
          .join(', ')
          .slice(0, 300)
        throw fail('FILE_COLUMN_MISSING', { file, column: column.name, header })
      }
      const conversion = conversionOf(column, there.type)
      if (conversion !== null) return conversion
      throw fail('FILE_TYPE', { file, column: column.name, declared: typeText(column.type), found: there.type })
    })
    const faults = parts.flatMap(({ fault }, i) =>
      fault === null
        ? []
        : [sql`when ${fault} then ${`${columns[i]?.name}\n`} || ${textOf(ident((columns[i] as ColumnDef).name))}`],
    )
    const why = faults.length === 0 ? sql`null` : sql`case ${joinSql(faults, ' ')} end`
    const values = parts.map(({ value }, i) => sql`${value} as ${ident(`c${i}`)}`)
    return sql`select ${joinSql(values)}, cast(${why} as varchar) as why from ${this.#source()}`
  }

  #constant(column: ColumnDef, value: string | null): { readonly value: Sql; readonly fault: null } {
    const cast = duckdbDialect.tryCast(sql`cast(${value} as varchar)`, column.type)
    return { value: cast, fault: null }
  }

  #source(): Sql {
    return sql`read_parquet(${this.#from.localPath}, hive_partitioning = false)`
  }

  async #rows(statement: Sql): Promise<readonly (readonly unknown[])[]> {
    const result = await this.#query(statement)
    const rows: (readonly unknown[])[] = []
    for (let chunk = await nextChunk(result); chunk !== null; chunk = await nextChunk(result))
      rows.push(...new DuckDBDataChunk(chunk).getRows())
    return rows
  }

  #query(statement: Sql): Promise<native.Result> {
    return native.query(this.#connection, renderSql(statement, duckdbDialect).text)
  }

  async #stream(statement: Sql): Promise<native.Result> {
    const prepared = await native.prepare(this.#connection, renderSql(statement, duckdbDialect).text)
    try {
      return await native.execute_prepared_streaming(prepared)
    } finally {
      native.destroy_prepare_sync(prepared)
    }
  }

  damaged(error: unknown): Error {
    const { file, localPath } = this.#from
    const reason = reasonOf(error).replaceAll(localPath, file)
    if (/out of memory/i.test(reason)) {
      return fail(
        'FILE_LIMIT',
        { file, what: 'memory in one piece', limit: memory, option: 'memory' },
        { cause: error },
      )
    }
    return damaged(file, reason, error)
  }

  close(): void {
    native.interrupt(this.#connection)
    native.disconnect_sync(this.#connection)
    native.close_sync(this.#database)
  }
}

function textOf(value: Sql | ReturnType<typeof ident>): Sql {
  return sql`coalesce(cast(${value} as varchar), '')`
}
