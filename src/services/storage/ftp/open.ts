import { PassThrough, Readable } from 'node:stream'
import type { Client, FileInfo } from 'basic-ftp'
import { fail } from '../../../core/errors.ts'
import { durationMs, loadDriver, readOptions } from '../../../core/implementation.ts'
import { Secret } from '../../../core/secret.ts'
import type { Listing, OpenStorage, Storage, StorageOpening, Stored } from '../contract.ts'
import { parentsOf, watch } from '../body.ts'
import { checkKey, isSafeKey, keyIn, puttingKey, puttingSuffix } from '../key.ts'
import { walk, type FolderListing } from '../walk.ts'
import { Connections, replyOf, type Driver, type Server } from './connections.ts'
import { ftp } from './index.ts'
import { nameCodec, type NameCodec } from './names.ts'

/** Bytes of a download that wait for a slow reader. */
const bufferBytes = 1 << 20

/** Opens a folder of an FTP server; the connection is made by the first call. */
export const openStorage: OpenStorage = async given => {
  const driver = await loadDriver<Driver>('basic-ftp', {
    service: 'storage',
    kind: 'ftp',
    from: given.configDir,
    own: () => import('basic-ftp'),
  })
  return new FtpStorage(new Connections(readServer(given, driver)))
}

function readServer(given: StorageOpening, driver: Driver): Server {
  const options = readOptions(ftp.options, given.options, given.usedBy)
  const url = parseUrl(given.secret(options.url, `${given.usedBy}, option "url"`).reveal())
  if (url === null) {
    const problem = 'must hold an address such as ftp://user:password@host:21/folder or ftps://…'
    throw fail('OPTION_INVALID', { where: given.usedBy, option: 'url', problem })
  }
  const folder = decodeURIComponent(url.pathname).replace(/^\/+|\/+$/g, '')
  if (folder !== '') checkKey(folder, '/')
  return {
    env: given.env,
    driver,
    usedBy: given.usedBy,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: portOf(url),
    tls: tlsOf(url),
    ca: options.ca === undefined ? undefined : given.secret(options.ca, `${given.usedBy}, option "ca"`).reveal(),
    names: codecOf(options.nameEncoding ?? 'utf-8', given.usedBy),
    user: url.username === '' ? 'anonymous' : decodeURIComponent(url.username),
    password: new Secret(decodeURIComponent(url.password)),
    folder,
    timeoutMs: durationMs(options.timeout) ?? 30_000,
  }
}

function parseUrl(text: string): URL | null {
  if (!URL.canParse(text)) return null
  const url = new URL(text)
  return /^(?:ftp|ftps|ftps-implicit):$/.test(url.protocol) && url.hostname !== '' ? url : null
}

function tlsOf(url: URL): Server['tls'] {
  if (url.protocol === 'ftp:') return 'none'
  return url.protocol === 'ftps-implicit:' || url.port === '990' ? 'implicit' : 'explicit'
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'ftps-implicit:' ? 990 : 21
}

function codecOf(encoding: string, where: string): NameCodec {
  try {
    return nameCodec(encoding)
  } catch (cause) {
    const problem = `"${encoding}" is no encoding of names; such are utf-8, cp949, shift_jis, windows-1252`
    throw fail('OPTION_INVALID', { where, option: 'nameEncoding', problem }, { cause })
  }
}

interface FolderParts {
  readonly files: Listing['files'][number][]
  readonly refused: string[]
}

class FtpStorage implements Storage {
  readonly kind = 'ftp'
  readonly #connections: Connections
  #closed = false

  constructor(connections: Connections) {
    this.#connections = connections
  }

  list(folder: string, signal: AbortSignal, enter?: (folder: string) => boolean): Promise<Listing> {
    if (folder !== '') this.#check(folder)
    const { usedBy } = this.#connections.server
    return walk({ usedBy, folder, enter, listOne: it => this.#listOne(it, signal) })
  }

  async #listOne(folder: string, signal: AbortSignal): Promise<FolderListing> {
    return this.#connections.exchange(folder, 'a listing', signal, async client => {
      const found = { files: [] as Listing['files'][number][], refused: [] as string[], folders: [] as string[] }
      const at = folder === '' ? '' : this.#wire(folder)
      const entries = await client.list(at)
      if (entries.length === 0 && folder !== '') await proveFolder(client, at)
      for (const entry of entries) {
        if (entry.name === '.' || entry.name === '..' || entry.name.endsWith(puttingSuffix)) continue
        const { names } = this.#connections.server
        const name = names.toText(entry.name)
        const key = keyIn(folder, name ?? names.show(entry.name))
        if (name === null || name.includes('/') || !isSafeKey(key)) found.refused.push(key)
        else if (entry.isDirectory) found.folders.push(key)
        else await this.#addFile(client, { ...found, key, entry })
      }
      return withoutTwins(found)
    })
  }

  async #addFile(client: Client, given: { key: string; entry: FileInfo } & FolderParts): Promise<void> {
    const { key, entry, files, refused } = given
    // Times in the old listing format have no zone and no year: only the machine-readable one is believed.
    const modifiedMicros = entry.modifiedAt === undefined ? null : BigInt(entry.modifiedAt.getTime()) * 1000n
    if (entry.isFile) files.push({ key, bytes: entry.size, modifiedMicros })
    if (!entry.isSymbolicLink) return
    // What a link leads to is the server's affair; it is a file when it has a size.
    const size = /^213 +(\d{1,16})\s*$/.exec((await client.sendIgnoringError(`SIZE ${this.#wire(key)}`)).message)
    if (size === null) refused.push(key)
    else files.push({ key, bytes: Number(size[1]), modifiedMicros: null })
  }

  stat(key: string, signal: AbortSignal): Promise<Stored> {
    this.#check(key)
    return this.#connections.exchange(key, 'a question for the size', signal, async client => ({
      key,
      bytes: await this.#sizeOf(client, key),
      modifiedMicros: await modifiedMicros(client, this.#wire(key)),
    }))
  }

  /** Not every server knows SIZE, or answers it for an empty file: the listing of the folder tells then. */
  async #sizeOf(client: Client, key: string): Promise<number> {
    const reply = await client.sendIgnoringError(`SIZE ${this.#wire(key)}`)
    const size = /^213 +(\d{1,16})\s*$/.exec(reply.message)
    if (size !== null) return Number(size[1])
    const cut = key.lastIndexOf('/')
    const isUnknown = reply.code < 400 || [500, 502, 504].includes(reply.code)
    const entries = isUnknown ? await client.list(cut < 0 ? '' : this.#wire(key.slice(0, cut))) : []
    const name = this.#connections.server.names.toWire(key.slice(cut + 1))
    const entry = entries.find(it => it.isFile && it.name === name)
    if (entry !== undefined) return entry.size
    throw Object.assign(new Error(reply.message), { code: isUnknown ? 550 : reply.code })
  }

  async *get(key: string, from: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    this.#check(key)
    const client = await this.#connections.take(signal)
    const onAbort = (): void => client.close()
    signal.addEventListener('abort', onAbort, { once: true })
    const body = new PassThrough({ highWaterMark: bufferBytes })
    const transfer = client.downloadTo(body, this.#wire(key), from)
    // Awaited below; a reader that stops early never gets there.
    transfer.catch((error: unknown) => body.destroy(error as Error))
    let state: 'clean' | 'broken' = 'broken'
    try {
      yield* body
      // The end of the data alone proves nothing: a cut connection looks the same. The server's last word does.
      await transfer
      state = 'clean'
    } catch (error) {
      signal.throwIfAborted()
      if (replyOf(error) !== null) state = 'clean'
      throw this.#connections.translate(error, key, 'the next bytes')
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#connections.give(client, state)
    }
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Stored> {
    this.#check(key)
    const temporary = puttingKey(key, this.#connections.server.env.random.uuid())
    try {
      await this.#upload(temporary, body, signal)
      await this.#connections.exchange(key, 'a rename', signal, client =>
        client.rename(this.#wire(temporary), this.#wire(key)),
      )
    } catch (error) {
      // Hidden by its name in any case; removed when the server still answers, also after a cancelled put.
      if (!this.#closed) await this.remove(temporary, new AbortController().signal).catch(() => undefined)
      throw error
    }
    return this.stat(key, signal)
  }

  async #upload(key: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const client = await this.#connections.take(signal)
    const onAbort = (): void => client.close()
    signal.addEventListener('abort', onAbort, { once: true })
    const watched = watch(body)
    let state: 'clean' | 'broken' = 'broken'
    try {
      for (const folder of parentsOf(key)) await client.sendIgnoringError(`MKD ${this.#wire(folder)}`)
      await client.uploadFrom(Readable.from(watched.body, { objectMode: false }), this.#wire(key))
      state = 'clean'
    } catch (error) {
      signal.throwIfAborted()
      if (watched.failure() !== undefined) throw watched.failure()
      if (replyOf(error) !== null) state = 'clean'
      throw this.#connections.translate(error, key, 'an upload')
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#connections.give(client, state)
    }
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    this.#check(key)
    await this.#connections.exchange(key, 'a removal', signal, async client => {
      const reply = await client.remove(this.#wire(key), true)
      if (reply.code < 400) return
      // An answer of 550 says either; the file that is gone has no size.
      const still = await client.sendIgnoringError(`SIZE ${this.#wire(key)}`)
      if (still.code < 400) throw Object.assign(new Error(reply.message), { code: 532 })
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#connections.close()
  }

  #wire(key: string): string {
    // Servers take a name that begins with `-` for an option, and put an account's folder for `~`.
    return this.#connections.server.names.toWire(/^[-~]/.test(key) ? `./${key}` : key)
  }

  #check(key: string): void {
    if (this.#closed) throw fail('STORAGE_CLOSED', { storage: this.#connections.server.usedBy })
    checkKey(key, `ftp://${this.#connections.address()}`)
    if (!this.#connections.server.names.holds(key)) {
      throw fail('PATH_OUTSIDE', { path: key, root: `names in ${this.#connections.server.names.encoding}` })
    }
  }
}

/** A name with a line break in it looks like a shorter one; where that is there too, nobody can tell them apart. */
function withoutTwins(found: FolderParts & { readonly folders: string[] }): FolderListing {
  const seen = new Set<string>()
  const twins = new Set(found.files.flatMap(({ key }) => (seen.size === seen.add(key).size ? [key] : [])))
  const files = found.files.filter(file => !twins.has(file.key))
  return { files, refused: [...found.refused, ...twins], folders: found.folders }
}

/** Some servers list a folder that is not there as an empty one; entering it tells. */
async function proveFolder(client: Client, folder: string): Promise<void> {
  const home = await client.pwd()
  await client.cd(folder)
  await client.cd(home)
}

/** The time of a file; 0 where the server does not tell. */
async function modifiedMicros(client: Client, key: string): Promise<bigint> {
  const reply = await client.sendIgnoringError(`MDTM ${key}`)
  const match = /^213 +(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{1,6}))?/.exec(reply.message)
  if (match === null) return 0n
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const seconds = Date.UTC(year, month - 1, day, hour, minute, second) / 1000
  return BigInt(seconds) * 1_000_000n + BigInt((match[7] ?? '').padEnd(6, '0'))
}
