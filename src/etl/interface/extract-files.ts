import { fail, isNaruError, type Code } from '../../core/errors.ts'
import { ident, sql, type Sql } from '../../core/sql.ts'
import type { ChangeDef, SourceTableDef } from '../../config/model.ts'
import { createLanding } from '../../run/landing.ts'
import { abandonLoad, beginLoad, findOpenLoad, imageFits, ofTable, writeUnit } from '../../run/loads.ts'
import { columnList, stagedName, stagingNames } from '../../run/tables.ts'
import type { FilesShape, ReadsFiles, RemoteFile, TakenFile } from '../../services/adapter/contract-files.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import type { Extracted, InterfaceContext } from './context.ts'
import { receive } from './receive.ts'

/** Some storages give times to the minute only: a file this fresh may change again without a new time or size. */
const freshMicros = 120_000_000n

type FilesChange = Extract<ChangeDef, { technique: 'files' }>

interface FolderRead {
  readonly ctx: InterfaceContext
  readonly table: SourceTableDef
  readonly change: FilesChange
  readonly shape: FilesShape
  readonly adapter: ReadsFiles
  /** The columns of the table changed: the files that are there are read again, known or not. */
  readonly again: boolean
}

/**
 * Takes the complete files of a folder, each once by its content: the same bytes under another name are one file (M31).
 * A file that fails its check is reported and left; the others go on (M4). Returns `null` when nothing new lies there.
 */
export async function extractFiles(
  ctx: InterfaceContext,
  table: SourceTableDef,
  change: FilesChange,
  adapter: ReadsFiles,
): Promise<Extracted | null> {
  const shape: FilesShape = { ...change, glob: table.remote, columns: table.columns }
  const open = await ctx.commit(tx => findOpenLoad(tx, table))
  const scope = change.scope === 'full' ? 'all' : 'delta'
  if (open?.state === 'accepted' && open.fits) {
    return { load: open.load, table, scope, swept: false, controls: null }
  }
  const again = !(await ctx.commit(tx => imageFits(tx, table)))
  // What earlier files brought cannot be read again from a folder that need not hold them any more.
  if (again && scope === 'delta') throw fail('FILES_COLUMNS_CHANGED', { table: `${table.source}.${table.name}` })

  const folder: FolderRead = { ctx, table, change, shape, adapter, again }
  const files = await takeNewFiles(folder)
  try {
    if (files.length === 0) {
      if (again) throw fail('FILES_COLUMNS_CHANGED', { table: `${table.source}.${table.name}` })
      return null
    }
    return await readFiles(folder, files, open?.load ?? null)
  } finally {
    for (const file of files) await adapter.release(file)
  }
}

async function takeNewFiles(folder: FolderRead): Promise<readonly TakenFile[]> {
  const { ctx, table, adapter, shape } = folder
  const { complete, waiting } = await adapter.list(shape, ctx.signal)
  for (const { name, why } of waiting) {
    note(ctx, 'info', `${table.source}.${table.name}: ${name} is not taken yet: ${why}`, 'FILE_WAITING')
  }
  const taken: TakenFile[] = []
  for (const file of complete) {
    if (!folder.again && (await ctx.commit(tx => isKnown(tx, table, file)))) continue
    const got = await takeFile(folder, file)
    if (got === null) continue
    if (!folder.again && (await ctx.commit(tx => isSeenAgain(ctx, tx, table, got)))) {
      await adapter.release(got)
      continue
    }
    const twin = taken.find(other => other.contentHash === got.contentHash)
    const earlier = twin?.name ?? (folder.again ? null : await ctx.commit(tx => nameOfContent(tx, folder, got)))
    if (earlier === null) taken.push(got)
    else await setAside(folder, got, 'duplicate', `same content as ${earlier}`)
  }
  return newestOnly(folder, taken)
}

async function takeFile(folder: FolderRead, file: RemoteFile): Promise<TakenFile | null> {
  const { ctx, adapter, shape } = folder
  try {
    return await adapter.take(file, shape, ctx.signal)
  } catch (error) {
    await refuseFile(folder, file, null, error)
    return null
  }
}

/** Faults of one file: it is reported and left, and the others go on. Anything else ends the run. */
const fileFaults: readonly Code[] = [
  'FILE_CHECKSUM',
  'FILE_CHANGED',
  'FILE_COLUMN_MISSING',
  'FILE_COLUMN_REPEATED',
  'FILE_ENCODING',
  'FILE_DAMAGED',
  'FILE_LIMIT',
  'FILE_TYPE',
  'FILE_TRAILER',
  'FILE_MEMBER',
  'STORAGE_NOT_FOUND',
]

async function refuseFile(folder: FolderRead, file: RemoteFile, hash: string | null, error: unknown): Promise<void> {
  const { ctx, table } = folder
  if (!isNaruError(error) || !fileFaults.includes(error.code)) throw error
  note(ctx, 'warn', `${error.message}. ${error.fix}`, error.code)
  await ctx.commit(tx => writeFile(ctx, tx, table, { ...file, contentHash: hash }, 'refused', error.message, null))
}

/**
 * A file that is the whole table makes the older ones obsolete, of this run and of those before: they are noted, not
 * lost from sight. An old list that lies there still, or whose side-car was mended late, never replaces a newer one.
 */
async function newestOnly(folder: FolderRead, files: readonly TakenFile[]): Promise<readonly TakenFile[]> {
  const newest = files.at(-1)
  if (folder.change.scope !== 'full' || newest === undefined) return files
  const loaded = await folder.ctx.commit(tx => lastLoaded(tx, folder.table))
  const isNew = loaded === null || newest.modifiedMicros >= loaded.modifiedMicros
  const winner = isNew ? newest : loaded
  for (const file of isNew ? files.slice(0, -1) : files) {
    await setAside(folder, file, 'superseded', `${winner.name} is a newer state of the whole table`)
  }
  return isNew ? [newest] : []
}

async function setAside(folder: FolderRead, file: TakenFile, state: FileState, reason: string): Promise<void> {
  const { ctx, table, adapter } = folder
  note(ctx, 'info', `${table.source}.${table.name}: ${file.name} is ${state}: ${reason}`, 'FILE_SET_ASIDE')
  await ctx.commit(tx => writeFile(ctx, tx, table, file, state, reason, null))
  await adapter.release(file)
}

async function readFiles(
  folder: FolderRead,
  files: readonly TakenFile[],
  broken: bigint | null,
): Promise<Extracted | null> {
  const { ctx, table, change } = folder
  const scope = change.scope === 'full' ? 'all' : 'delta'
  const begun = await ctx.commit(async tx => {
    if (broken !== null) await abandonLoad(tx, broken)
    await createLanding(tx, table, { sweep: false })
    const nothing = { sinceMicros: null, horizonMicros: null, takenMicros: null, sweep: false }
    return beginLoad(tx, table, { run: ctx.run.id, scope, ...nothing })
  })
  ctx.env.crash('interface.load.begin.after')
  let lines = 0
  let units = 0
  let read = 0
  for (const file of files) {
    try {
      const got = await readFile(folder, begun.load, { file, unitsBefore: units, linesBefore: lines })
      lines += got.lines
      units += got.units
      read += 1
    } catch (error) {
      await refuseFile(folder, file, file.contentHash, error)
    }
    ctx.env.crash('interface.chunk.commit.after')
  }
  if (read === 0) {
    await ctx.commit(tx => abandonLoad(tx, begun.load))
    return null
  }
  await ctx.commit(tx => keepOneRowPerKey(tx, folder, begun.load))
  ctx.env.crash('interface.load.accept.before')
  const controls = { totals: null, columns: [], rows: BigInt(lines), keyRows: null, byUnit: null }
  return { load: begun.load, table, scope, swept: false, controls }
}

/** Reads one file into the landing table in one transaction, each member of an archive as a unit of its own. */
function readFile(
  folder: FolderRead,
  load: bigint,
  one: { readonly file: TakenFile; readonly unitsBefore: number; readonly linesBefore: number },
): Promise<{ readonly lines: number; readonly units: number }> {
  const { ctx, table, adapter, shape } = folder
  const { file, unitsBefore, linesBefore } = one
  return ctx.commit(async tx => {
    let lines = 0
    let units = 0
    const options = { plainLines: tx.appendLines !== undefined }
    for await (const part of adapter.read(file, shape, options, ctx.signal)) {
      units += 1
      const unit = unitsBefore + units
      const landing = { table, into: stagingNames(table).landing, load, unit, file: part.name, reading: null }
      const before = linesBefore + lines
      const got = await receive(ctx, tx, landing, part.batches, ({ rows, bytes }) =>
        ctx.emit({ kind: 'rows', step: stepName(table), done: before + rows, total: null, bytes }),
      )
      const range = { kind: 'file', after: null, upTo: null } as const
      const counts = { contentHash: file.contentHash, rows: got.rows, rejected: got.rejected }
      await writeUnit(tx, load, { unit, ...range, file: part.name, ...counts })
      lines += got.rows + got.rejected
    }
    await writeFile(ctx, tx, table, file, 'loaded', null, load)
    ctx.env.crash('interface.chunk.commit.before')
    return { lines, units }
  })
}

/**
 * A file may hold a key twice, or none: the last line of a key wins, the others and keyless lines become rejects, so
 * that lines = staged + rejected holds for every file.
 */
async function keepOneRowPerKey(tx: Transaction, folder: FolderRead, load: bigint): Promise<void> {
  const { table } = folder
  const { landing } = stagingNames(table)
  const bad = ident('temp', `badkeys_${stagedName(table)}`)
  const keyNull = table.key.map(name => sql`${ident(name)} is null`).reduce((a, b) => sql`${a} or ${b}`)
  await tx.replaceTemp(
    bad,
    sql`select "_unit", "_line", case when ${keyNull} then 'KEY_MISSING' else 'KEY_REPEATED' end as reason from (
      select *, row_number() over (partition by ${columnList(table.key)} order by "_unit" desc, "_line" desc) as nth
      from ${landing}) l
    where nth > 1 or ${keyNull}`,
  )
  await tx.execute(sql`
    insert into naru.reject
    select ${load}, b."_unit", ${table.source}, ${table.name}, b.reason,
      case b.reason when 'KEY_MISSING' then 'the key is empty' else 'a later line has the same key' end,
      ${null}, u.file, b."_line", ${0}, ''
    from ${bad} b left join naru.unit u on u.load = ${load} and u.unit = b."_unit"`)
  await tx.execute(sql`
    delete from ${landing} l using ${bad} b where l."_unit" = b."_unit" and l."_line" = b."_line"`)
}

type FileState = 'loaded' | 'duplicate' | 'superseded' | 'refused'

/**
 * True when this very file needs no second look: same name, size and time, the time not too fresh to trust, and its
 * content stands in a load that counts. A file of a load that was broken off is new again.
 */
async function isKnown(tx: Transaction, table: SourceTableDef, file: RemoteFile): Promise<boolean> {
  const [row] = await tx.rows(sql`
    select 1 as known from naru.file f
    where ${ofTable(table)} and name = ${file.name} and bytes = ${file.bytes}
      and modified_micros = ${file.modifiedMicros} and taken_micros - modified_micros > ${freshMicros}
      and (state = 'superseded' or content_hash in (select content_hash from (${loadedFiles(table)}))) limit 1`)
  return row !== undefined
}

/**
 * True when a file that was too fresh to trust is still what it was: it is noted as looked at, and needs no third look
 * once its time has settled.
 */
async function isSeenAgain(
  ctx: InterfaceContext,
  tx: Transaction,
  table: SourceTableDef,
  file: TakenFile,
): Promise<boolean> {
  const noted = await tx.execute(sql`
    update naru.file set taken_micros = ${ctx.run.asOfMicros}
    where ${ofTable(table)} and name = ${file.name} and modified_micros = ${file.modifiedMicros}
      and content_hash = ${file.contentHash}
      and (state in ('superseded', 'duplicate') or (state = 'loaded' and content_hash in (
        select content_hash from (${loadedFiles(table)}))))`)
  return noted > 0
}

/**
 * The file that brought this content before. Where each file is the whole table only the last one counts, and the very
 * file itself: a partner who sends an old list again means it.
 */
async function nameOfContent(tx: Transaction, folder: FolderRead, file: TakenFile): Promise<string | null> {
  const { table, change } = folder
  const itself = sql`(name = ${file.name} and bytes = ${file.bytes} and modified_micros = ${file.modifiedMicros})`
  const counts = change.scope === 'full' ? sql`(age = 1 or ${itself})` : sql`true`
  const [row] = await tx.rows(sql`
    select name from (select *, row_number() over (order by load desc, name) as age from (${loadedFiles(table)}))
    where content_hash = ${file.contentHash} and ${counts} order by load limit 1`)
  return row === undefined ? null : (row['name'] as string)
}

/** The file that made the present image of a table which each file replaces. */
async function lastLoaded(
  tx: Transaction,
  table: SourceTableDef,
): Promise<Pick<RemoteFile, 'name' | 'modifiedMicros'> | null> {
  const [row] = await tx.rows(sql`${loadedFiles(table)} order by load desc limit 1`)
  if (row === undefined) return null
  return { name: row['name'] as string, modifiedMicros: row['modified_micros'] as bigint }
}

/** The files of loads that count. */
function loadedFiles(table: SourceTableDef): Sql {
  return sql`
    select * from naru.file where ${ofTable(table)} and state = 'loaded'
      and load in (select load from naru.load where state in ('accepted', 'published'))`
}

async function writeFile(
  ctx: InterfaceContext,
  tx: Transaction,
  table: SourceTableDef,
  file: RemoteFile & { readonly contentHash: string | null },
  state: FileState,
  reason: string | null,
  load: bigint | null,
): Promise<void> {
  await tx.execute(sql`delete from naru.file where ${ofTable(table)} and name = ${file.name} and state = ${state}`)
  await tx.execute(sql`
    insert into naru.file values (${table.source}, ${table.name}, ${file.contentHash}, ${file.name}, ${file.bytes},
      ${file.modifiedMicros}, ${ctx.run.asOfMicros}, ${state}, ${reason}, ${load})`)
}

function note(ctx: InterfaceContext, level: 'info' | 'warn', text: string, code: string): void {
  ctx.emit({ kind: 'note', level, text, code })
}

function stepName(table: SourceTableDef): string {
  return `interface ${table.source}.${table.name}`
}
