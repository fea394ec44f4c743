import path from 'node:path'
import type { ColumnBatch } from '../../../core/batch.ts'
import type { Env } from '../../../core/env.ts'
import { fail, isNaruError, messageOf } from '../../../core/errors.ts'
import { fileExists, syncFile, syncFolder } from '../../../core/files.ts'
import { acquireLease, type Lease } from '../../../core/lease-files.ts'
import { joinSql, sql } from '../../../core/sql.ts'
import { noteDiskFull } from '../../../core/spool.ts'
import { typeText, type ColumnDef } from '../../../core/types.ts'
import type { ControlTotals } from '../contract.ts'
import type { StagedUnit, TableWriter, WriteTarget, Written } from '../contract-writes.ts'
import { totalsOfTexts } from '../text-totals.ts'
import { applyStage, isTakenError } from './apply.ts'
import { readTable } from './catalog.ts'
import { copyAll, stampOf } from './copy.ts'
import { Database, type SqliteRow } from './database.ts'
import type { SourceFile } from './errors.ts'
import {
  assertNobodyWrites,
  lookInto,
  markNext,
  nextFile,
  openStage,
  removeAbandoned,
  removeLocks,
  removeStage,
  rowTable,
  stageFile,
  triesMax,
  unitsOf,
  unitTable,
  type Opening,
} from './stage.ts'
import {
  declaredType,
  isKeptAsText,
  misfitOfColumn,
  storedText,
  valuesOf,
  type Misfit,
  type WrittenColumn,
} from './values.ts'

/** How long a writer waits for another's rename, which takes a moment. */
const turnTriesMax = 250
const turnWaitMs = 20

/**
 * Writes into a SQLite file. Rows are staged in a file of their own beside it; a publish applies them to a copy of the
 * database and renames the copy into its place. So readers see the old file or the new one, and a program that has the
 * old one open is told by SQLite that its file was moved when it writes. The file itself is never written in place: the
 * driver's locks are not those of other programs.
 */
export class SqliteWriter implements TableWriter {
  readonly #opening: Opening
  readonly #stage: Database
  readonly #columns: readonly WrittenColumn[]
  published: Written | null
  #discarded = false

  private constructor(opening: Opening, stage: Database, columns: readonly WrittenColumn[], published: Written | null) {
    this.#opening = opening
    this.#stage = stage
    this.#columns = columns
    this.published = published
  }

  static async open(given: Opening): Promise<SqliteWriter> {
    const opening = { ...given, at: await realPlace(given) }
    await removeLocks(opening)
    const found = await checkTarget(opening)
    try {
      const declared = found.map(column => column.declared)
      const { stage, published } = await openStage(opening, declared, aboutOf(opening.target, declared))
      const columns = opening.target.columns.map((column, i) => writtenColumn(column, found[i] as FoundColumn))
      return new SqliteWriter(opening, stage, columns, published)
    } catch (error) {
      throw writeError(error, opening)
    }
  }

  get staged(): readonly StagedUnit[] {
    return this.#discarded ? [] : unitsOf(this.#stage)
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
    const next = nextFile(this.#opening)
    try {
      for (let attempt = 1; attempt <= triesMax; attempt++) {
        signal.throwIfAborted()
        const before = await this.#copy(next)
        const written = await this.#apply(next, options)
        if (!(await this.#putInPlace(next, before, written))) continue
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

  /**
   * The rename is the publish: its mark is written before it, and holds when the file in place is the marked one. False
   * when the file is no longer what was copied; between that look and the rename no other writer of ours renames.
   */
  async #putInPlace(next: string, copied: string, written: Written): Promise<boolean> {
    const { env, at } = this.#opening
    const lease = await this.#turn()
    try {
      if ((await stampOrNone(env, at.file)) !== copied) return false
      await markNext(this.#opening, this.#stage, next, written)
      await env.files.rename(next, at.file)
      await syncFolder(env, path.dirname(at.file))
      return true
    } finally {
      await lease.forget()
    }
  }

  /** A lease beside the file, for the moment of a rename: who finds it taken looks again. Throws `RUN_HELD`. */
  async #turn(): Promise<Lease> {
    const { env, at } = this.#opening
    const [folder, name] = [path.dirname(at.file), path.basename(at.file)]
    for (let attempt = 1; ; attempt++) {
      try {
        return await acquireLease(env, folder, `${name}.naru-publish`, `a write into ${name}`)
      } catch (error) {
        if (attempt === turnTriesMax || !isNaruError(error, 'RUN_HELD')) throw error
        await env.clock.sleep(turnWaitMs)
      }
    }
  }

  async discard(): Promise<void> {
    if (this.#discarded) return
    this.#discarded = true
    this.#stage.close()
    await removeStage(this.#opening)
  }

  removeAbandoned(untouchedMs: number): Promise<number> {
    return removeAbandoned(this.#opening, untouchedMs)
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

/** A link to a database stays a link: what it points to is replaced. */
async function realPlace({ env, at }: Opening): Promise<SourceFile> {
  return (await fileExists(env, at.file)) ? { ...at, file: await env.files.realpath(at.file) } : at
}

/** What the stage is for: rows that were staged for anything else must not go in. */
function aboutOf({ remote, columns, key, mode }: WriteTarget, declared: readonly string[]): string {
  return JSON.stringify({
    remote,
    columns: columns.map(({ name, type }) => [name, typeText(type)]),
    key,
    mode,
    declared,
  })
}

function writtenColumn(column: ColumnDef, { declared, takesNull }: FoundColumn): WrittenColumn {
  return { ...column, nullable: takesNull, asText: isKeptAsText(column.type, declared) }
}

interface FoundColumn {
  readonly declared: string
  readonly takesNull: boolean
}

/** The columns in the target; throws `WRITE_TARGET` when they do not fit, or it is not there. */
async function checkTarget(opening: Opening): Promise<readonly FoundColumn[]> {
  const { env, at, target } = opening
  const refuse = (problem: string): Error => fail('WRITE_TARGET', { system: at.source, table: target.remote, problem })
  const isThere = await fileExists(env, at.file)
  if (!isThere && !target.create) throw refuse(`there is no file ${at.file}`)
  const table = isThere ? await lookInto(opening, database => readTable(database, target.remote)) : null
  if (table === null && !target.create) throw refuse('there is no such table')
  if (table === null) {
    return target.columns.map(({ name, type }) => ({
      declared: declaredType(type),
      takesNull: !target.key.includes(name),
    }))
  }
  if (table.isView) throw refuse('it is a view')
  const findsRows = target.mode !== 'insert' && target.mode !== 'replace'
  return target.columns.map(({ name, type }) => {
    const found = table.columns.find(column => column.name === name)
    if (found === undefined) throw refuse(`it has no column "${name}"`)
    const misfit = misfitOfColumn(type, found.nativeType)
    if (misfit !== null) throw refuse(`column "${name}": ${misfit}`)
    const takesNull = !found.neverNull && !(findsRows && target.key.includes(name))
    return { declared: found.nativeType, takesNull }
  })
}

const none = 'none'

async function stampOrNone(env: Env, file: string): Promise<string> {
  return (await fileExists(env, file)) ? (await stampOf(env, file)).text : none
}

function* texts(columns: readonly ColumnDef[], rows: Iterable<SqliteRow>): Generator<readonly (string | null)[]> {
  for (const row of rows) yield columns.map(({ type }, i) => storedText(type, row[`c${i}`] ?? null))
}

function writeError(error: unknown, { at, target }: Opening): unknown {
  if (isNaruError(error)) return error
  // The driver gives no codes: what is no fault of SQLite's is passed on as it is.
  if (!(error instanceof Error) || error.name !== 'SQLite3Error') return error
  const code = isTakenError(error) ? 'WRITE_NOT_UNIQUE' : 'WRITE_FAILED'
  return fail(code, { system: at.source, table: target.remote, problem: messageOf(error) }, { cause: error })
}
