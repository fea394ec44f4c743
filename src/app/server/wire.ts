import type net from 'node:net'
import type { Env } from '../../core/env.ts'
import { fail } from '../../core/errors.ts'

/** One line of a dialogue: a JSON object. */
export type Message = Readonly<Record<string, unknown>>

/** Lines that may wait to be received before the socket is read no further. */
const WAITING_MAX = 16
/** A peer that takes nothing for so long is cut off, so that it holds no view of the database. */
const SEND_MS_MAX = 60_000
/** So long a peer that still writes may read our last word. */
const LINGER_MS = 2_000

/** A dialogue over a local socket: JSON objects, a line each. */
export interface Channel {
  /** Waits while the peer is slow. Throws `SERVER_GONE` when it is away, or takes nothing for a minute. */
  send(message: Message): Promise<void>
  /** The next line; `null` when the peer has ended. Throws `DEADLINE`, and `SERVER_REQUEST` for what is no such line. */
  receive(limitMs: number, signal: AbortSignal): Promise<Message | null>
  /** Aborts when the peer is away. */
  readonly away: AbortSignal
  close(): void
}

/** What `Channel` is made with. */
export interface ChannelOptions {
  /** Longest line that is taken. */
  readonly lineBytesMax: number
  /** The peer in errors: "naru run (process 12)". */
  readonly peer: string
}

/** Speaks over a connected socket. */
export function channelOver(env: Env, socket: net.Socket, { lineBytesMax, peer }: ChannelOptions): Channel {
  const lines = lineReader(lineBytesMax)
  const away = new AbortController()
  const waiting: (Message | Error)[] = []
  let wake = (): void => {}
  let isClosing = false
  const gone = (problem: string): Error => fail('SERVER_GONE', { holder: peer, problem })

  socket.on('data', (bytes: Buffer) => {
    if (isClosing) return
    for (const line of lines(bytes)) waiting.push(line)
    if (waiting.length >= WAITING_MAX || waiting.at(-1) instanceof Error) socket.pause()
    wake()
  })
  socket.on('error', () => {}) // its end comes as `close`
  socket.on('close', () => {
    away.abort(gone('the connection ended'))
    wake()
  })

  return {
    away: away.signal,
    send: async message => {
      if (away.signal.aborted) throw away.signal.reason
      if (socket.write(`${pack(message)}\n`)) return
      await drained(env, socket, away.signal, () => gone(`it took nothing for ${SEND_MS_MAX / 1000} s`))
    },
    receive: async (limitMs, signal) => {
      const untilMs = env.clock.monotonicMs() + limitMs
      while (waiting.length === 0 && !away.signal.aborted) {
        if (signal.aborted) throw signal.reason
        const leftMs = untilMs - env.clock.monotonicMs()
        if (leftMs <= 0) throw fail('DEADLINE', { what: peer, ms: limitMs })
        await woken(env, leftMs, signal, resolve => (wake = resolve))
      }
      const next = waiting.shift() ?? null
      if (next instanceof Error) throw next
      if (waiting.length === 0 && socket.isPaused()) socket.resume()
      return next
    },
    close: () => {
      if (isClosing) return
      isClosing = true
      if (away.signal.aborted) return
      // Destroyed with bytes that nobody read, the system may take our last word back from the peer.
      socket.end()
      socket.resume()
      const cancel = env.clock.after(LINGER_MS, () => socket.destroy())
      socket.once('close', cancel)
    },
  }
}

/** Waits until it is woken or the time is over. */
async function woken(env: Env, ms: number, signal: AbortSignal, listen: (resolve: () => void) => void): Promise<void> {
  let stop = (): void => {}
  await new Promise<void>(resolve => {
    const cancel = env.clock.after(ms, resolve)
    const onAbort = (): void => resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    stop = () => {
      cancel()
      signal.removeEventListener('abort', onAbort)
    }
    listen(resolve)
  })
  stop()
}

async function drained(env: Env, socket: net.Socket, away: AbortSignal, late: () => Error): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const end = (settle: () => void) => (): void => {
      cancel()
      socket.off('drain', onDrain)
      away.removeEventListener('abort', onAway)
      settle()
    }
    const onDrain = end(resolve)
    const onAway = end(() => reject(away.reason as Error))
    const cancel = env.clock.after(
      SEND_MS_MAX,
      end(() => {
        reject(late())
        socket.destroy()
      }),
    )
    socket.once('drain', onDrain)
    away.addEventListener('abort', onAway, { once: true })
  })
}

/** Cuts bytes into lines, each a JSON object; the first that is none ends it with an error. */
function lineReader(lineBytesMax: number): (bytes: Buffer) => readonly (Message | Error)[] {
  let held: Buffer[] = []
  let heldBytes = 0
  let broken = false
  return bytes => {
    const found: (Message | Error)[] = []
    let from = 0
    while (!broken) {
      const end = bytes.indexOf(10, from)
      const part = bytes.subarray(from, end === -1 ? bytes.length : end)
      held.push(part)
      heldBytes += part.length
      if (heldBytes > lineBytesMax) {
        broken = true
        found.push(fail('SERVER_REQUEST', { problem: `a line is longer than ${lineBytesMax} bytes` }))
      } else if (end === -1) return found
      else {
        const message = messageOf(Buffer.concat(held))
        broken = message instanceof Error
        found.push(message)
        from = end + 1
      }
      if (broken || end !== -1) [held, heldBytes] = [[], 0]
    }
    return found
  }
}

function messageOf(line: Buffer): Message | Error {
  try {
    const value = unpack(line.toString('utf8'))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Message
  } catch {
    // no JSON: the same refusal as for JSON that is no object
  }
  return fail('SERVER_REQUEST', { problem: 'it is no line with a JSON object' })
}

/**
 * Facts as JSON, exactly: numbers that JSON has no spelling for stand as objects that no fact is. Text stays text, whatever
 * it says.
 */
export function pack(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner === 'bigint') return { $int: String(inner) }
    if (typeof inner !== 'number' || (Number.isFinite(inner) && !Object.is(inner, -0))) return inner
    return { $float: Object.is(inner, -0) ? '-0' : String(inner) }
  })
}

/** What `pack` wrote. */
export function unpack(text: string): unknown {
  return JSON.parse(text, (_, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null) return inner
    if ('$int' in inner && typeof inner.$int === 'string') return BigInt(inner.$int)
    if ('$float' in inner && typeof inner.$float === 'string') return Number(inner.$float)
    return inner
  })
}
