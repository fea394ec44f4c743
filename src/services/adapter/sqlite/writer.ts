import path from 'node:path'
import type { ColumnBatch } from '../../../core/batch.ts'
import type { Env } from '../../../core/env.ts'
import { fail, isNaruError, messageOf } from '../../../core/errors.ts'
import { fileExists, syncFile, syncFolder } from '../../../core/files.ts'
import { ident, joinSql, rawSql, sql } from '../../../core/sql.ts'
import { noteDiskFull } from '../../../core/spool.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { ControlTotals } from '../contract.ts'
import type { StagedUnit, TableWriter, WriteTarget, Written } from '../contract-writes.ts'
import { totalsOfTexts } from '../text-totals.ts'
import { writtenOf, writtenText } from '../written.ts'
import { applyStage } from './apply.ts'
import { readTable } from './catalog.ts'
import { companions, copyAll, stampOf } from './copy.ts'
import { Database, type Driver, type SqliteRow } from './database.ts'
import type { SourceFile } from './errors.ts'
import { declaredType, misfitOfColumn, storedText, valuesOf, type Misfit } from './values.ts'

/** What a writer is opened with. */
export interface Opening {
  readonly env: Env
  readonly driver: Driver
  readonly at: SourceFile
  readonly target: WriteTarget
}

const unitTable = ident('naru_unit')
const rowTable = ident('naru_row')
const markTable = ident('naru_mark')

/** Times that a publish begins again because the file was written to meanwhile. */
const triesMax = 5

/**
 * Writes into a SQLite file. Rows are staged in a file of their own beside it; a publish applies them to a copy of the
 * database and renames the copy into its place. So readers see the old file or the new one, and a program that has the
 * old one open is told by SQLite that its file was moved when it writes. The file itself is never written in place: the
 * driver's locks are not those of other programs.
 */
export class SqliteWriter implements TableWriter {
  readonly #opening: Opening
  readonly #stage: Database
  readonly #columns: readonly ColumnDef[]
  published: Written | null
  #discarded = false

  private constructor(opening: Opening, stage: Database, published: Written | null) {
    this.#opening = opening
    this.#stage = stage
    this.#columns = opening.target.columns
    this.published = published
  }

  static async open(opening: Opening): Promise<SqliteWriter> {
    const { env, driver, at, target } = opening
    await removeLocks(opening)
    const declared = await checkTarget(opening)
    const stage = Database.openToWrite(driver, stageFile(opening))
    try {
      stage.run(sql`create table if not exists ${unitTable} (unit text primary key, rows integer)`)
      stage.run(sql`create table if not exists ${markTable} (inode text, written text)`)
      const list = target.columns.map((_, i) => sql`${ident(`c${i}`)} ${rawSql(declared[i] ?? '')}`)
      stage.run(sql`create table if not exists ${rowTable} (${joinSql([sql`unit text`, ...list])})`)
      return new SqliteWriter(opening, stage, await readMark(env, at.file, stage))
    } catch (error) {
      stage.close()
      throw writeError(error, opening)
    }
  }

  get staged(): readonly StagedUnit[] {
    if (this.#discarded) return []
    return this.#stage
      .rows(sql`select unit, rows from ${unitTable} order by rowid`)
      .map(row => ({ unit: String(row['unit']), rows: BigInt(row['rows'] as number) }))
  }

  async stage(unit: string, batches: AsyncIterable<ColumnBatch>, signal: AbortSignal): Promise<StagedUnit> {
    const stage = this.#stage
    const marks = joinSql([sql`${unit}`, ...this.#columns.map(() => sql`?`)])
    let rows = 0
    try {
      stage.run(sql`begin immediate`)
      stage.run(sql`delete from ${rowTable} where unit = ${unit}`)
      for await (const batch of batches) {
        signal.throwIfAborted()
        const before = rows
        const values = valuesOf(this.#columns, batch, misfit => this.#refuse(misfit, before))
        rows += stage.runEach(sql`insert into ${rowTable} values (${marks})`, values)
      }
      stage.run(sql`insert or replace into ${unitTable} values (${unit}, ${rows})`)
      stage.run(sql`commit`)
    } catch (error) {
      stage.rollback()
      throw writeError(error, this.#opening)
    }
    return { unit, rows: BigInt(rows) }
  }

  async totals(options: { readonly hash: boolean; readonly units?: readonly string[] }): Promise<ControlTotals> {
    const { units } = options
    const which = units === undefined ? sql`true` : sql`unit in (${joinSql(units.map(unit => sql`${unit}`))})`
    const rows = this.#stage.iterate(sql`select * from ${rowTable} where ${which}`)
    return totalsOfTexts(this.#columns, texts(this.#columns, rows), options.hash)
  }

  async publish(options: { readonly missed: 'refuse' | 'report' }, signal: AbortSignal): Promise<Written> {
    const { env, at } = this.#opening
    const next = `${stageFile(this.#opening)}.next`
    try {
      for (let attempt = 1; attempt <= triesMax; attempt++) {
        signal.throwIfAborted()
        const before = await this.#copy(next)
        const written = await this.#apply(next, options)
        if ((await stampOrNone(env, at.file)) !== before) continue
        await this.#putInPlace(next, written)
        this.published = written
        return written
      }
      throw fail('SOURCE_BUSY', { ...at, tries: triesMax })
    } catch (error) {
      throw writeError(error, this.#opening)
    } finally {
      await env.files.rm(next, { force: true })
    }
  }

  /** Copies the database as of one moment; gives its stamp. */
  async #copy(next: string): Promise<string> {
    const { env, at } = this.#opening
    await env.files.rm(next, { force: true })
    const before = await stampOrNone(env, at.file)
    if (before !== none) {
      await assertNobodyWrites(this.#opening)
      await noteDiskFull(next, () => copyAll(env, at.file, next))
      const { uid, gid } = await env.files.stat(at.file)
      const mine = await env.files.stat(next)
      if (mine.uid !== uid || mine.gid !== gid) await env.files.chown(next, uid, gid)
    }
    return before
  }

  async #apply(next: string, options: { readonly missed: 'refuse' | 'report' }): Promise<Written> {
    const { env, driver, target, at } = this.#opening
    const copy = Database.openToWrite(driver, next)
    try {
      // The stage is read through a handle of its own: this one would lock it.
      this.#stage.close()
      copy.run(sql`attach ${stageFile(this.#opening)} as stage`)
      // Not within the transaction, where SQLite ignores it: a replaced row must not take rows of other tables along.
      if (target.mode === 'replace') copy.run(sql`pragma foreign_keys = off`)
      const written = copy.transaction(() => applyStage(copy, target, { system: at.source, missed: options.missed }))
      copy.run(sql`detach stage`)
      return written
    } finally {
      copy.close()
      this.#stage.reopen(driver, stageFile(this.#opening))
      await syncFile(env, next)
    }
  }

  /** The rename is the publish: its mark is written before it, and holds when the file in place is the marked one. */
  async #putInPlace(next: string, written: Written): Promise<void> {
    const { env, at } = this.#opening
    const { ino } = await env.files.stat(next, { bigint: true })
    this.#stage.run(sql`delete from ${markTable}`)
    this.#stage.run(sql`insert into ${markTable} values (${String(ino)}, ${writtenText(written)})`)
    await env.files.rename(next, at.file)
    await syncFolder(env, path.dirname(at.file))
  }

  async discard(): Promise<void> {
    if (this.#discarded) return
    this.#discarded = true
    this.#stage.close()
    await this.#opening.env.files.rm(stageFile(this.#opening), { force: true })
  }

  async close(): Promise<void> {
    this.#stage.close()
  }

  #refuse({ column, row, problem }: Misfit, before: number): never {
    const { at, target } = this.#opening
    const place = `row ${before + row + 1} of its chunk`
    throw fail('WRITE_VALUE', { system: at.source, table: target.remote, column: column.name, row: place, problem })
  }
}

/** Beside the database, so that a rename is enough to put it in place. */
function stageFile({ at, target }: Opening): string {
  return `${at.file}.naru-${target.id}`
}

/**
 * The driver locks by a folder beside the file, which outlives a killed process and would refuse the stage for good. Only
 * one process at a time works on a write of one id, so a lock that is there when it begins belongs to a dead one.
 */
async function removeLocks(opening: Opening): Promise<void> {
  const { env } = opening
  for (const suffix of ['', '.look', '.next']) {
    await env.files.rm(`${stageFile(opening)}${suffix}.lock`, { recursive: true, force: true })
  }
}

/** The declared types of the columns in the target; throws `WRITE_TARGET` when they do not fit, or it is not there. */
async function checkTarget(opening: Opening): Promise<readonly string[]> {
  const { env, driver, at, target } = opening
  const refuse = (problem: string): Error => fail('WRITE_TARGET', { system: at.source, table: target.remote, problem })
  const isThere = await fileExists(env, at.file)
  if (!isThere && !target.create) throw refuse(`there is no file ${at.file}`)
  const table = isThere ? await inCopy(opening, database => readTable(database, target.remote)) : null
  if (table === null && !target.create) throw refuse('there is no such table')
  if (table === null) return target.columns.map(({ type }) => declaredType(type))
  if (table.isView) throw refuse('it is a view')
  return target.columns.map(({ name, type }) => {
    const found = table.columns.find(column => column.name === name)
    if (found === undefined) throw refuse(`it has no column "${name}"`)
    const misfit = misfitOfColumn(type, found.nativeType)
    if (misfit !== null) throw refuse(`column "${name}": ${misfit}`)
    return found.nativeType
  })

  async function inCopy<T>({ target: { id } }: Opening, body: (database: Database) => T): Promise<T> {
    const copy = `${at.file}.naru-${id}.look`
    try {
      await noteDiskFull(copy, () => copyAll(env, at.file, copy))
      const database = Database.open(driver, copy, at)
      try {
        return body(database)
      } finally {
        database.close()
      }
    } finally {
      for (const suffix of ['', ...companions]) await env.files.rm(copy + suffix, { force: true })
    }
  }
}

/** A write-ahead log or a journal beside the file belongs to a program that writes: a new file under it would be damaged. */
async function assertNobodyWrites({ env, at, target }: Opening): Promise<void> {
  for (const suffix of companions) {
    if (!(await fileExists(env, at.file + suffix))) continue
    const problem = `another program has it open: there is ${path.basename(at.file)}${suffix}`
    throw fail('WRITE_TARGET', { system: at.source, table: target.remote, problem })
  }
}

const none = 'none'

async function stampOrNone(env: Env, file: string): Promise<string> {
  return (await fileExists(env, file)) ? (await stampOf(env, file)).text : none
}

/** What was published, when the file in place is the one that was marked. */
async function readMark(env: Env, file: string, stage: Database): Promise<Written | null> {
  const [row] = stage.rows(sql`select inode, written from ${markTable}`)
  if (row === undefined || !(await fileExists(env, file))) return null
  const { ino } = await env.files.stat(file, { bigint: true })
  return String(ino) === row['inode'] ? writtenOf(String(row['written'])) : null
}

function* texts(columns: readonly ColumnDef[], rows: Iterable<SqliteRow>): Generator<readonly (string | null)[]> {
  for (const row of rows) yield columns.map(({ type }, i) => storedText(type, row[`c${i}`] ?? null))
}

function writeError(error: unknown, { at, target }: Opening): unknown {
  if (isNaruError(error)) return error
  // The driver gives no codes: what is no fault of SQLite's is passed on as it is.
  if (!(error instanceof Error) || error.name !== 'SQLite3Error') return error
  return fail('WRITE_FAILED', { system: at.source, table: target.remote, problem: messageOf(error) }, { cause: error })
}
