import { errorTold, fail, systemCodeOf, type ToldError } from '../../core/errors.ts'
import type { OpenProject, ProjectPlace } from '../project.ts'
import { findAddress, type ServerAddress } from './address.ts'
import { answerBytesMax } from './answer-limits.ts'
import { configHash, dialogue, greetingIn, holderName, serverCommand, version, type Greeting } from './greeting.ts'
import { channelOver, type Channel, type Message } from './wire.ts'

/** Longest wait for a process to say who it is. Under load its thread may be busy decoding for a while. */
const GREETING_MS_MAX = 20_000
/** It says every 5 s that it is alive: longer silence means that it hangs. */
const SILENCE_MS_MAX = 60_000

/** A dialogue with the process that has the database open. */
export interface Asking {
  readonly greeting: Greeting
  /** The process as errors and notes call it. */
  readonly holder: string
  send(message: Message): Promise<void>
  /** The next line of the answer. Throws what went wrong there as it was there, and `SERVER_GONE`. */
  next(): Promise<Message>
  /** Ends the dialogue; what is being made for it is cancelled. */
  close(): void
}

/** Asks the process that has the database open; `null` when there is none. An abort of the signal ends the dialogue. */
export async function ask(open: ProjectPlace, request: Message, signal: AbortSignal): Promise<Asking | null> {
  const found = await findAddress(open.env, open.stateDir)
  if (found === null) return null
  const connected = await connect(open, found, signal)
  if (connected === null) return null
  const { channel, greeting } = connected
  const holder = holderName(greeting)
  const onAbort = (): void => channel.close()
  signal.addEventListener('abort', onAbort, { once: true })
  const close = (): void => {
    signal.removeEventListener('abort', onAbort)
    channel.close()
  }
  try {
    await channel.send({ ...request, token: found.token })
  } catch (error) {
    close()
    throw error
  }
  return {
    greeting,
    holder,
    send: message => channel.send(message),
    next: () => nextLine(channel, holder, signal),
    close,
  }
}

/** Who has the database open; `null` when nobody serves it. */
export async function whoServes(open: ProjectPlace, signal: AbortSignal): Promise<Greeting | null> {
  const found = await findAddress(open.env, open.stateDir)
  const connected = found === null ? null : await connect(open, found, signal)
  connected?.channel.close()
  return connected?.greeting ?? null
}

/**
 * Asks the server of the project; `null` when none runs. Throws `SERVER_CONFIG` when it works by another configuration, which might
 * show or do what this one does not, and `SERVER_ENDING` when it ended meanwhile.
 */
export async function askServer(open: OpenProject, request: Message, signal: AbortSignal): Promise<Asking | null> {
  const who = await whoServes(open, signal)
  if (who?.command !== serverCommand) return null
  const holder = holderName(who)
  if (who.config !== configHash(open)) throw fail('SERVER_CONFIG', { holder })
  const asking = await ask(open, request, signal)
  if (asking === null) throw fail('SERVER_ENDING', { holder })
  return asking
}

async function nextLine(channel: Channel, holder: string, signal: AbortSignal): Promise<Message> {
  for (;;) {
    const line = await received(channel, signal)
    if (line === null && signal.aborted) throw cancelled(signal)
    if (line === null) throw fail('SERVER_GONE', { holder, problem: 'it ended, or cut the connection' })
    if ('error' in line) throw errorTold(line['error'] as ToldError)
    if (line['alive'] !== true) return line
  }
}

/** Wherever the end from outside hit, a person reads the same. */
async function received(channel: Channel, signal: AbortSignal): Promise<Message | null> {
  try {
    return await channel.receive(SILENCE_MS_MAX, signal)
  } catch (error) {
    throw signal.aborted ? cancelled(signal) : error
  }
}

function cancelled(signal: AbortSignal): Error {
  return fail('CANCELLED', { what: 'the question to the process that has the database open' }, { cause: signal.reason })
}

interface Connected {
  readonly channel: Channel
  readonly greeting: Greeting
}

/** `null` when nobody listens: the process is gone. Throws `SERVER_OTHER` when it is another version. */
async function connect(
  { env }: Pick<ProjectPlace, 'env'>,
  { address }: ServerAddress,
  signal: AbortSignal,
): Promise<Connected | null> {
  const socket = env.network.connectLocal(address)
  const reached = await new Promise<boolean | Error>(resolve => {
    socket.once('connect', () => resolve(true))
    socket.once('error', error => resolve(isNobody(error) ? false : error))
  })
  if (reached === false) return null
  const peer = 'the process that has the database open'
  if (reached instanceof Error)
    throw fail('SERVER_GONE', { holder: peer, problem: reached.message }, { cause: reached })
  const channel = channelOver(env, socket, { lineBytesMax: answerBytesMax, peer })
  try {
    const greeting = greetingIn(await channel.receive(GREETING_MS_MAX, signal))
    // Ended before a word: it was about to close.
    if (greeting === null) {
      channel.close()
      return null
    }
    if (greeting.dialogue !== dialogue || greeting.naru !== version()) {
      throw fail('SERVER_OTHER', {
        holder: holderName(greeting),
        theirs: `naru ${greeting.naru}`,
        ours: `naru ${version()}`,
      })
    }
    return { channel, greeting }
  } catch (error) {
    channel.close()
    throw error
  }
}

function isNobody(error: Error): boolean {
  return ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'ENOTSOCK'].includes(systemCodeOf(error) ?? '')
}
