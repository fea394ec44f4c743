import type * as ssh2 from 'ssh2'
import type { CipherAlgorithm, Client, SFTPWrapper, ServerHostKeyAlgorithm } from 'ssh2'
import { withDeadline, type Env } from '../../../core/env.ts'
import { fail, isNaruError, messageOf } from '../../../core/errors.ts'
import { redact, type Secret } from '../../../core/secret.ts'
import { fingerprintOf, trustedKeys } from './host-keys.ts'

/** The driver; `Client` is its only part that is used. It opens its own sockets. */
export type Driver = typeof ssh2

export interface Server {
  readonly env: Env
  readonly driver: Driver
  readonly usedBy: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: Secret | undefined
  readonly privateKey: Secret | undefined
  readonly passphrase: Secret | undefined
  readonly hostKey: string | undefined
  /** Absolute, or from the login's own folder; `''` is that itself. */
  readonly folder: string
  readonly timeoutMs: number
}

/** Asked for first: the platform computes them, while the driver's first choice is computed in JavaScript. */
const fastCiphers: CipherAlgorithm[] = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com']

/** Codes of answers that the protocol numbers. */
export const status = { eof: 1, missing: 2, denied: 3, failure: 4, tooLongName: 5 } as const

interface Link {
  readonly client: Client
  readonly sftp: SFTPWrapper
  /** What waits for an answer: each is told when the connection is lost. */
  readonly waiting: Set<(problem: Error) => void>
}

type Callback<T> = (error: Error | null | undefined, value: T) => void

/** One SSH connection that all tasks of a storage share: the protocol numbers its requests. Made again when it is lost. */
export class Session {
  readonly server: Server
  #link: Promise<Link> | null = null
  #ready: Link | null = null
  #closed = false

  constructor(server: Server) {
    this.server = server
  }

  /** Runs one exchange within the time limit; `task` gets the callback of the driver's methods. */
  async call<T>(
    key: string,
    what: string,
    signal: AbortSignal,
    task: (sftp: SFTPWrapper, done: Callback<T>) => void,
  ): Promise<T> {
    signal.throwIfAborted()
    const link = await this.#take(signal)
    try {
      return await this.#timed(what, signal, () => answerOf(link, task))
    } catch (error) {
      signal.throwIfAborted()
      // An answer that does not come leaves the connection in doubt: the next task makes a new one.
      if (isNaruError(error, 'STORAGE_TIMEOUT')) this.#drop(link.client)
      throw this.translate(error, key)
    }
  }

  close(): void {
    this.#closed = true
    void this.#link?.then(
      link => link.client.destroy(),
      () => undefined,
    )
    this.#link = null
    this.#ready = null
  }

  /** What the driver threw, in our words: about `key`. */
  translate(error: unknown, key: string): unknown {
    if (isNaruError(error)) return error
    const storage = this.server.usedBy
    const problem = this.#clean(messageOf(error))
    const code = statusOf(error)
    if (code === status.missing) return fail('STORAGE_NOT_FOUND', { storage, key }, { cause: error })
    if (code === status.denied) return fail('STORAGE_DENIED', { storage, key, problem }, { cause: error })
    return fail('STORAGE_BROKEN', { storage, key, problem }, { cause: error })
  }

  address(): string {
    return `${this.server.host}:${this.server.port}`
  }

  async #take(signal: AbortSignal): Promise<Link> {
    if (this.#closed) throw fail('STORAGE_CLOSED', { storage: this.server.usedBy })
    const link = (this.#link ??= this.#connect())
    if (this.#ready !== null) return this.#ready
    // A task that is cancelled does not wait for a login that others need too.
    let onAbort = (): void => {}
    const cancelled = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason as Error)
      signal.addEventListener('abort', onAbort, { once: true })
    })
    try {
      return await Promise.race([link, cancelled])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #connect(): Promise<Link> {
    const { driver, host, port, hostKey, env } = this.server
    const client = new driver.Client()
    let found = ''
    const link = this.#timed('the login', undefined, async () => {
      const trusted = await trustedKeys(env, { hostKey, host, port })
      try {
        return await this.#login(client, {
          algorithms: {
            cipher: { prepend: fastCiphers, append: [], remove: [] },
            ...(trusted.types.length === 0 ? {} : { serverHostKey: trusted.types.flatMap(algorithmsOf) }),
          },
          hostVerifier: (key: Buffer) => {
            const isTrusted = trusted.trusts(key)
            if (!isTrusted) found = fingerprintOf(key)
            return isTrusted
          },
        })
      } catch (error) {
        throw this.#refused(error, found, trusted.expected)
      }
    })
    link.then(
      ready => (this.#link === link ? (this.#ready = ready) : undefined),
      () => this.#drop(client, link),
    )
    return link
  }

  #login(client: Client, verified: Pick<ssh2.ConnectConfig, 'algorithms' | 'hostVerifier'>): Promise<Link> {
    const { host, port, user, password, privateKey, passphrase, timeoutMs, usedBy } = this.server
    const answer = password?.reveal() ?? ''
    return new Promise((resolve, reject) => {
      const waiting: Link['waiting'] = new Set([reject])
      // Listened to as long as the connection lives: an event that nobody hears would end the process.
      const end = (problem: Error): void => {
        const told = this.#closed ? fail('STORAGE_CLOSED', { storage: usedBy }) : problem
        for (const tell of waiting) tell(told)
        waiting.clear()
        if (this.#ready?.client === client) this.#drop(client)
      }
      client.on('error', end)
      client.on('close', () => end(new Error('the connection was closed')))
      client.on('ready', () => {
        // Requests are small: held back until the last answer is confirmed, each would wait 40 ms.
        client.setNoDelay(true)
        client.sftp((error, sftp) => {
          if (error !== undefined) return end(error)
          sftp.on('error', end)
          sftp.on('close', () => client.destroy())
          waiting.delete(reject)
          resolve({ client, sftp, waiting })
        })
      })
      client.on('keyboard-interactive', (_name, _text, _language, prompts, finish) => {
        finish(prompts.map(prompt => (prompt.echo === true ? '' : answer)))
      })
      client.connect({
        host,
        port,
        username: user,
        ...(password === undefined ? {} : { password: answer, tryKeyboard: true }),
        ...(privateKey === undefined ? {} : { privateKey: privateKey.reveal() }),
        ...(passphrase === undefined ? {} : { passphrase: passphrase.reveal() }),
        readyTimeout: timeoutMs,
        keepaliveInterval: timeoutMs,
        ...verified,
      })
    })
  }

  #refused(error: unknown, found: string, expected: string): unknown {
    const { usedBy, user } = this.server
    const address = this.address()
    if (isNaruError(error)) return error
    if (found !== '') return fail('STORAGE_HOST_KEY', { storage: usedBy, address, found, expected }, { cause: error })
    const problem = this.#clean(messageOf(error))
    const level = error instanceof Error && 'level' in error ? error.level : undefined
    if (level === 'client-timeout') return this.#late('the login', error)
    const isLogin = level === 'client-authentication' || /privateKey|passphrase|encrypted/i.test(problem)
    if (isLogin) return fail('STORAGE_LOGIN', { storage: usedBy, user, problem }, { cause: error })
    return fail('STORAGE_UNREACHABLE', { storage: usedBy, address, problem }, { cause: error })
  }

  async #timed<T>(what: string, signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
    const { env, timeoutMs } = this.server
    try {
      return await withDeadline(env, { what, ms: timeoutMs, signal }, task)
    } catch (error) {
      if (isNaruError(error, 'DEADLINE')) throw this.#late(what, error)
      throw error
    }
  }

  #late(what: string, cause: unknown): Error {
    const { usedBy, timeoutMs } = this.server
    return fail('STORAGE_TIMEOUT', { storage: usedBy, address: this.address(), what, ms: timeoutMs }, { cause })
  }

  #drop(client: Client, link?: Promise<Link>): void {
    if (link === undefined ? this.#ready?.client === client : this.#link === link) {
      this.#link = null
      this.#ready = null
    }
    client.destroy()
  }

  /** A server's words on one line and without the password. */
  #clean(text: string): string {
    const { password, passphrase } = this.server
    const secrets = [password, passphrase].filter(it => it !== undefined)
    return redact(text, secrets)
      .replaceAll(/\p{Cc}+/gu, ' ')
      .slice(0, 300)
  }
}

/** One exchange: ends with the answer, or when the connection is lost. */
function answerOf<T>(link: Link, task: (sftp: SFTPWrapper, done: Callback<T>) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    link.waiting.add(reject)
    task(link.sftp, (error, value) => {
      link.waiting.delete(reject)
      if (error === undefined || error === null) resolve(value)
      else reject(error)
    })
  })
}

/** The number of an answer of the server; `null` when the connection itself failed. */
export function statusOf(error: unknown): number | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : null
}

/** One type of key signs in several ways. */
function algorithmsOf(type: string): readonly ServerHostKeyAlgorithm[] {
  return (type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]) as readonly ServerHostKeyAlgorithm[]
}
