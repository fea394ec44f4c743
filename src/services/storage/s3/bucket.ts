import type * as sdk from '@aws-sdk/client-s3'
import type { S3Client, S3ClientConfig, ServiceInputTypes, ServiceOutputTypes } from '@aws-sdk/client-s3'
import { withDeadline, type Env } from '../../../core/env.ts'
import { fail, isNaruError, messageOf, systemCodeOf } from '../../../core/errors.ts'
import { redact, type Secret } from '../../../core/secret.ts'

/** The driver. It opens its own sockets. */
export type Driver = typeof sdk

/** Largest answer that is read whole: a page of 1,000 keys has at most 3.5 MB. An answer without end stops here. */
const answerBytesMax = 16 * 1024 * 1024

/** The driver's own switch for its warning about the version of Node. It looks when a client is made. */
const quiet = 'AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'

/** How often a request is sent when the store or the line fails. */
const attemptsMax = 3

export interface Server {
  readonly env: Env
  readonly driver: Driver
  readonly usedBy: string
  readonly bucket: string
  /** Folder below the bucket, ends with `/`; `''` is the bucket itself. */
  readonly prefix: string
  readonly endpoint: string | undefined
  readonly region: string | undefined
  readonly pathStyle: boolean
  readonly accessKeyId: Secret | undefined
  readonly secretAccessKey: Secret | undefined
  readonly sessionToken: Secret | undefined
  readonly ca: string | undefined
  readonly partBytes: number
  readonly timeoutMs: number
}

type Command<I extends ServiceInputTypes, O extends ServiceOutputTypes> = Parameters<
  typeof S3Client.prototype.send<I, O>
>[0]

/** One bucket: sends commands within the limits of time and bytes, and puts what fails in our words. */
export class Bucket {
  readonly server: Server
  readonly #client: S3Client
  /** For commands that must not be sent twice: a repeated conditional put would lose against itself. */
  readonly #once: S3Client
  #closed = false

  constructor(server: Server) {
    this.server = server
    this.#client = makeClient(server, attemptsMax)
    this.#once = makeClient(server, 1)
  }

  /** Sends one command about `key`; `ms` is its limit, the storage's timeout unless given. */
  async send<I extends ServiceInputTypes, O extends ServiceOutputTypes>(
    key: string,
    command: Command<I, O>,
    signal: AbortSignal,
    how: { readonly what: string; readonly ms?: number; readonly once?: boolean },
  ): Promise<O> {
    this.refuseClosed()
    const { env, timeoutMs } = this.server
    const client = how.once === true ? this.#once : this.#client
    const ms = how.ms ?? timeoutMs
    try {
      return await withDeadline(env, { what: how.what, ms, signal }, limit =>
        client.send<I, O>(command, { abortSignal: limit }),
      )
    } catch (error) {
      signal.throwIfAborted()
      throw this.translate(error, key, how.what, ms)
    }
  }

  refuseClosed(): void {
    if (this.#closed) throw fail('STORAGE_CLOSED', { storage: this.server.usedBy })
  }

  close(): void {
    this.#closed = true
    this.#client.destroy()
    this.#once.destroy()
  }

  /** What the driver threw, in our words: about `key`, while doing `what`. */
  translate(error: unknown, key: string, what: string, ms = this.server.timeoutMs): unknown {
    const storage = this.server.usedBy
    const address = this.address()
    const name = error instanceof Error ? error.name : ''
    if (isNaruError(error, 'DEADLINE') || name === 'TimeoutError') {
      return fail('STORAGE_TIMEOUT', { storage, address, what, ms }, { cause: error })
    }
    if (isNaruError(error)) return error
    const problem = this.#clean(`${name === '' || name === 'Error' ? '' : `${name}: `}${messageOf(error)}`)
    const user = this.server.accessKeyId === undefined ? 'of the environment' : this.server.accessKeyId.reveal()
    const http = httpStatusOf(error)
    if (name === 'NoSuchBucket')
      return fail('STORAGE_NOT_FOUND', { storage, key: this.server.bucket }, { cause: error })
    if (http === 404 || name === 'NoSuchKey') return fail('STORAGE_NOT_FOUND', { storage, key }, { cause: error })
    if (http === 412) return fail('STORAGE_EXISTS', { storage, key }, { cause: error })
    if (
      /^(?:InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|CredentialsProviderError)$/.test(name)
    ) {
      return fail('STORAGE_LOGIN', { storage, user, problem }, { cause: error })
    }
    if (http === 403 || http === 401) return fail('STORAGE_DENIED', { storage, key, problem }, { cause: error })
    if (http !== null && http >= 300 && http < 400) {
      const redirected = `it sends us to another address, which is not followed; check region and endpoint (${problem})`
      return fail('STORAGE_UNREACHABLE', { storage, address, problem: redirected }, { cause: error })
    }
    const code = systemCodeOf(error) ?? ''
    if (/CERT|ERR_TLS|ERR_SSL|EPROTO|SELF_SIGNED|UNABLE_TO_/.test(code)) {
      return fail('STORAGE_TLS', { storage, address, problem }, { cause: error })
    }
    if (/^(?:ECONNREFUSED|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN)$/.test(code)) {
      return fail('STORAGE_UNREACHABLE', { storage, address, problem }, { cause: error })
    }
    return fail('STORAGE_BROKEN', { storage, key, problem }, { cause: error })
  }

  address(): string {
    return `${this.server.endpoint ?? 's3'}/${this.server.bucket}`
  }

  #clean(text: string): string {
    const { secretAccessKey, sessionToken } = this.server
    const secrets = [secretAccessKey, sessionToken].filter(it => it !== undefined)
    return redact(text, secrets)
      .replaceAll(/\p{Cc}+/gu, ' ')
      .slice(0, 300)
  }
}

/** The HTTP status of an answer; `null` when there was none. */
export function httpStatusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return null
  const { httpStatusCode } = error.$metadata as { httpStatusCode?: unknown }
  return typeof httpStatusCode === 'number' ? httpStatusCode : null
}

function makeClient(server: Server, maxAttempts: number): S3Client {
  const { driver, endpoint, region, pathStyle, accessKeyId, secretAccessKey, sessionToken, ca, timeoutMs } = server
  const given: S3ClientConfig = {
    maxAttempts,
    // Compatible stores know few of the newer check sums; lengths and TLS guard the way.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      ...(ca === undefined ? {} : { httpsAgent: { ca } }),
    },
    region: region ?? server.env.variables['AWS_REGION'] ?? 'us-east-1',
  }
  if (endpoint !== undefined) Object.assign(given, { endpoint, forcePathStyle: pathStyle })
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    given.credentials = {
      accessKeyId: accessKeyId.reveal(),
      secretAccessKey: secretAccessKey.reveal(),
      ...(sessionToken === undefined ? {} : { sessionToken: sessionToken.reveal() }),
    }
  }
  // On Node 20 the driver prints what its releases of 2027 will need, into whatever the user is doing.
  const { withVariable } = server.env.processes
  const client = withVariable(quiet, 'true', () => new driver.S3Client(given))
  limitAnswers(client)
  return client
}

/** The driver reads an answer whole, however long: its bytes are counted on the way. The body of an object is not one. */
function limitAnswers(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => async args => {
      const result = await next(args)
      const response = result.response as {
        statusCode: number
        body?: AsyncIterable<Uint8Array> & NodeJS.ReadableStream
      }
      const isObject = context.commandName === 'GetObjectCommand' && response.statusCode < 300
      const { body } = response
      if (!isObject && body !== undefined && typeof body.on === 'function') {
        let bytes = 0
        body.on('data', (chunk: Uint8Array) => {
          bytes += chunk.length
          if (bytes > answerBytesMax) {
            const stream = body as unknown as { destroy: (error: Error) => void }
            stream.destroy(new Error(`the answer has more than ${answerBytesMax} bytes`))
          }
        })
        body.pause()
      }
      return result
    },
    { step: 'deserialize', priority: 'low', name: 'limitAnswers' },
  )
}
