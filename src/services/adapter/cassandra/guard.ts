import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import path from 'node:path'
import { fail } from '../../../core/errors.ts'

/**
 * What the driver has no setting for: it takes an answer of any length, and an answer that nobody asked for throws where
 * nobody can catch it, which would end the process. Its class of connections is therefore watched.
 */
interface DriverConnection {
  readonly netClient: Socket
  readonly protocol: NodeJS.ReadableStream
  readonly parser: NodeJS.ReadableStream
  bindSocketListeners(): void
}

type Handler = 'handleResult' | 'handleRow' | 'handleNodeEvent' | 'freeStreamId'
type DriverClass = { readonly prototype: DriverConnection & Record<Handler, (...given: unknown[]) => void> }

const handlers: readonly Handler[] = ['handleResult', 'handleRow', 'handleNodeEvent', 'freeStreamId']
/** Bytes that may come for one request of ours: the protocol limits a frame to 256 MB. */
const answerBytesMax = 257 * 1024 * 1024

const guarded = new WeakSet<DriverClass>()

/** Makes every connection of the driver end, with an error of its socket, where its server goes too far. `from` is the user's folder. */
export function guardDriver(from: string): void {
  const found = connectionClass(path.join(from, 'noop.js')) ?? connectionClass(import.meta.url)
  if (found === null || guarded.has(found)) return
  guard(found)
  guarded.add(found)
}

/** Found as the driver itself is: beside the config, or with Naru. */
function connectionClass(from: string): DriverClass | null {
  const require = createRequire(from)
  try {
    require.resolve('cassandra-driver')
  } catch {
    return null
  }
  return require('cassandra-driver/lib/connection') as DriverClass
}

function guard({ prototype }: DriverClass): void {
  const missing = [...handlers, 'bindSocketListeners' as const].find(name => typeof prototype[name] !== 'function')
  if (missing !== undefined) throw fail('INTERNAL', { what: `this cassandra-driver has no ${missing} to watch` })
  const { bindSocketListeners } = prototype
  for (const name of handlers) {
    const handle = prototype[name]
    prototype[name] = function (this: DriverConnection, ...given) {
      try {
        handle.apply(this, given)
      } catch (error) {
        end(this, `an answer that nobody asked for, or of another shape: ${String(error)}`)
      }
    }
  }
  prototype.bindSocketListeners = function () {
    bindSocketListeners.call(this)
    for (const stream of [this.protocol, this.parser]) stream.on('error', error => end(this, String(error)))
    countBytes(this)
  }
}

/** Each request begins a new count: an answer has many pieces, and a flood has no request. */
function countBytes(connection: DriverConnection): void {
  const { netClient } = connection
  const write = netClient.write.bind(netClient) as (...given: unknown[]) => boolean
  let bytes = 0
  netClient.on('data', (piece: Buffer) => {
    bytes += piece.length
    if (bytes > answerBytesMax) end(connection, `more than ${answerBytesMax} bytes came for one request`)
  })
  netClient.write = ((...given: unknown[]) => {
    bytes = 0
    return write(...given)
  }) as Socket['write']
}

function end({ netClient }: DriverConnection, problem: string): void {
  netClient.unpipe()
  netClient.destroy(new Error(problem))
}
