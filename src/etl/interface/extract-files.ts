import { fail, isNaruError, type Code } from '../../core/errors.ts'
import { ident, sql } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { ChangeDef, SourceTableDef } from '../../config/model.ts'
import { createLanding } from '../../run/landing.ts'
import { abandonLoad, beginLoad, findOpenLoad } from '../../run/loads.ts'
import { columnsToAdd, imageState } from '../../run/layouts.ts'
import { rememberColumns, rememberedTable } from '../../run/remembered-columns.ts'
import { writeUnit } from '../../run/units.ts'
import { columnList, stagedName, stagingNames } from '../../run/tables.ts'
import {
  listOf,
  type FilesShape,
  type ReadsFiles,
  type RemoteFile,
  type TakenFile,
} from '../../services/adapter/contract-files.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import type { Extracted, InterfaceContext } from './context.ts'
import type { TableReading } from './drift.ts'
import { lookAt, readingOfPart, withColumnsOf, type LookedFile } from './file-columns.ts'
import { isKnown, isSeenAgain, lastLoaded, nameOfContent, writeFile, type FileState } from './file-records.ts'
import { countMarks, keepLastLists, sweepsLists } from './file-lists.ts'
import { againText, filesStaged, readAs, readOtherwise, someOf } from './files-again.ts'
import { receive } from './receive.ts'

type FilesChange = Extract<ChangeDef, { technique: 'files' }>

interface FolderRead {
  readonly ctx: InterfaceContext
  readonly config: SourceTableDef
  /** The table of the config with the columns that files brought to it. */
  readonly table: SourceTableDef
  readonly change: FilesChange
  readonly shape: FilesShape
  readonly adapter: ReadsFiles
  /** How the image differs from the table: not, by columns that it gets beside its own, or so that it is made anew. */
  readonly image: 'fits' | 'widened' | 'anew'
}

/**
 * Takes the complete files of a folder, each once by its content: the same bytes under another name are one file (M31).
 * A file that fails its check, or that the contract of its table refuses, is reported and left; the others go on (M4).
 * Returns `null` when nothing new lies there.
 */
export async function extractFiles(
  ctx: InterfaceContext,
  config: SourceTableDef,
  change: FilesChange,
  adapter: ReadsFiles,
): Promise<Extracted | null> {
  const table = await ctx.commit(tx => rememberedTable(tx, config))
  const open = await ctx.commit(tx => findOpenLoad(tx, table))
  const scope = change.scope === 'full' ? 'all' : 'delta'
  if (open?.state === 'accepted' && open.fits) {
    return { load: open.load, table, scope, swept: open.swept, controls: null }
  }
  const shape: FilesShape = { ...change, glob: table.remote, columns: table.columns }
  const image = await ctx.commit(tx => compareImage(tx, config, table))
  // What earlier files brought cannot be read again from a folder that need not hold them any more.
  if (image === 'anew' && scope === 'delta') {
    throw fail('FILES_COLUMNS_CHANGED', { table: `${table.source}.${table.name}` })
  }

  const folder: FolderRead = { ctx, config, table, change, shape, adapter, image }
  const files = await takeNewFiles(folder)
  try {
    if (files.length === 0 && image === 'fits') return null
    if (files.length === 0 && scope === 'all') {
      throw fail('FILES_COLUMNS_CHANGED', { table: `${table.source}.${table.name}` })
    }
    return await readFiles(folder, files, open?.load ?? null)
  } finally {
    for (const file of files) await adapter.release(file)
  }
}

async function compareImage(
  tx: Transaction,
  config: SourceTableDef,
  table: SourceTableDef,
): Promise<FolderRead['image']> {
  if ((await imageState(tx, table)) !== 'other') return 'fits'
  const added = await columnsToAdd(tx, table)
  if (added === null) return 'anew'
  const named = config.columns.filter(({ name }) => added.some(column => column.name === name))
  // What a file brought to a load that came to nothing; the next load widens the image.
  if (named.length === 0) return 'fits'
  return named.every(column => column.nullable) ? 'widened' : 'anew'
}

async function takeNewFiles(folder: FolderRead): Promise<readonly TakenFile[]> {
  const { ctx, table, adapter, shape } = folder
  const { complete, waiting } = await adapter.list(shape, ctx.signal)
  for (const { name, why } of waiting) {
    note(ctx, 'info', `${table.source}.${table.name}: ${name} is not taken yet: ${why}`, 'FILE_WAITING')
  }
  const again = folder.image !== 'fits' && folder.change.scope === 'full'
  if (!again) await tellOtherwise(folder, new Set([...complete, ...waiting].map(file => file.name)))
  const taken: TakenFile[] = []
  for (const file of complete) {
    if (!again && (await ctx.commit(tx => isKnown(tx, table, file)))) continue
    const got = await takeFile(folder, file)
    if (got === null) continue
    if (!again && (await ctx.commit(tx => isSeenAgain(ctx, tx, table, got)))) {
      await adapter.release(got)
      continue
    }
    const twin = taken.find(other => other.contentHash === got.contentHash)
    const earlier = twin?.name ?? (again ? null : await ctx.commit(tx => nameOfContent(tx, table, got)))
    if (earlier === null) taken.push(got)
    else await setAside(folder, got, 'duplicate', `same content as ${earlier}`)
  }
  return newestOnly(folder, taken)
}

/** Says which files are staged as the config no longer reads them, and by which commands they are read again. */
async function tellOtherwise(folder: FolderRead, there: ReadonlySet<string>): Promise<void> {
  const { ctx, config, table, change, image } = folder
  const name = `${table.source}.${table.name}`
  const otherwise = await ctx.commit(tx => readOtherwise(tx, config, change))
  if (otherwise !== null) {
    const told = `${name}: ${someOf(otherwise.files)} were read by other options of the table than it has now, and stay as they were read`
    note(ctx, 'warn', `${told}. ${againText(otherwise, there)}`, 'FILES_READ_OTHERWISE')
  }
  const added = image === 'widened' ? await ctx.commit(tx => columnsToAdd(tx, table)) : []
  const named = (added ?? []).filter(column => config.columns.some(it => it.name === column.name))
  const staged = named.length === 0 ? null : await ctx.commit(tx => filesStaged(tx, table, change))
  if (staged === null) return
  const told = `${name}: ${someOf(named.map(column => column.name))} came to the table, and the rows of ${someOf(staged.files)} have NULL there`
  note(ctx, 'warn', `${told}. ${againText(staged, there)}`, 'FILES_READ_OTHERWISE')
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
  'FILE_COLUMN_NEW',
  'FILE_COLUMN_REPEATED',
  'FILE_ENCODING',
  'FILE_DAMAGED',
  'FILE_LIMIT',
  'FILE_TYPE',
  'FILE_TYPE_CHANGED',
  'FILE_TRAILER',
  'FILE_MEMBER',
  'STORAGE_NOT_FOUND',
]

async function refuseFile(folder: FolderRead, file: RemoteFile, hash: string | null, error: unknown): Promise<void> {
  const { ctx, table } = folder
  if (!isNaruError(error) || !fileFaults.includes(error.code)) throw error
  note(ctx, 'warn', `${error.message}. ${error.fix}`, error.code)
  await ctx.commit(tx =>
    writeFile(ctx, tx, table, { ...file, contentHash: hash }, 'refused', { reason: error.message }),
  )
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
  await ctx.commit(tx => writeFile(ctx, tx, table, file, state, { reason }))
  await adapter.release(file)
}

async function readFiles(
  given: FolderRead,
  files: readonly TakenFile[],
  broken: bigint | null,
): Promise<Extracted | null> {
  const { folder, looked } = await lookAtFiles(given, files)
  const { ctx, config, table, change } = folder
  const scope = change.scope === 'full' ? 'all' : 'delta'
  const begun = await ctx.commit(async tx => {
    if (broken !== null) await abandonLoad(tx, broken)
    await createLanding(tx, table, { sweep: false })
    await rememberColumns(tx, { config, table, run: ctx.run.id })
    const nothing = { sinceMicros: null, horizonMicros: null, takenMicros: null, sweep: sweepsLists(change) }
    return beginLoad(tx, table, { run: ctx.run.id, scope, ...nothing })
  })
  ctx.env.crash('interface.load.begin.after')
  let lines = 0
  let units = 0
  let read = 0
  for (const one of looked) {
    try {
      const got = await readFile(folder, begun.load, { ...one, unitsBefore: units, linesBefore: lines })
      lines += got.lines
      units += got.units
      read += 1
    } catch (error) {
      await refuseFile(folder, one.file, one.file.contentHash, error)
    }
    ctx.env.crash('interface.chunk.commit.after')
  }
  // Without a file a load only brings the columns that came to the table, and then only beside what is there.
  if (read === 0 && (scope === 'all' || folder.image === 'fits')) {
    await ctx.commit(tx => abandonLoad(tx, begun.load))
    return null
  }
  const isList = listOf(change.format) !== null
  await ctx.commit(tx =>
    isList ? keepLastLists(tx, table, change, begun.load) : keepOneRowPerKey(tx, folder, begun.load),
  )
  ctx.env.crash('interface.load.accept.before')
  const controls = { totals: null, columns: [], rows: BigInt(lines), keyRows: null, byUnit: null }
  return { load: begun.load, table, scope, swept: sweepsLists(change), controls }
}

/** Asks the contract of the table about each file: what it refuses is left, and what it takes in widens the table. */
async function lookAtFiles(
  folder: FolderRead,
  files: readonly TakenFile[],
): Promise<{ readonly folder: FolderRead; readonly looked: readonly LookedFile[] }> {
  const { ctx, config, adapter, shape } = folder
  let { table } = folder
  const looked: LookedFile[] = []
  for (const file of files) {
    try {
      const one = await lookAt(adapter, { file, shape, table: config }, ctx.signal)
      let wider = table
      const notes: TableReading['notes'][number][] = []
      for (const part of one.parts ?? []) {
        const reading = readingOfPart(config, wider, part)
        wider = withColumnsOf(wider, reading)
        notes.push(...reading.notes)
      }
      for (const { code, text } of notes) note(ctx, 'warn', text, code)
      table = wider
      looked.push(one)
    } catch (error) {
      await refuseFile(folder, file, file.contentHash, error)
    }
  }
  return { folder: { ...folder, table }, looked }
}

/** Reads one file into the landing table in one transaction, each member of an archive as a unit of its own. */
function readFile(
  folder: FolderRead,
  load: bigint,
  one: LookedFile & { readonly unitsBefore: number; readonly linesBefore: number },
): Promise<{ readonly lines: number; readonly units: number }> {
  const { ctx, config, table, change, adapter, shape } = folder
  const { file, unitsBefore, linesBefore } = one
  const readings = new Map(one.parts?.map(part => [part.name, readingOfPart(config, table, part)]))
  const columnsOf = (part: string): readonly ColumnDef[] => readings.get(part)?.shape.columns ?? shape.columns
  return ctx.commit(async tx => {
    let lines = 0
    let units = 0
    for await (const part of adapter.read(file, shape, { columnsOf }, ctx.signal)) {
      units += 1
      const unit = unitsBefore + units
      const reading = readings.get(part.name) ?? null
      const landing = { table, into: stagingNames(table).landing, load, unit, file: part.name, reading }
      const before = linesBefore + lines
      const received = await receive(ctx, tx, landing, part.batches, ({ rows, bytes }) =>
        ctx.emit({ kind: 'rows', step: stepName(table), done: before + rows, total: null, bytes }),
      )
      const got = { ...received, rows: received.rows - (await countMarks(tx, table, change, unit)) }
      const range = { kind: 'file', after: null, upTo: null } as const
      const counts = { contentHash: file.contentHash, rows: got.rows, rejected: got.rejected }
      await writeUnit(tx, load, { unit, ...range, file: part.name, ...counts })
      lines += got.rows + got.rejected
    }
    await writeFile(ctx, tx, table, file, 'loaded', { load, readAs: readAs(config, change) })
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

function note(ctx: InterfaceContext, level: 'info' | 'warn', text: string, code: string): void {
  ctx.emit({ kind: 'note', level, text, code })
}

function stepName(table: SourceTableDef): string {
  return `interface ${table.source}.${table.name}`
}
