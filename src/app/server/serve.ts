import { timingSafeEqual } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type net from 'node:net'
import { fail, isNaruError, toldError } from '../../core/errors.ts'
import { knownError } from '../../core/known-error.ts'
import type { Engine } from '../../services/engine/contract.ts'
import type { OpenProject } from '../project.ts'
import { makeAddress, publishAddress, removeAddress, type ServerAddress } from './address.ts'
import { answerQuery, answerRead } from './answer.ts'
import { greetingOf, holderName, type Greeting } from './greeting.ts'
import { channelOver, type Channel, type Message } from './wire.ts'

/** Commands that are answered at the same time. */
const CLIENTS_MAX = 200
/** Longest request line; a query is part of one. */
const REQUEST_BYTES_MAX = 16 * 1024 * 1024
/** A peer that connected and asks nothing for so long is cut off. */
const REQUEST_MS_MAX = 10_000
/** How often a peer that waits hears that its answer is being made. */
const ALIVE_MS = 5_000
/** What is going on may take so long to say that it was cancelled before it is cut off. */
const ENDING_MS_MAX = 3_000

/** What a process can be asked beside what only reads, by name: each gets the request and answers it. */
export type Duties = Readonly<
  Record<string, (channel: Channel, request: Message, signal: AbortSignal) => Promise<void>>
>

/** A local socket that answers for an open database. */
export interface Serving {
  readonly address: string
  readonly greeting: Greeting
  /** Cancels what is being answered and takes the socket away. Called once. */
  close(): Promise<void>
}

/**
 * Answers the other commands of a project on a local socket while this process has the database open. Called by the holder of
 * the lease, so that a socket which is there already is of a process that is gone.
 */
export async function serve(
  open: OpenProject,
  engine: Engine,
  { command, duties = {} }: { readonly command: string; readonly duties?: Duties },
): Promise<Serving> {
  const { env, stateDir } = open
  const found = await makeAddress(env, stateDir)
  const greeting = greetingOf(open, command)
  const holder = holderName(greeting)
  const ending = new AbortController()
  // Every answer listens to it.
  setMaxListeners(0, ending.signal)
  const all: Duties = {
    ...duties,
    query: (channel, request, signal) => answerQuery(open, engine, { channel, request, signal }),
    read: (channel, request, signal) => answerRead(open, engine, { channel, request, signal }),
  }
  const going = new Set<Promise<void>>()
  const sockets = new Set<net.Socket>()
  const server = env.network.localServer(socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    const channel = channelOver(env, socket, { lineBytesMax: REQUEST_BYTES_MAX, peer: 'the command' })
    const isCrowded = going.size >= CLIENTS_MAX
    const talk = converse({ open, channel, greeting, found, duties: all, ending: ending.signal, isCrowded })
    going.add(talk)
    void talk.finally(() => going.delete(talk))
  })
  await listen(server, found.address)
  await publishAddress(env, stateDir, found)

  return {
    address: found.address,
    greeting,
    close: async () => {
      ending.abort(fail('SERVER_ENDING', { holder }))
      server.close()
      let stop = (): void => {}
      const late = new Promise<void>(resolve => (stop = env.clock.after(ENDING_MS_MAX, resolve)))
      await Promise.race([Promise.all(going), late])
      stop()
      for (const socket of sockets) socket.destroy()
      await Promise.all(going)
      await removeAddress(env, stateDir)
    },
  }
}

function listen(server: net.Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, () => {
      server.off('error', reject)
      // One connection that could not be taken (too many open files) ends nothing.
      server.on('error', () => {})
      resolve()
    })
  })
}

interface Talk {
  readonly open: OpenProject
  readonly channel: Channel
  readonly greeting: Greeting
  readonly found: ServerAddress
  readonly duties: Duties
  readonly ending: AbortSignal
  readonly isCrowded: boolean
}

/** One dialogue: greeting, request, answer. Whatever goes wrong is told to the peer and to nobody else. */
async function converse(talk: Talk): Promise<void> {
  const { open, channel, greeting, ending, isCrowded } = talk
  const signal = AbortSignal.any([channel.away, ending])
  const alive = open.env.clock.every(ALIVE_MS, () => {
    channel.send({ alive: true }).catch(() => {})
  })
  try {
    await channel.send({ ...greeting })
    if (isCrowded) throw fail('SERVER_CROWDED', { holder: holderName(greeting), limit: CLIENTS_MAX })
    const request = await channel.receive(REQUEST_MS_MAX, signal)
    if (request !== null) await dutyOf(talk, request)(channel, request, signal)
  } catch (error) {
    // What the end of the server broke off is told as that, and may be asked again.
    await tellError(channel, ending.aborted && !isWrongRequest(error) ? ending.reason : error)
  } finally {
    alive()
    channel.close()
  }
}

function isWrongRequest(error: unknown): boolean {
  return isNaruError(error, 'SERVER_REQUEST')
}

function dutyOf({ found, duties }: Talk, request: Message): Duties[string] {
  const { token, ask } = request
  if (typeof token !== 'string' || !isSame(token, found.token)) {
    throw fail('SERVER_REQUEST', { problem: 'it does not hold the token of the state folder' })
  }
  const duty = typeof ask === 'string' && Object.hasOwn(duties, ask) ? duties[ask] : undefined
  if (duty === undefined) throw fail('SERVER_REQUEST', { problem: `it asks for ${JSON.stringify(ask)?.slice(0, 40)}` })
  return duty
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

async function tellError(channel: Channel, error: unknown): Promise<void> {
  if (channel.away.aborted) return
  try {
    await channel.send({ error: toldError(knownError(error)) })
  } catch {
    return // it went away meanwhile: nobody is left to be told
  }
}
