import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type * as yauzl from 'yauzl'
import { fail } from '../../../core/errors.ts'
import { durationMs, loadDriver, readOptions } from '../../../core/implementation.ts'
import { makeSpool, removeSpool } from '../../../core/spool.ts'
import { openStorage, type StorageKind } from '../../storage/registry.ts'
import type { FilePart, Adapter, AdapterOpening, FilesShape, OpenAdapter, ReadsFiles, TakenFile } from '../contract.ts'
import { files } from './index.ts'
import type { FileLimits } from './limits.ts'
import { listFolder, type Folder } from './list.ts'
import type { Drivers } from './packed.ts'
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
  return new FilesAdapter(folder, { stateDir: given.stateDir, limits: options, drivers: driversOf(given.configDir) })
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

interface Where {
  readonly folder: string | undefined
  readonly url: Parameters<AdapterOpening['secret']>[0] | undefined
  readonly timeout: string
}

function chooseStorage(
  given: AdapterOpening,
  { folder, url, timeout }: Where,
): { readonly kind: StorageKind; readonly options: Readonly<Record<string, unknown>> } {
  const where = `source "${given.source}"`
  if ((folder === undefined) === (url === undefined)) {
    throw fail('OPTION_INVALID', { where, option: 'folder', problem: 'or "url" must be given, one of the two' })
  }
  if (folder !== undefined) return { kind: 'local', options: { folder } }
  const address = given.secret(url as NonNullable<typeof url>, `${where}, option "url"`).reveal()
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(address)?.[1]?.toLowerCase()
  switch (scheme) {
    case undefined:
      return { kind: 'local', options: { folder: address } }
    case 'file':
      return { kind: 'local', options: { folder: fileURLToPath(address) } }
    case 'ftp':
      return { kind: 'ftp', options: { url, timeout } }
    default:
      throw fail('OPTION_INVALID', {
        where,
        option: 'url',
        problem: `has the scheme ${scheme}; known are ftp and file`,
      })
  }
}

class FilesAdapter implements Adapter, ReadsFiles {
  readonly kind = 'files'
  readonly files = this
  readonly #folder: Folder
  readonly #stateDir: string
  readonly #limits: FileLimits
  readonly #drivers: Drivers
  #spool: Promise<string> | null = null
  #taken = 0

  constructor(
    folder: Folder,
    given: { readonly stateDir: string; readonly limits: FileLimits; readonly drivers: Drivers },
  ) {
    this.#folder = folder
    this.#stateDir = given.stateDir
    this.#limits = given.limits
    this.#drivers = given.drivers
  }

  list(shape: FilesShape, signal: AbortSignal): ReturnType<ReadsFiles['list']> {
    return listFolder(this.#folder, shape, signal)
  }

  async take(file: Parameters<ReadsFiles['take']>[0], shape: FilesShape, signal: AbortSignal): Promise<TakenFile> {
    this.#spool ??= makeSpool(this.#folder.env, this.#stateDir)
    const spool = await this.#spool
    return takeFile(this.#folder, { file, files: shape, spool, number: ++this.#taken }, signal)
  }

  async *read(
    file: TakenFile,
    shape: FilesShape,
    options: Parameters<ReadsFiles['read']>[2],
    signal: AbortSignal,
  ): AsyncGenerator<FilePart> {
    const { env } = this.#folder
    const members = shape.members ?? '**'
    const about = { file: file.name, localPath: file.localPath, bytes: file.bytes, members }
    const packed = { ...about, env, limits: this.#limits, drivers: this.#drivers }
    yield* readFile({ taken: file, shape, packed, spool: path.dirname(file.localPath), ...options }, signal)
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
