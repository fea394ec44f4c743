import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { fail, systemCodeOf } from '../../../core/errors.ts'
import { fileExists } from '../../../core/files.ts'
import { ident, joinSql, rawSql, sql } from '../../../core/sql.ts'
import type { StagedUnit, WriteTarget, Written } from '../contract-writes.ts'
import { writtenOf, writtenText } from '../written.ts'
import { companions, stampOf } from './copy.ts'
import { Database, type Driver } from './database.ts'
import type { SourceFile } from './errors.ts'

/** What a writer is opened with. */
export interface Opening {
  readonly env: Env
  readonly driver: Driver
  readonly at: SourceFile
  readonly target: WriteTarget
}

/** One row for each unit that is staged whole. */
export const unitTable = ident('naru_unit')
/** The staged rows. */
export const rowTable = ident('naru_row')
const aboutTable = ident('naru_about')
const markTable = ident('naru_mark')

/** What stands behind the name of the database in the name of every stage. */
const STAGE = '.naru-stage-'

/** Beside the database, so that a rename is enough to put it in place. */
export function stageFile({ at, target }: Opening): string {
  return `${at.file}${STAGE}${target.id}`
}

/** The copy that a publish works on. */
export function nextFile(opening: Opening): string {
  return `${stageFile(opening)}.next`
}

/** A link to the database while its catalog is looked at. */
function lookFile(opening: Opening): string {
  return `${stageFile(opening)}.look`
}

/** A link to the file that was published. While it is there the system gives the inode to no other file. */
function publishedFile(opening: Opening): string {
  return `${stageFile(opening)}.published`
}

/**
 * The driver locks by a folder beside the file, which outlives a killed process and would refuse the stage for good. Only
 * one process at a time works on a write of one id, so a lock that is there when it begins belongs to a dead one.
 */
export async function removeLocks(opening: Opening): Promise<void> {
  for (const file of [stageFile(opening), lookFile(opening), nextFile(opening)]) {
    await opening.env.files.rm(`${file}.lock`, { recursive: true, force: true })
  }
}

/**
 * Opens the stage. `declared` are the types of its columns, `about` is what it is for: rows that were staged for
 * anything else, and were not published, are removed.
 */
export async function openStage(
  opening: Opening,
  declared: readonly string[],
  about: string,
): Promise<{ readonly stage: Database; readonly published: Written | null }> {
  const stage = Database.openToWrite(opening.driver, stageFile(opening))
  try {
    stage.run(sql`create table if not exists ${unitTable} (unit text primary key, rows integer)`)
    stage.run(sql`create table if not exists ${markTable} (written text)`)
    stage.run(sql`create table if not exists ${aboutTable} (about text)`)
    const published = await readMark(opening, stage)
    const [begun] = stage.rows(sql`select about from ${aboutTable}`)
    if (published === null && begun?.['about'] !== about) beginFor(stage, declared, about)
    return { stage, published }
  } catch (error) {
    stage.close()
    throw error
  }
}

function beginFor(stage: Database, declared: readonly string[], about: string): void {
  const list = declared.map((type, i) => sql`${ident(`c${i}`)} ${rawSql(type)}`)
  stage.transaction(() => {
    for (const table of [unitTable, markTable, aboutTable]) stage.run(sql`delete from ${table}`)
    stage.run(sql`drop table if exists ${rowTable}`)
    stage.run(sql`create table ${rowTable} (${joinSql([sql`unit text`, ...list])})`)
    stage.run(sql`insert into ${aboutTable} values (${about})`)
  })
}

/** The units that are staged, in the order they were. */
export function unitsOf(stage: Database): readonly StagedUnit[] {
  return stage
    .rows(sql`select unit, rows from ${unitTable} order by rowid`)
    .map(row => ({ unit: String(row['unit']), rows: BigInt(row['rows'] as number) }))
}

/** Notes that `file` will be put in place: the mark holds from the moment that it is there. */
export async function markNext(opening: Opening, stage: Database, file: string, written: Written): Promise<void> {
  const { files } = opening.env
  await files.rm(publishedFile(opening), { force: true })
  await files.link(file, publishedFile(opening))
  stage.run(sql`delete from ${markTable}`)
  stage.run(sql`insert into ${markTable} values (${writtenText(written)})`)
}

/** What was published, when the file in place is the one that was marked. */
async function readMark(opening: Opening, stage: Database): Promise<Written | null> {
  const [row] = stage.rows(sql`select written from ${markTable}`)
  if (row === undefined || !(await isSameFile(opening.env, publishedFile(opening), opening.at.file))) return null
  return writtenOf(String(row['written']))
}

async function isSameFile(env: Env, one: string, other: string): Promise<boolean> {
  if (!(await fileExists(env, one)) || !(await fileExists(env, other))) return false
  const [a, b] = await Promise.all([one, other].map(file => env.files.stat(file, { bigint: true })))
  return a?.ino === b?.ino && a?.dev === b?.dev
}

/** Removes the stage, then its mark: one without the other says nothing. */
export async function removeStage(opening: Opening): Promise<void> {
  await opening.env.files.rm(stageFile(opening), { force: true })
  await opening.env.files.rm(publishedFile(opening), { force: true })
}

/** Removes the other stages beside the database that nobody touched for so long; gives how many. */
export async function removeAbandoned(opening: Opening, untouchedMs: number): Promise<number> {
  const { env, at, target } = opening
  const prefix = path.basename(at.file) + STAGE
  const names = (await env.files.readdir(path.dirname(at.file))).filter(name => name.startsWith(prefix))
  const ids = new Set(names.map(name => /^\w+/.exec(name.slice(prefix.length))?.[0] ?? target.id))
  ids.delete(target.id)
  for (const id of ids) {
    const stage = `${at.file}${STAGE}${id}`
    const { mtimeMs } = await env.files.stat(stage).catch(unlessMissing)
    if (Number(env.clock.nowMicros() / 1000n) - mtimeMs < untouchedMs) ids.delete(id)
    else await removeAll(env, stage)
  }
  return ids.size
}

/** The stage goes first: what is left of it without is nobody's. */
async function removeAll(env: Env, stage: string): Promise<void> {
  const folder = path.dirname(stage)
  await env.files.rm(stage, { force: true })
  for (const name of await env.files.readdir(folder)) {
    if (!/^[.-]/.test(name.slice(path.basename(stage).length)) || !name.startsWith(path.basename(stage))) continue
    await env.files.rm(path.join(folder, name), { recursive: true, force: true })
  }
}

/** Of a stage that is gone only remains are left. */
function unlessMissing(error: unknown): { readonly mtimeMs: number } {
  if (systemCodeOf(error) === 'ENOENT') return { mtimeMs: 0 }
  throw error
}

/** Times that something is tried again because the file was written to meanwhile. */
export const triesMax = 5

/**
 * Looks into the database where it is, without a copy: through a link of another name, because the driver would put its
 * lock beside the file, and only when nothing changed meanwhile. Throws `WRITE_TARGET` while another program writes.
 */
export async function lookInto<T>(opening: Opening, body: (database: Database) => T): Promise<T> {
  const { env, driver, at } = opening
  const link = lookFile(opening)
  for (let attempt = 1; attempt <= triesMax; attempt++) {
    await assertNobodyWrites(opening)
    const before = await stampOf(env, at.file)
    const found = await throughLink(opening, link, () => {
      const database = Database.open(driver, link, at)
      try {
        return body(database)
      } finally {
        database.close()
      }
    })
    if ((await stampOf(env, at.file)).text !== before.text) continue
    if ('error' in found) throw found.error
    return found.value
  }
  throw fail('SOURCE_BUSY', { ...at, tries: triesMax })
}

async function throughLink<T>(
  { env, at, target }: Opening,
  link: string,
  body: () => T,
): Promise<{ readonly value: T } | { readonly error: unknown }> {
  await env.files.rm(link, { force: true })
  try {
    await env.files.link(at.file, link)
  } catch (error) {
    const problem = `its folder takes no links, by which a write is told as done (${systemCodeOf(error)}); write into another folder and copy the file`
    throw fail('WRITE_TARGET', { system: at.source, table: target.remote, problem }, { cause: error })
  }
  try {
    return { value: body() }
  } catch (error) {
    // Perhaps the file was written to at the same moment.
    return { error }
  } finally {
    for (const suffix of ['', ...companions]) await env.files.rm(link + suffix, { force: true })
  }
}

/** A write-ahead log or a journal beside the file belongs to a program that writes: a new file under it would be damaged. */
export async function assertNobodyWrites({ env, at, target }: Opening): Promise<void> {
  for (const suffix of companions) {
    if (!(await fileExists(env, at.file + suffix))) continue
    const problem = `another program has it open: there is ${path.basename(at.file)}${suffix}`
    throw fail('WRITE_TARGET', { system: at.source, table: target.remote, problem })
  }
}
