import type http from 'node:http'
import type { Env } from '../../../core/env.ts'
import { messageOf } from '../../../core/errors.ts'
import type { JsonEvent } from '../../../systems/cells/json-change.ts'
import type { CapturedTable, Refused } from '../contract-capture.ts'
import { checkSigned, eventIn, misfitOf, Refusal } from './event.ts'
import type { Keys } from './keys.ts'
import type { Target } from './target.ts'

/** Bytes of events that may wait for the durable log before more are refused. */
const WAITING_BYTES = 64 * 1024 * 1024
/** Largest head of a request. */
const HEAD_BYTES = 16 * 1024
/** A connection without a request for so long is closed. */
const IDLE_MS = 30_000

/** An event that was taken and is not in the durable log yet. */
export interface Taken {
  readonly key: string
  readonly event: JsonEvent
  readonly bytes: number
  readonly atMicros: bigint
}

/** A wrong event of a table that is known: it is counted, and told with the reason. */
export interface WrongEvent {
  readonly table: string
  readonly detail: string
  readonly content: Buffer
}

interface Waiting {
  readonly done: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** What waits for the log, as the stream takes it. */
export interface Arrived {
  readonly taken: readonly Taken[]
  readonly refused: readonly WrongEvent[]
}

/** Counts the senders that were refused, by the answer that they got: over every listener of an adapter. */
export class Refusals {
  readonly #found = new Map<number, { count: number; last: string }>()

  count({ status, message }: Refusal): void {
    const found = this.#found.get(status)
    if (found === undefined) this.#found.set(status, { count: 1, last: message })
    else [found.count, found.last] = [found.count + 1, message]
  }

  all(): readonly Refused[] {
    return [...this.#found].map(([status, it]) => ({ status, ...it })).toSorted((a, b) => a.status - b.status)
  }
}

/** Wrong events that wait to be told; more are only answered. */
const REFUSED_MAX = 1000

/** Takes requests over HTTP, and answers each once its event is in the durable log. */
export class Receiver {
  readonly #env: Env
  readonly #target: Target
  readonly #tables: readonly CapturedTable[]
  readonly #keys: Keys
  readonly #server: http.Server
  /** By idempotency key: events that are not in the log yet. */
  readonly #waiting = new Map<string, Waiting>()
  #taken: Taken[] = []
  #refused: WrongEvent[] = []
  #waitingBytes = 0
  #wake: () => void = () => {}
  #isClosed = false
  #isHeld = false
  readonly #refusals: Refusals
  #second = 0
  #inSecond = 0

  constructor(
    env: Env,
    given: {
      readonly target: Target
      readonly tables: readonly CapturedTable[]
      readonly keys: Keys
      readonly refusals: Refusals
    },
  ) {
    const { target } = given
    this.#env = env
    this.#target = target
    this.#tables = given.tables
    this.#keys = given.keys
    this.#refusals = given.refusals
    const options = {
      maxHeaderSize: HEAD_BYTES,
      requestTimeout: target.requestMs,
      headersTimeout: target.requestMs,
      keepAliveTimeout: IDLE_MS,
      connectionsCheckingInterval: Math.min(1_000, target.requestMs),
    }
    this.#server = env.network.httpServer(options, (request, response) => void this.#answer(request, response))
    this.#server.maxConnections = target.connections
  }

  /** Listens. Throws what the system says when the port is taken. */
  listen(): Promise<void> {
    const { host, port } = this.#target
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject)
        // One connection that could not be taken ends nothing.
        this.#server.on('error', () => {})
        resolve()
      })
    })
  }

  /** Resolves when something waits, at the latest after the time, or when the signal aborts. */
  async arrival(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#taken.length > 0 || this.#refused.length > 0 || signal.aborted) return
    await new Promise<void>(resolve => {
      const end = (): void => {
        cancel()
        signal.removeEventListener('abort', end)
        resolve()
      }
      const cancel = this.#env.clock.after(ms, end)
      signal.addEventListener('abort', end, { once: true })
      this.#wake = end
    })
    this.#wake = () => {}
  }

  /** The oldest that wait, up to these bounds. */
  take(bounds: { readonly events: number; readonly bytes: number }): Arrived {
    let [count, bytes] = [0, 0]
    while (count < Math.min(this.#taken.length, bounds.events) && (count === 0 || bytes < bounds.bytes)) {
      bytes += (this.#taken[count] as Taken).bytes
      count += 1
    }
    const refused = this.#refused
    this.#refused = []
    return { taken: this.#taken.splice(0, count), refused }
  }

  /** These are in the durable log; or they are not, and the sender is to send them again. */
  settle(taken: readonly Taken[], isKept: boolean): void {
    for (const { key, bytes } of taken) {
      const waiting = this.#waiting.get(key)
      // Its sender may have been told to send it again.
      if (waiting === undefined) continue
      this.#waiting.delete(key)
      this.#waitingBytes -= bytes
      if (isKept) waiting.resolve()
      else waiting.reject(unavailable())
    }
  }

  /** Nothing can be taken for a while: senders are told so at once, those who wait as well. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld
    if (isHeld) this.#refuseWaiting()
  }

  /** What is on its way into the log may get there still: sent again, it is known by its key. */
  #refuseWaiting(): void {
    for (const waiting of this.#waiting.values()) waiting.reject(unavailable())
    this.#waiting.clear()
    this.#waitingBytes = 0
    this.#taken = []
  }

  /** Refuses what waits, and ends every connection. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#refuseWaiting()
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    // The answers that were just given may leave; a peer that takes none is cut off.
    const cut = this.#env.clock.after(500, () => this.#server.closeAllConnections())
    await closed
    cut()
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    request.on('error', () => {})
    response.on('error', () => {})
    try {
      const isNew = await this.#take(request)
      send(response, 200, { ok: true, duplicate: !isNew })
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal(503, `it could not be taken: ${messageOf(error)}`)
      this.#refusals.count(refusal)
      // What is left of the body is not read.
      if (!request.complete) response.setHeader('connection', 'close')
      send(response, refusal.status, { ok: false, error: refusal.message })
      if (!request.complete) response.once('finish', () => request.destroy())
    }
  }

  /** True when the event is new. Resolves once it is in the durable log. */
  async #take(request: http.IncomingMessage): Promise<boolean> {
    const { method, url, headers } = request
    if (url !== '/events') throw new Refusal(404, 'events are posted to /events')
    if (method !== 'POST') throw new Refusal(405, 'events are posted')
    this.#checkRate()
    const body = await this.#bodyOf(request)
    const nowMicros = this.#env.clock.nowMicros()
    const nowMs = Number(nowMicros / 1000n)
    const signed = { signature: one(headers['naru-signature']), key: one(headers['idempotency-key']), body }
    const key = checkSigned(signed, { ...this.#target, nowMs })
    if (this.#isClosed || this.#isHeld) throw unavailable()
    // Before what is remembered: that holds keys of events on their way into the log as well.
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) {
      await waiting.done
      return false
    }
    if (this.#keys.has(key, nowMs)) return false
    const event = this.#checked(body)
    await this.#wait({ key, event, bytes: body.length, atMicros: nowMicros })
    return true
  }

  #checked(body: Buffer): JsonEvent {
    const event = eventIn(body, 'an event over HTTP')
    const misfit = misfitOf(event, this.#tables, this.#target.maxEventBytes)
    if (misfit === null) return event
    const { table, detail } = misfit
    if (table !== null && this.#refused.length < REFUSED_MAX) {
      this.#refused.push({ table, detail, content: body })
      this.#wake()
    }
    throw new Refusal(422, table === null ? detail : `table "${table}": ${detail}`)
  }

  #wait(taken: Taken): Promise<void> {
    if (this.#isClosed || this.#isHeld || this.#waitingBytes + taken.bytes > WAITING_BYTES) throw unavailable()
    if (this.#keys.size + this.#waiting.size >= this.#target.rememberedKeys)
      throw new Refusal(503, 'as many idempotency keys are kept as may be; send it again later')
    let settle: Pick<Waiting, 'resolve' | 'reject'> = { resolve: () => {}, reject: () => {} }
    const done = new Promise<void>((resolve, reject) => (settle = { resolve, reject }))
    this.#waiting.set(taken.key, { done, ...settle })
    this.#waitingBytes += taken.bytes
    this.#taken.push(taken)
    this.#wake()
    return done
  }

  #checkRate(): void {
    const { eventsPerSecond } = this.#target
    if (eventsPerSecond === 0) return
    const second = Math.floor(this.#env.clock.monotonicMs() / 1000)
    if (second !== this.#second) [this.#second, this.#inSecond] = [second, 0]
    this.#inSecond += 1
    if (this.#inSecond > eventsPerSecond) throw new Refusal(429, `more than ${eventsPerSecond} events in a second`)
  }

  async #bodyOf(request: http.IncomingMessage): Promise<Buffer> {
    const most = this.#target.maxEventBytes
    const tooLarge = (): Refusal => new Refusal(413, `the event has more than ${most} bytes`)
    if (Number(request.headers['content-length'] ?? 0) > most) throw tooLarge()
    const parts: Buffer[] = []
    let bytes = 0
    // Destroying it would take the answer along.
    for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += part.length
      if (bytes > most) throw tooLarge()
      parts.push(part)
    }
    return Buffer.concat(parts)
  }
}

function unavailable(): Refusal {
  return new Refusal(503, 'the durable log does not take it now; send it again with the same idempotency key')
}

function send(response: http.ServerResponse, status: number, answer: object): void {
  if (response.headersSent || response.destroyed) return
  const body = JSON.stringify(answer)
  const again = status === 503 || status === 429 ? { 'retry-after': '1' } : {}
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...again,
  })
  response.end(body)
}

function one(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined
}
