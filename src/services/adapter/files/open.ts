import { fileURLToPath } from 'node:url'
import type * as yauzl from 'yauzl'
import { fail } from '../../../core/errors.ts'
import { durationMs, loadDriver, readOptions, type ReadOptions } from '../../../core/implementation.ts'
import { typeText, type ColumnType } from '../../../core/types.ts'
import { makeSpool, removeSpool } from '../../../core/spool.ts'
import { openStorage, storages, type StorageKind } from '../../storage/registry.ts'
import type { Adapter, AdapterOpening, Describes, OpenAdapter, TableDescription } from '../contract.ts'
import type { FilePart, FilesShape, PartLook, ReadsFiles, TakenFile } from '../contract-files.ts'
import type { TableWriter, WritesTables, WriteTarget } from '../contract-writes.ts'
import { files } from './index.ts'
import type { FileLimits } from './limits.ts'
import { listFolder, type Folder } from './list.ts'
import { lookAtFile } from './look.ts'
import type { Drivers, Packed } from './packed.ts'
import { readFile } from './read.ts'
import { takeFile } from './take.ts'

/** Opens the folder of a source: nothing is connected or written before the first call. */
export const openAdapter: OpenAdapter = async given => {
  const options = readOptions(files.options, given.options, `source "${given.source}"`)
  const { kind, options: storageOptions } = chooseStorage(given, options)
  const storage = await openStorage(kind, {
    usedBy: `source "${given.source}"`,
    options: storageOptions,
    secret: given.secret,
    configDir: given.configDir,
    env: given.env,
  })
  const folder: Folder = { env: given.env, storage, settleMs: durationMs(options.settle) ?? 1000 }
  return new FilesAdapter(folder, given, { limits: options, drivers: driversOf(given.configDir) })
}

function driversOf(configDir: string): Drivers {
  const asked = { service: 'adapter', kind: 'files', from: configDir } as const
  return {
    zip: async () => {
      // The package is CommonJS: its names stand below `default` when it is imported.
      const own = (): Promise<{ default: typeof yauzl }> =>
        import('yauzl') as unknown as Promise<{ default: typeof yauzl }>
      return (await loadDriver<{ default: typeof yauzl }>('yauzl', { ...asked, own })).default
    },
    zstd: () => loadDriver('fzstd', { ...asked, own: () => import('fzstd') }),
  }
}

type Given = ReadOptions<typeof files.options>

/** The storage of a source and what it needs to know: chosen by the scheme of its address. */
function chooseStorage(
  given: AdapterOpening,
  options: Given,
): { readonly kind: StorageKind; readonly options: Readonly<Record<string, unknown>> } {
  const where = `source "${given.source}"`
  const { folder, url } = options
  if ((folder === undefined) === (url === undefined)) {
    throw fail('OPTION_INVALID', { where, option: 'folder', problem: 'or "url" must be given, one of the two' })
  }
  if (folder !== undefined) return { kind: 'local', options: optionsFor('local', { ...options, folder }, where) }
  const address = given.secret(url as NonNullable<typeof url>, `${where}, option "url"`).reveal()
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(address)?.[1]?.toLowerCase() ?? 'no scheme'
  const kind = kindsByScheme[scheme]
  if (kind === undefined) {
    const problem = `has the scheme ${scheme}; known are ftp, ftps, ftps-implicit, sftp, s3 and file`
    throw fail('OPTION_INVALID', { where, option: 'url', problem })
  }
  if (kind !== 'local') return { kind, options: optionsFor(kind, options, where) }
  const local = scheme === 'file' ? fileURLToPath(address) : address
  return { kind, options: optionsFor(kind, { ...options, url: undefined, folder: local }, where) }
}

const kindsByScheme: Readonly<Record<string, StorageKind>> = {
  ftp: 'ftp',
  ftps: 'ftp',
  'ftps-implicit': 'ftp',
  sftp: 'sftp',
  s3: 's3',
  file: 'local',
  'no scheme': 'local',
}

/** The adapter's own options, and those that have a default for every storage. */
const notOfStorages = [
  'settle',
  'timeout',
  'pathStyle',
  'maxLineBytes',
  'maxValueBytes',
  'maxExpansion',
  'maxRows',
  'maxColumns',
  'maxDepth',
  'maxElements',
]

/** The options that this storage has; one that it has not would be ignored in silence, so it is refused. */
function optionsFor(
  kind: StorageKind,
  options: Readonly<Record<string, unknown>>,
  where: string,
): Record<string, unknown> {
  const known: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue
    if (Object.hasOwn(storages[kind].options, name)) known[name] = value
    else if (!notOfStorages.includes(name)) {
      throw fail('OPTION_INVALID', { where, option: name, problem: `means nothing for a folder on ${kind}` })
    }
  }
  return known
}

/** Parts of an upload that began so long ago belong to nobody who still lives. */
const abandonedMs = 24 * 3_600_000

class FilesAdapter implements Adapter, Describes, ReadsFiles, WritesTables {
  readonly kind = 'files'
  readonly describes = this
  readonly files = this
  readonly writes = this
  readonly can = { modes: [], totals: true } as const
  readonly #source: string
  readonly #folder: Folder
  readonly #stateDir: string
  readonly #limits: FileLimits
  readonly #drivers: Drivers
  #spool: Promise<string> | null = null
  #taken = 0

  constructor(
    folder: Folder,
    { source, stateDir }: Pick<AdapterOpening, 'source' | 'stateDir'>,
    { limits, drivers }: { readonly limits: FileLimits; readonly drivers: Drivers },
  ) {
    this.#folder = folder
    this.#source = source
    this.#stateDir = stateDir
    this.#limits = limits
    this.#drivers = drivers
  }

  async describe(signal: AbortSignal, tell: (text: string) => void = () => {}): Promise<readonly TableDescription[]> {
    // Loads DuckDB, which whoever reads text does not need.
    const { describeFolder } = await import('./describe.ts')
    return describeFolder({ source: this.#source, files: this, packed: file => this.#packed(file), tell }, signal)
  }

  typeName(type: ColumnType): string {
    return typeText(type)
  }

  async openWriter(target: WriteTarget, signal: AbortSignal): Promise<TableWriter> {
    // Loads DuckDB, which whoever only reads does not need.
    const { FileWriter } = await import('./writer.ts')
    const { env, storage } = this.#folder
    // What an upload that was killed left on the store is nobody's any more.
    await storage.removeAbandoned?.(abandonedMs, signal)
    return FileWriter.open({ env, storage, stateDir: this.#stateDir, source: this.#source, target }, signal)
  }

  list(shape: FilesShape, signal: AbortSignal): ReturnType<ReadsFiles['list']> {
    return listFolder(this.#folder, shape, signal)
  }

  async take(file: Parameters<ReadsFiles['take']>[0], shape: FilesShape, signal: AbortSignal): Promise<TakenFile> {
    this.#spool ??= makeSpool(this.#folder.env, this.#stateDir)
    const spool = await this.#spool
    return takeFile(this.#folder, { file, files: shape, spool, number: ++this.#taken }, signal)
  }

  async look(file: TakenFile, shape: FilesShape, signal: AbortSignal): Promise<readonly PartLook[] | null> {
    const packed = this.#packed(file, shape.members)
    return lookAtFile({ taken: file, shape, packed }, signal)
  }

  async *read(
    file: TakenFile,
    shape: FilesShape,
    options: Parameters<ReadsFiles['read']>[2],
    signal: AbortSignal,
  ): AsyncGenerator<FilePart> {
    const packed = this.#packed(file, shape.members)
    yield* readFile({ taken: file, shape, packed, ...options }, signal)
  }

  #packed(file: TakenFile, members = '**'): Packed {
    const about = { file: file.name, localPath: file.localPath, bytes: file.bytes, members }
    return { ...about, env: this.#folder.env, limits: this.#limits, drivers: this.#drivers }
  }

  async release(file: TakenFile): Promise<void> {
    await this.#folder.env.files.rm(file.localPath, { force: true })
  }

  async close(): Promise<void> {
    await this.#folder.storage.close()
    const spool = await this.#spool?.catch(() => null)
    if (typeof spool === 'string') await removeSpool(this.#folder.env, spool)
  }
}
