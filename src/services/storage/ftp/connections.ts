import type * as basicFtp from 'basic-ftp'
import type { Client } from 'basic-ftp'
import { withDeadline, type Env } from '../../../core/env.ts'
import { fail, isNaruError, messageOf, systemCodeOf } from '../../../core/errors.ts'
import { redact, type Secret } from '../../../core/secret.ts'
import type { NameCodec } from './names.ts'

/** Connections to one server that are open at once; a further task waits. */
const connectionsMax = 4

/** Largest folder listing that is read: about 150,000 files. A server without end stops here. */
const listingBytesMax = 16 * 1024 * 1024

/** The driver; `Client` is its only part that is used. It opens its own sockets. */
export type Driver = typeof basicFtp

export interface Server {
  readonly env: Env
  readonly driver: Driver
  readonly usedBy: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: Secret
  /** Folder below the login's own; `''` is that itself. */
  readonly folder: string
  readonly timeoutMs: number
  /** `explicit` asks for TLS after the greeting, `implicit` begins with it; neither ever goes on without. */
  readonly tls: 'explicit' | 'implicit' | 'none'
  /** PEM of the authorities that are trusted; those of Node when absent. */
  readonly ca: string | undefined
  readonly names: NameCodec
}

/** Connections of one storage. FTP does one thing at a time on each, so every task takes its own and gives it back. */
export class Connections {
  readonly server: Server
  readonly #idle: Client[] = []
  readonly #open = new Set<Client>()
  readonly #waiting: (() => void)[] = []
  #taken = 0
  #closed = false

  constructor(server: Server) {
    this.server = server
  }

  /** A connection that answers: one of before if it still does, otherwise a new one. */
  async take(signal: AbortSignal): Promise<Client> {
    this.#refuseClosed()
    signal.throwIfAborted()
    if (this.#taken >= connectionsMax) await new Promise<void>(resolve => this.#waiting.push(resolve))
    else this.#taken++
    try {
      this.#refuseClosed()
      return (await this.#reuse(signal)) ?? (await this.#connect(signal))
    } catch (error) {
      this.#leave()
      throw error
    }
  }

  /** Gives a connection back; one that is in the middle of something is closed. */
  give(client: Client, state: 'clean' | 'broken'): void {
    if (state === 'broken' || this.#closed) this.#drop(client)
    else this.#idle.push(client)
    this.#leave()
  }

  /** Runs one short exchange within the time limit. */
  async exchange<T>(key: string, what: string, signal: AbortSignal, task: (client: Client) => Promise<T>): Promise<T> {
    const client = await this.take(signal)
    let state: 'clean' | 'broken' = 'broken'
    try {
      const result = await this.#timed(client, what, signal, () => task(client))
      state = 'clean'
      return result
    } catch (error) {
      // A refusal is an answer: the connection itself is well.
      if (replyOf(error) !== null) state = 'clean'
      throw this.translate(error, key, what)
    } finally {
      this.give(client, state)
    }
  }

  close(): void {
    this.#closed = true
    for (const client of this.#open) this.#drop(client)
    for (const wake of this.#waiting.splice(0)) wake()
  }

  async #reuse(signal: AbortSignal): Promise<Client | null> {
    for (let client = this.#idle.pop(); client !== undefined; client = this.#idle.pop()) {
      const candidate = client
      try {
        // Servers cut idle connections: asked first, because a transfer that fails at once looks like a broken one.
        if (!candidate.closed) await this.#timed(candidate, 'a greeting', signal, () => candidate.send('NOOP'))
        if (!candidate.closed) return candidate
      } catch {
        signal.throwIfAborted()
      }
      this.#drop(candidate)
    }
    return null
  }

  async #connect(signal: AbortSignal): Promise<Client> {
    const { server } = this
    const client = new server.driver.Client(server.timeoutMs, { maxListingBytes: listingBytesMax })
    // Names travel as bytes, one for each character: the codec of the server's encoding makes text of them.
    client.ftp.encoding = 'latin1'
    this.#open.add(client)
    try {
      await this.#timed(client, 'the login', signal, () => this.#login(client))
      return client
    } catch (error) {
      this.#drop(client)
      throw error
    }
  }

  async #login(client: Client): Promise<void> {
    const { host, port, user, password, folder, names, tls, ca } = this.server
    // Made anew for each connection: the driver keeps what it learns in them, so that data connections resume the session.
    const secureOptions = {
      host,
      ...(isName(host) ? { servername: host } : {}),
      ...(ca === undefined ? {} : { ca }),
    }
    try {
      await client.access({
        host,
        port,
        user: onWire(names, user),
        password: onWire(names, password.reveal()),
        secure: tls === 'implicit' ? 'implicit' : tls === 'explicit',
        secureOptions,
      })
      // The driver asks every server for UTF-8; one that was declared to write otherwise must go on as it does.
      if (names.encoding !== 'utf-8') await client.sendIgnoringError('OPTS UTF8 OFF')
    } catch (error) {
      throw this.#refusedLogin(client, error)
    }
    try {
      if (folder !== '') await client.cd(names.toWire(folder))
    } catch (error) {
      throw this.translate(error, folder, 'the change of folder')
    }
  }

  #refusedLogin(client: Client, error: unknown): unknown {
    const { user, usedBy, tls } = this.server
    const problem = this.clean(messageOf(error))
    const reply = replyOf(error)
    if (isTimeout(error)) return this.#late('the login', error)
    // A server without TLS refuses the word; one that refuses it after the greeting is not spoken to in the clear.
    if (tls !== 'none' && (isTlsFault(error) || (reply !== null && !client.ftp.hasTLS))) {
      return fail('STORAGE_TLS', { storage: usedBy, address: this.address(), problem }, { cause: error })
    }
    if (reply === 530 || reply === 430)
      return fail('STORAGE_LOGIN', { storage: usedBy, user, problem }, { cause: error })
    return fail('STORAGE_UNREACHABLE', { storage: usedBy, address: this.address(), problem }, { cause: error })
  }

  /** The driver limits silence; a server that trickles is ended here, by closing the connection under the task. */
  async #timed<T>(client: Client, what: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    const { env, timeoutMs } = this.server
    try {
      return await withDeadline(env, { what, ms: timeoutMs, signal }, async limit => {
        const onLimit = (): void => client.close()
        limit.addEventListener('abort', onLimit, { once: true })
        try {
          return await task()
        } finally {
          limit.removeEventListener('abort', onLimit)
        }
      })
    } catch (error) {
      if (isNaruError(error, 'DEADLINE')) throw this.#late(what, error)
      throw error
    }
  }

  /** What the driver threw, in our words: about `key`, while doing `what`. */
  translate(error: unknown, key: string, what: string): unknown {
    if (isNaruError(error)) return error
    if (isTimeout(error)) return this.#late(what, error)
    const storage = this.server.usedBy
    const problem = this.clean(messageOf(error))
    const reply = replyOf(error)
    if (reply === null) return fail('STORAGE_BROKEN', { storage, key, problem }, { cause: error })
    // 550 is all that FTP has for both, and servers use others too; only their words tell them apart.
    const denied = reply === 530 || reply === 532 || /permission|denied|not allowed|EACCES|EPERM/i.test(problem)
    if (denied) return fail('STORAGE_DENIED', { storage, key, problem }, { cause: error })
    const missing = reply === 550 || reply === 551 || /no such|not found|ENOENT/i.test(problem)
    if (missing) return fail('STORAGE_NOT_FOUND', { storage, key }, { cause: error })
    return fail('STORAGE_BROKEN', { storage, key, problem }, { cause: error })
  }

  address(): string {
    return `${this.server.host}:${this.server.port}`
  }

  /** A server's words on one line and without the password, which some servers repeat. */
  clean(text: string): string {
    return redact(this.server.names.show(text), [this.server.password])
      .replaceAll(/\p{Cc}+/gu, ' ')
      .slice(0, 300)
  }

  #late(what: string, cause: unknown): Error {
    const { usedBy, timeoutMs } = this.server
    return fail('STORAGE_TIMEOUT', { storage: usedBy, address: this.address(), what, ms: timeoutMs }, { cause })
  }

  #drop(client: Client): void {
    this.#open.delete(client)
    client.close()
  }

  #leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#taken--
    else next()
  }

  #refuseClosed(): void {
    if (this.#closed) throw fail('STORAGE_CLOSED', { storage: this.server.usedBy })
  }
}

/** The reply code of an answer such as `550 No such file`; `null` when the connection itself failed. */
export function replyOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('code' in error)) return null
  return typeof error.code === 'number' && error.code >= 400 ? error.code : null
}

/** A word of the login: in UTF-8 when the encoding of names lacks a character of it. */
function onWire(names: NameCodec, word: string): string {
  return names.holds(word) ? names.toWire(word) : Buffer.from(word).toString('latin1')
}

/** False for an IP address, which a server is never asked for by name. */
function isName(host: string): boolean {
  return !host.includes(':') && !/^[\d.]+$/.test(host)
}

/** A certificate that is not trusted or of another host, or a server that speaks no TLS. */
function isTlsFault(error: unknown): boolean {
  return /CERT|ERR_TLS|ERR_SSL|EPROTO|SELF_SIGNED|UNABLE_TO_|HOSTNAME/.test(systemCodeOf(error) ?? messageOf(error))
}

function isTimeout(error: unknown): boolean {
  // The driver gives its own timeouts no code.
  return systemCodeOf(error) === 'ETIMEDOUT' || /^Timeout\b/.test(messageOf(error))
}
