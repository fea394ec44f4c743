import type { FileEntryWithStats, SFTPWrapper, Stats } from 'ssh2'
import { fail, isNaruError } from '../../../core/errors.ts'
import { durationMs, loadDriver, readOptions } from '../../../core/implementation.ts'
import { Secret, type SecretRef } from '../../../core/secret.ts'
import { parentsOf, watch } from '../body.ts'
import type { Listing, OpenStorage, Storage, StorageOpening, Stored } from '../contract.ts'
import { checkKey, isSafeKey, keyIn, puttingKey, puttingSuffix } from '../key.ts'
import { listedMax, walk, type FolderListing } from '../walk.ts'
import { sftp as description } from './index.ts'
import { Session, status, statusOf, type Driver, type Server } from './session.ts'
import { readFrom, writeAll } from './transfer.ts'

/** Opens a folder of an SSH server; the connection is made by the first call. */
export const openStorage: OpenStorage = async given => {
  const driver = await loadDriver<Driver>('ssh2', {
    service: 'storage',
    kind: 'sftp',
    from: given.configDir,
    own: () => import('ssh2'),
  })
  return new SftpStorage(new Session(readServer(given, driver)))
}

function readServer(given: StorageOpening, driver: Driver): Server {
  const { usedBy } = given
  const options = readOptions(description.options, given.options, usedBy)
  const url = parseUrl(given.secret(options.url, `${usedBy}, option "url"`).reveal())
  if (url === null) {
    const problem = 'must hold an address such as sftp://user:password@host:22/folder, with a user'
    throw fail('OPTION_INVALID', { where: usedBy, option: 'url', problem })
  }
  const reveal = (name: string, ref: SecretRef | undefined): Secret | undefined =>
    ref === undefined ? undefined : given.secret(ref, `${usedBy}, option "${name}"`)
  return {
    env: given.env,
    driver,
    usedBy,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 22 : Number(url.port),
    user: decodeURIComponent(url.username),
    password: url.password === '' ? undefined : new Secret(decodeURIComponent(url.password)),
    privateKey: reveal('privateKey', options.privateKey),
    passphrase: reveal('passphrase', options.passphrase),
    hostKey: options.hostKey,
    folder: folderOf(decodeURIComponent(url.pathname)),
    timeoutMs: durationMs(options.timeout) ?? 30_000,
  }
}

function parseUrl(text: string): URL | null {
  if (!URL.canParse(text)) return null
  const url = new URL(text)
  return url.protocol === 'sftp:' && url.hostname !== '' && url.username !== '' ? url : null
}

/** As curl reads such an address: the path is absolute, `/~/` is the login's own folder. */
function folderOf(pathname: string): string {
  const below = pathname.replace(/^\/~(?:\/|$)/, '').replace(/\/+$/, '')
  const relative = below.replace(/^\/+/, '')
  if (relative !== '') checkKey(relative, '/')
  return pathname.startsWith('/~') ? relative : relative === '' ? '' : `/${relative}`
}

class SftpStorage implements Storage {
  readonly kind = 'sftp'
  readonly #session: Session
  #closed = false

  constructor(session: Session) {
    this.#session = session
  }

  list(folder: string, signal: AbortSignal, enter?: (folder: string) => boolean): Promise<Listing> {
    if (folder !== '') this.#check(folder)
    this.#refuseClosed()
    const { usedBy } = this.#session.server
    return walk({ usedBy, folder, enter, listOne: it => this.#listOne(it, signal) })
  }

  async #listOne(folder: string, signal: AbortSignal): Promise<FolderListing> {
    const found = { files: [] as Stored[], refused: [] as string[], folders: [] as string[] }
    for (const { filename, attrs } of await this.#entriesOf(folder, signal)) {
      if (filename === '.' || filename === '..' || filename.endsWith(puttingSuffix)) continue
      const key = keyIn(folder, filename)
      // The driver decodes names as UTF-8: what is none stands as U+FFFD, and no file would be found under that.
      const isSafe = !filename.includes('/') && !filename.includes('\ufffd') && isSafeKey(key)
      if (!isSafe) found.refused.push(key)
      else if (attrs.isDirectory()) found.folders.push(key)
      else if (attrs.isFile()) found.files.push(storedOf(key, attrs))
      else if (attrs.isSymbolicLink()) {
        const target = await this.#statOrNull(key, signal)
        if (target === null) found.refused.push(key)
        else found.files.push(target)
      }
    }
    return found
  }

  async #entriesOf(folder: string, signal: AbortSignal): Promise<readonly FileEntryWithStats[]> {
    const what = 'a listing'
    const session = this.#session
    const at = folder === '' ? session.server.folder || '.' : this.#path(folder)
    const handle = await session.call<Buffer>(at, what, signal, (sftp, done) => sftp.opendir(at, done))
    const all: FileEntryWithStats[] = []
    try {
      for (;;) {
        const next = await session.call<readonly FileEntryWithStats[] | null>(at, what, signal, (sftp, done) =>
          sftp.readdir(handle, (error, list) =>
            statusOf(error) === status.eof ? done(undefined, null) : done(error, list),
          ),
        )
        if (next === null) return all
        all.push(...next)
        if (all.length > listedMax) {
          throw fail('STORAGE_TOO_MANY', { storage: session.server.usedBy, folder, names: listedMax })
        }
      }
    } finally {
      await this.#closeHandle(handle)
    }
  }

  async stat(key: string, signal: AbortSignal): Promise<Stored> {
    this.#check(key)
    const attrs = await this.#session.call<Stats>(key, 'a question for the size', signal, (sftp, done) =>
      sftp.stat(this.#path(key), done),
    )
    if (!attrs.isFile()) throw fail('STORAGE_NOT_FOUND', { storage: this.#session.server.usedBy, key })
    return storedOf(key, attrs)
  }

  async *get(key: string, from: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    await this.stat(key, signal)
    const handle = await this.#open(key, 'r', signal)
    try {
      yield* readFrom(this.#session, { key, handle, from }, signal)
    } finally {
      await this.#closeHandle(handle)
    }
  }

  put(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Stored> {
    return this.#place(key, body, signal, temporary =>
      this.#session.call<void>(key, 'a rename', signal, (sftp, done) => {
        needExtension(() => sftp.ext_openssh_rename(this.#path(temporary), this.#path(key), ended(done)))
      }),
    )
  }

  putIfAbsent(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Stored> {
    return this.#place(key, body, signal, async temporary => {
      try {
        // A link is made only where there is no such name yet, of a file that is whole already.
        await this.#session.call<void>(key, 'a link', signal, (sftp, done) => {
          needExtension(() => sftp.ext_openssh_hardlink(this.#path(temporary), this.#path(key), ended(done)))
        })
      } catch (error) {
        // The protocol has no answer for "is there already".
        if (!isNaruError(error, 'STORAGE_BROKEN') || (await this.#statOrNull(key, signal)) === null) throw error
        throw fail('STORAGE_EXISTS', { storage: this.#session.server.usedBy, key }, { cause: error })
      }
      await this.remove(temporary, signal)
    })
  }

  /** Writes the body whole and durable under a hidden name, which `reveal` then makes the target. */
  async #place(
    key: string,
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    reveal: (temporary: string) => Promise<void>,
  ): Promise<Stored> {
    this.#check(key)
    const temporary = puttingKey(key, this.#session.server.env.random.uuid())
    const watched = watch(body)
    try {
      for (const folder of parentsOf(key)) await this.#makeFolder(folder, signal)
      const handle = await this.#open(temporary, 'wx', signal)
      try {
        await writeAll(this.#session, { key, handle, body: watched.body }, signal)
      } finally {
        await this.#closeHandle(handle)
      }
      await reveal(temporary)
    } catch (error) {
      // Hidden by its name in any case; removed when the server still answers, also after a cancelled put.
      if (!this.#closed) await this.remove(temporary, new AbortController().signal).catch(() => undefined)
      throw watched.failure() ?? error
    }
    return this.stat(key, signal)
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    this.#check(key)
    try {
      await this.#session.call<void>(key, 'a removal', signal, (sftp, done) =>
        sftp.unlink(this.#path(key), ended(done)),
      )
    } catch (error) {
      if (!isNaruError(error, 'STORAGE_NOT_FOUND')) throw error
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#session.close()
  }

  #open(key: string, flags: 'r' | 'wx', signal: AbortSignal): Promise<Buffer> {
    return this.#session.call<Buffer>(key, 'the opening of a file', signal, (sftp, done) =>
      sftp.open(this.#path(key), flags, done),
    )
  }

  /** Gives a handle back; one that the server does not take back goes with the connection. */
  async #closeHandle(handle: Buffer): Promise<void> {
    if (this.#closed) return
    const task = (sftp: SFTPWrapper, done: (error: Error | null | undefined, value: void) => void): void =>
      sftp.close(handle, ended(done))
    await this.#session
      .call<void>('', 'the closing of a file', new AbortController().signal, task)
      .catch(() => undefined)
  }

  async #makeFolder(folder: string, signal: AbortSignal): Promise<void> {
    try {
      const path = this.#path(folder)
      await this.#session.call<void>(folder, 'a new folder', signal, (sftp, done) => sftp.mkdir(path, ended(done)))
    } catch (error) {
      // "Failure" is all that the protocol has for a folder that is there; the file itself will tell otherwise.
      if (!isNaruError(error, 'STORAGE_BROKEN')) throw error
    }
  }

  async #statOrNull(key: string, signal: AbortSignal): Promise<Stored | null> {
    try {
      return await this.stat(key, signal)
    } catch (error) {
      if (isNaruError(error, 'STORAGE_NOT_FOUND')) return null
      throw error
    }
  }

  #path(key: string): string {
    const { folder } = this.#session.server
    return folder === '' ? key : `${folder}/${key}`
  }

  #check(key: string): void {
    this.#refuseClosed()
    checkKey(key, `sftp://${this.#session.address()}`)
  }

  #refuseClosed(): void {
    if (this.#closed) throw fail('STORAGE_CLOSED', { storage: this.#session.server.usedBy })
  }
}

function storedOf(key: string, attrs: Stats): Stored {
  return { key, bytes: attrs.size, modifiedMicros: BigInt(attrs.mtime) * 1_000_000n }
}

/** The driver's callbacks without a value. */
function ended(done: (error: Error | null | undefined, value: void) => void): (error?: Error | null) => void {
  return error => done(error, undefined)
}

/** The driver throws at once when the server did not offer an extension. */
function needExtension(send: () => void): void {
  try {
    send()
  } catch (cause) {
    throw new Error('the server cannot replace or link files at once (posix-rename, hardlink of OpenSSH)', { cause })
  }
}
