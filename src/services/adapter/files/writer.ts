import { createHash } from 'node:crypto'
import path from 'node:path'
import native from '@duckdb/node-bindings'
import { batchBytes, type ColumnBatch } from '../../../core/batch.ts'
import type { Env } from '../../../core/env.ts'
import { fail, isNaruError, messageOf } from '../../../core/errors.ts'
import { durableWrite, fileExists, syncFile } from '../../../core/files.ts'
import { ident, joinSql, rawSql, renderSql, sql, type Sql } from '../../../core/sql.ts'
import { typeText } from '../../../core/types.ts'
import { openAppend } from '../../../systems/duckdb/append.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import type { Storage } from '../../storage/contract.ts'
import { totalsList, totalsOfRow } from '../sql-totals.ts'
import type { ControlTotals } from '../contract.ts'
import type { StagedUnit, TableWriter, WriteTarget, Written } from '../contract-writes.ts'
import { nothingWritten } from '../written.ts'
import { joinParquet } from './parquet-join.ts'
import { chunkColumns } from './parquet-vectors.ts'
import { writeAvro } from './writer-avro.ts'
import { formatOf, kept, misfits, spelled, type Format } from './writer-formats.ts'
import { nextChunk } from '../../../systems/duckdb/fetch.ts'
import { duckdbApi } from '../../../systems/duckdb/api.ts'

const { DuckDBDataChunk } = duckdbApi

/** What a writer is opened with. */
export interface Opening {
  readonly env: Env
  readonly storage: Storage
  /** Folder for what is staged. */
  readonly stateDir: string
  readonly source: string
  readonly target: WriteTarget
}

/** Bytes of batches that are held in memory before they become a part of the stage. */
const partBytes = 32 << 20
/** Rows of a group of Parquet, unless no more have come: what readers are made for. */
const groupRowsMin = 122_880
/** Memory of the engine that writes the parts. */
const memory = '256MB'
const buffered = ident('main', 'buffered')

type Figure = string | number | bigint | null

interface Unit {
  readonly unit: string
  readonly rows: number
  readonly parts: number
}

interface Stage {
  /** What it is for: rows that were staged for anything else must not go in. */
  readonly about: string
  readonly units: readonly Unit[]
  readonly published: boolean
  /** SHA-256 of the file that was being put: one that is there with these bytes is ours. */
  readonly putting?: string
}

function emptyStage({ remote, columns, key, mode, file }: WriteTarget): Stage {
  const named = columns.map(({ name, type }) => [name, typeText(type)])
  return { about: JSON.stringify({ remote, columns: named, key, mode, file }), units: [], published: false }
}

/**
 * Writes one file: Parquet, Avro, CSV or NDJSON by its name. Rows are staged as Parquet parts in the state folder; a
 * publish makes the file of them and puts it whole. A Parquet file gets their row groups as they are: what was compressed
 * once is not compressed again.
 */
export class FileWriter implements TableWriter {
  readonly #opening: Opening
  readonly #format: Format
  readonly #folder: string
  readonly #database: native.Database
  readonly #connection: native.Connection
  #stage: Stage

  private constructor(opening: Opening, folder: string, database: native.Database, connection: native.Connection) {
    this.#opening = opening
    this.#format = formatOf(opening)
    this.#folder = folder
    this.#database = database
    this.#connection = connection
    this.#stage = emptyStage(opening.target)
  }

  static async open(opening: Opening, signal: AbortSignal): Promise<FileWriter> {
    const { env, target } = opening
    formatOf(opening) // refused before anything is made
    const folder = path.join(opening.stateDir, 'transfer', target.id)
    await env.files.mkdir(folder, { recursive: true, mode: 0o700 })
    const config = native.create_config()
    native.set_config(config, 'memory_limit', memory)
    native.set_config(config, 'threads', '2')
    native.set_config(config, 'preserve_insertion_order', 'true')
    native.set_config(config, 'temp_directory', path.join(folder, 'spill'))
    const database = await native.open(':memory:', config)
    const writer = new FileWriter(opening, folder, database, await native.connect(database))
    try {
      await writer.#begin()
      await writer.#refuseThere(signal)
      return writer
    } catch (error) {
      await writer.close()
      // What is refused before anything was staged leaves nothing.
      if (writer.staged.length === 0) await env.files.rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  async #begin(): Promise<void> {
    const { env, target } = this.#opening
    await this.#run(sql`set TimeZone = 'UTC'`)
    const list = target.columns.map(({ name, type }) => sql`${ident(name)} ${rawSql(duckdbDialect.type(type))}`)
    await this.#run(sql`create table ${buffered} (${joinSql(list)})`)
    if (!(await fileExists(env, this.#stageFile))) return
    const left = JSON.parse(await env.files.readFile(this.#stageFile, 'utf8')) as Stage
    if (left.published || left.about === this.#stage.about) this.#stage = left
    else await env.files.rm(this.#stageFile)
  }

  get #stageFile(): string {
    return path.join(this.#folder, 'stage.json')
  }

  get staged(): readonly StagedUnit[] {
    return this.#stage.units.map(({ unit, rows }) => ({ unit, rows: BigInt(rows) }))
  }

  get published(): Written | null {
    return this.#stage.published ? this.#written() : null
  }

  async stage(unit: string, batches: AsyncIterable<ColumnBatch>, signal: AbortSignal): Promise<StagedUnit> {
    const { target } = this.#opening
    const place = { catalog: 'memory', schema: 'main', name: 'buffered' }
    let [rows, bytes, parts, partRows] = [0, 0, 0, 0]
    await this.#run(sql`truncate ${buffered}`)
    let append = openAppend(this.#connection, place, target.columns)
    try {
      for await (const batch of batches) {
        signal.throwIfAborted()
        append.add(batch)
        rows += batch.rows
        partRows += batch.rows
        bytes += batchBytes(batch)
        if (bytes < partBytes) continue
        append.close()
        await this.#writePart(unit, parts++, partRows)
        append = openAppend(this.#connection, place, target.columns)
        bytes = 0
        partRows = 0
      }
      append.close()
      if (bytes > 0) await this.#writePart(unit, parts++, partRows)
    } catch (error) {
      append.discard()
      throw this.#errorOf(error)
    }
    const others = this.#stage.units.filter(it => it.unit !== unit)
    await this.#note({ ...this.#stage, units: [...others, { unit, rows, parts }] })
    return { unit, rows: BigInt(rows) }
  }

  /** What the format has no place for is refused before it is staged: what is staged can be written. */
  async #refuseUnfit(): Promise<void> {
    const { source, target } = this.#opening
    for (const { name, unfit, problem } of misfits(target.columns, this.#format)) {
      const found = await this.#count(sql`select count(*) as n from ${buffered} where ${unfit}`)
      if (found === 0) continue
      throw fail('WRITE_VALUE', { system: source, table: target.remote, column: name, row: `${found} rows`, problem })
    }
  }

  /** Its row groups are those of the file that is published, two of a part because two threads write them. */
  async #writePart(unit: string, part: number, rows: number): Promise<void> {
    await this.#refuseUnfit()
    const file = this.#partFile(unit, part)
    const group = Math.max(groupRowsMin, Math.ceil(rows / 2))
    const columns = joinSql(this.#opening.target.columns.map(kept))
    const codec = this.#format.kind === 'parquet' ? this.#format.codec : 'snappy'
    const how = sql`format parquet, compression ${codec}, row_group_size ${group}`
    await this.#run(sql`copy (select ${columns} from ${buffered}) to ${file} (${how})`)
    await this.#run(sql`truncate ${buffered}`)
    await syncFile(this.#opening.env, file)
  }

  #partFile(unit: string, part: number): string {
    return path.join(this.#folder, `${Buffer.from(unit).toString('hex').slice(0, 100)}-${part}.parquet`)
  }

  async totals(options: { readonly hash: boolean; readonly units?: readonly string[] }): Promise<ControlTotals> {
    const { columns } = this.#opening.target
    const row = await this.#row(sql`select ${totalsList(columns, options)} from ${this.#parts(options.units)}`)
    return totalsOfRow(row, columns)
  }

  /**
   * A file takes no further rows: an insert would put itself in place of those that are there. One that is our own, put by
   * a call that was broken off before it could say so, is published.
   */
  async #refuseThere(signal: AbortSignal): Promise<void> {
    const { storage, target } = this.#opening
    if (target.mode !== 'insert' || this.#stage.published) return
    try {
      await storage.stat(target.remote, signal)
    } catch (error) {
      if (isNaruError(error, 'STORAGE_NOT_FOUND')) return
      throw error
    }
    const { putting } = this.#stage
    const isOurs = putting !== undefined && putting === (await hashOf(storage.get(target.remote, 0, signal)))
    if (!isOurs) throw this.#there()
    await this.#note({ ...this.#stage, published: true })
  }

  #there(cause?: unknown): Error {
    const { source, target } = this.#opening
    const problem = 'it is there, and no rows can be added to a file; --mode replace puts another in its place'
    return fail('WRITE_TARGET', { system: source, table: target.remote, problem }, { cause })
  }

  async publish(_: { readonly missed: 'refuse' | 'report' }, signal: AbortSignal): Promise<Written> {
    const { env } = this.#opening
    await this.#refuseRepeated()
    await this.#refuseThere(signal)
    if (this.#stage.published) return this.#written()
    const file = path.join(this.#folder, 'whole')
    try {
      await this.#put(await this.#whole(file), signal)
    } catch (error) {
      throw isNaruError(error, 'STORAGE_EXISTS') ? this.#there(error) : this.#errorOf(error)
    } finally {
      await env.files.rm(file, { force: true })
    }
    await this.#note({ ...this.#stage, published: true })
    return this.#written()
  }

  /** What is published, to be read from its start each time: the parts joined, or a file that the engine makes of them. */
  async #whole(file: string): Promise<() => AsyncIterable<Uint8Array>> {
    const { env, target } = this.#opening
    const format = this.#format
    const parts = this.#partFiles()
    if (format.kind === 'parquet' && parts.length > 0) return () => joinParquet(env, parts)
    const rows = sql`select ${joinSql(target.columns.map(column => spelled(column, format.kind)))} from ${this.#parts()}`
    if (format.kind === 'avro') return () => writeAvro(this.#batches(rows), target, format.codec)
    await this.#run(sql`copy (${rows}) to ${file} (${format.options})`)
    return () => bytesOf(env, file)
  }

  async *#batches(query: Sql): AsyncGenerator<ColumnBatch, void> {
    const prepared = await native.prepare(this.#connection, renderSql(query, duckdbDialect).text)
    const result = await native
      .execute_prepared_streaming(prepared)
      .finally(() => native.destroy_prepare_sync(prepared))
    for (let chunk = await nextChunk(result); chunk !== null; chunk = await nextChunk(result))
      yield chunkColumns(chunk, this.#opening.target.columns)
  }

  /** An insert never replaces, also not what comes in this very moment; where no storage promises that, it was just looked for. */
  async #put(whole: () => AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const { storage, target } = this.#opening
    if (target.mode !== 'insert') return void (await storage.put(target.remote, whole(), signal))
    await this.#note({ ...this.#stage, putting: await hashOf(whole()) })
    await (storage.putIfAbsent?.(target.remote, whole(), signal) ?? storage.put(target.remote, whole(), signal))
  }

  #written(): Written {
    const inserted = this.#stage.units.reduce((sum, unit) => sum + BigInt(unit.rows), 0n)
    return { ...nothingWritten, inserted }
  }

  /** The staged rows as a relation, in the order of their units. */
  #parts(units?: readonly string[]): Sql {
    const files = this.#partFiles(units).map(file => sql`${file}`)
    return files.length === 0 ? sql`${buffered}` : sql`read_parquet([${joinSql(files)}])`
  }

  #partFiles(units?: readonly string[]): readonly string[] {
    return this.#stage.units
      .filter(({ unit }) => units === undefined || units.includes(unit))
      .toSorted((a, b) => Number(a.unit) - Number(b.unit))
      .flatMap(({ unit, parts }) => Array.from({ length: parts }, (_, part) => this.#partFile(unit, part)))
  }

  async #refuseRepeated(): Promise<void> {
    const { source, target } = this.#opening
    if (target.key.length === 0) return
    const key = joinSql(target.key.map(name => ident(name)))
    const isTold = joinSql(
      target.key.map(name => sql`${ident(name)} is not null`),
      ' and ',
    )
    const repeated = sql`select count(*) as n from ${this.#parts()} where ${isTold} group by ${key} having count(*) > 1`
    const rows = await this.#count(sql`select cast(coalesce(sum(n), 0) as bigint) as n from (${repeated})`)
    if (rows === 0) return
    const examples = `key ${target.key.join(', ')}`
    throw fail('WRITE_KEY_REPEATED', { system: source, table: target.remote, rows: String(rows), examples })
  }

  async discard(): Promise<void> {
    this.#stage = emptyStage(this.#opening.target)
    await this.#opening.env.files.rm(this.#folder, { recursive: true, force: true })
  }

  async removeAbandoned(untouchedMs: number): Promise<number> {
    const { env } = this.#opening
    const [all, own] = [path.dirname(this.#folder), path.basename(this.#folder)]
    let removed = 0
    for (const entry of await env.files.readdir(all, { withFileTypes: true })) {
      const folder = path.join(all, entry.name)
      if (!entry.isDirectory() || entry.name === own || (await this.#untouchedMs(folder)) < untouchedMs) continue
      await env.files.rm(folder, { recursive: true, force: true })
      removed++
    }
    return removed
  }

  /** A part that is written touches the folder, a unit that is noted its file. */
  async #untouchedMs(folder: string): Promise<number> {
    const { env } = this.#opening
    const file = path.join(folder, path.basename(this.#stageFile))
    const stats = [folder, ...((await fileExists(env, file)) ? [file] : [])].map(it => env.files.stat(it))
    const touchedMs = Math.max(...(await Promise.all(stats)).map(it => it.mtimeMs))
    return Number(env.clock.nowMicros() / 1000n) - touchedMs
  }

  async close(): Promise<void> {
    native.disconnect_sync(this.#connection)
    native.close_sync(this.#database)
  }

  async #note(stage: Stage): Promise<void> {
    this.#stage = stage
    await durableWrite(this.#opening.env, this.#stageFile, JSON.stringify(stage))
  }

  async #run(statement: Sql): Promise<void> {
    await native.query(this.#connection, renderSql(statement, duckdbDialect).text)
  }

  async #count(statement: Sql): Promise<number> {
    return Number((await this.#row(statement))['n'])
  }

  /** The one row of a query of counts, sums and texts. */
  async #row(statement: Sql): Promise<Readonly<Record<string, Figure>>> {
    const result = await native.query(this.#connection, renderSql(statement, duckdbDialect).text)
    const chunk = await nextChunk(result)
    const [values = []] = chunk === null ? [] : new DuckDBDataChunk(chunk).getRows()
    return Object.fromEntries(values.map((value, i) => [native.column_name(result, i), value as Figure]))
  }

  #errorOf(error: unknown): unknown {
    if (isNaruError(error)) return error
    const { source, target } = this.#opening
    const problem = messageOf(error)
    return fail('WRITE_FAILED', { system: source, table: target.remote, problem }, { cause: error })
  }
}

/** Not the one of `content.ts`, which fills one buffer again and again: a storage may keep a piece until its part is full. */
async function* bytesOf(env: Env, file: string): AsyncGenerator<Uint8Array, void> {
  const handle = await env.files.open(file, 'r')
  try {
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(1 << 20))
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

async function hashOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of bytes) hash.update(piece)
  return hash.digest('hex')
}
