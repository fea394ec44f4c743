import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { fail, isNaruError, systemCodeOf } from '../../../core/errors.ts'
import { resolveInside, syncFolder } from '../../../core/files.ts'
import { readOptions } from '../../../core/implementation.ts'
import { noteDiskFull } from '../../../core/spool.ts'
import type { Listing, Storage, StorageOpening, Stored } from '../contract.ts'
import { checkKey, isSafeKey, keyIn, puttingSuffix } from '../key.ts'
import { walk, type FolderListing } from '../walk.ts'
import { local } from './index.ts'

/** Bytes that one read takes. */
const readBytes = 1 << 20

/** Opens a folder; it need not exist yet to be opened, only to be listed. */
export async function openStorage(given: StorageOpening): Promise<Storage> {
  const options = readOptions(local.options, given.options, given.usedBy)
  return new LocalStorage(given.env, given.usedBy, path.resolve(given.configDir, options.folder))
}

class LocalStorage implements Storage {
  readonly kind = 'local'
  readonly #env: Env
  readonly #usedBy: string
  readonly #root: string
  #closed = false

  constructor(env: Env, usedBy: string, root: string) {
    this.#env = env
    this.#usedBy = usedBy
    this.#root = root
  }

  async list(folder: string, signal: AbortSignal, enter?: (folder: string) => boolean): Promise<Listing> {
    const listOne = (it: string): Promise<FolderListing> => this.#guard(it, signal, () => this.#listOne(it))
    if (folder !== '' && !this.#closed) checkKey(folder, this.#root)
    return walk({ usedBy: this.#usedBy, folder, enter, listOne })
  }

  async #listOne(folder: string): Promise<FolderListing> {
    const at = folder === '' ? this.#root : await this.#pathOf(folder)
    const found = { files: [] as Stored[], refused: [] as string[], folders: [] as string[] }
    for (const entry of await this.#env.files.readdir(at, { withFileTypes: true })) {
      if (entry.name.endsWith(puttingSuffix)) continue
      const key = keyIn(folder, entry.name)
      if (!isSafeKey(key)) found.refused.push(key)
      else if (entry.isDirectory()) found.folders.push(key)
      else {
        const stored = await this.#statInside(key)
        if (stored === 'refused') found.refused.push(key)
        else if (stored !== null) found.files.push(stored)
      }
    }
    return found
  }

  stat(key: string, signal: AbortSignal): Promise<Stored> {
    return this.#guard(key, signal, async () => this.#statOf(key, await this.#pathOf(key)))
  }

  async *get(key: string, from: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const handle = await this.#guard(key, signal, async () => this.#env.files.open(await this.#pathOf(key), 'r'))
    try {
      for (let at = from; ;) {
        signal.throwIfAborted()
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(readBytes), 0, readBytes, at)
        if (bytesRead === 0) return
        at += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
    } finally {
      await handle.close()
    }
  }

  put(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Stored> {
    return this.#place(key, body, signal, (temporary, target) => this.#env.files.rename(temporary, target))
  }

  putIfAbsent(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Stored> {
    // A link is made only where there is no such name yet, of a file that is whole already.
    return this.#place(key, body, signal, async (temporary, target) => {
      try {
        await this.#env.files.link(temporary, target)
      } catch (error) {
        if (systemCodeOf(error) !== 'EEXIST') throw error
        throw fail('STORAGE_EXISTS', { storage: this.#usedBy, key }, { cause: error })
      } finally {
        await this.#env.files.rm(temporary, { force: true })
      }
    })
  }

  /** Writes the body whole and durable under a hidden name, which `reveal` then makes the target. */
  #place(
    key: string,
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    reveal: (temporary: string, target: string) => Promise<void>,
  ): Promise<Stored> {
    return this.#guard(key, signal, async () => {
      const target = await this.#pathOf(key)
      const folder = path.dirname(target)
      const temporary = path.join(folder, `.${this.#env.random.uuid()}${puttingSuffix}`)
      await this.#env.files.mkdir(folder, { recursive: true })
      try {
        await noteDiskFull(target, () => this.#write(temporary, body, signal))
        await reveal(temporary, target)
      } catch (error) {
        await this.#env.files.rm(temporary, { force: true })
        throw error
      }
      await syncFolder(this.#env, folder)
      return this.#statOf(key, target)
    })
  }

  async #write(file: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const handle = await this.#env.files.open(file, 'wx')
    try {
      for await (const chunk of body) {
        signal.throwIfAborted()
        await handle.writeFile(chunk)
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  remove(key: string, signal: AbortSignal): Promise<void> {
    return this.#guard(key, signal, async () => {
      await this.#env.files.rm(await this.#pathOf(key), { force: true })
    })
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  async #pathOf(key: string): Promise<string> {
    // On Windows what follows a colon is a hidden stream of the file before it.
    if (path.sep === '\\' && key.includes(':')) throw fail('PATH_OUTSIDE', { path: key, root: this.#root })
    return resolveInside(this.#env, this.#root, checkKey(key, this.#root))
  }

  async #statOf(key: string, file: string): Promise<Stored> {
    const stat = await this.#env.files.stat(file, { bigint: true })
    if (!stat.isFile()) throw fail('STORAGE_NOT_FOUND', { storage: this.#usedBy, key })
    return { key, bytes: Number(stat.size), modifiedMicros: stat.mtimeNs / 1000n }
  }

  /**
   * `null` for what is no file or went away since it was listed. A link may lead to another file of the folder only: one
   * to a folder could lead in a circle.
   */
  async #statInside(key: string): Promise<Stored | 'refused' | null> {
    try {
      const file = await this.#pathOf(key)
      if ((await this.#env.files.stat(file)).isDirectory()) return 'refused'
      return await this.#statOf(key, file)
    } catch (error) {
      if (isNaruError(error, 'PATH_OUTSIDE')) return 'refused'
      if (isNaruError(error, 'STORAGE_NOT_FOUND') || systemCodeOf(error) === 'ENOENT') return null
      throw error
    }
  }

  async #guard<T>(key: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    if (this.#closed) throw fail('STORAGE_CLOSED', { storage: this.#usedBy })
    signal.throwIfAborted()
    try {
      return await task()
    } catch (error) {
      const code = systemCodeOf(error)
      const storage = this.#usedBy
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') {
        throw fail('STORAGE_NOT_FOUND', { storage, key: key === '' ? this.#root : key }, { cause: error })
      }
      if (code === 'EACCES' || code === 'EPERM') {
        throw fail('STORAGE_DENIED', { storage, key, problem: code }, { cause: error })
      }
      throw error
    }
  }
}
