import { fail } from '../../../core/errors.ts'
import { durationMs, readOptions } from '../../../core/implementation.ts'
import path from 'node:path'
import type { AdapterOpening } from '../contract.ts'
import { events } from './index.ts'

/** A receiver as its options say. */
export interface Target {
  readonly source: string
  readonly secret: string
  readonly host: string
  readonly port: number
  readonly replayMs: number
  readonly rememberMs: number
  readonly rememberedKeys: number
  readonly maxEventBytes: number
  readonly requestMs: number
  readonly connections: number
  readonly eventsPerSecond: number
  /** File of the idempotency keys. */
  readonly keysFile: string
}

const near = ['127.0.0.1', '::1']
const secretCharsMin = 32

/** Reads the options. Throws `OPTION_INVALID` for an address that others reach, and for a secret that can be guessed. */
export function targetOf({ source, options: given, secret, stateDir }: AdapterOpening): Target {
  const where = `source "${source}"`
  const options = readOptions(events.options, given, where)
  const { host = '127.0.0.1', port, rememberedKeys, maxEventBytes, connections, eventsPerSecond } = options
  if (!near.includes(host)) {
    const problem = `must be ${near.join(' or ')}, for what is sent is not encrypted; put a proxy with TLS before it to be reached from elsewhere`
    throw fail('OPTION_INVALID', { where, option: 'host', problem })
  }
  const key = secret(options.secret, `${where}, option secret`).reveal()
  if (key.length < secretCharsMin) {
    const problem = `must have at least ${secretCharsMin} characters; make one with openssl rand -hex 32`
    throw fail('OPTION_INVALID', { where, option: 'secret', problem })
  }
  return {
    source,
    secret: key,
    host,
    port,
    replayMs: durationMs(options.replayWindow) as number,
    rememberMs: durationMs(options.remember) as number,
    rememberedKeys,
    maxEventBytes,
    requestMs: durationMs(options.requestTimeout) as number,
    connections,
    eventsPerSecond,
    keysFile: path.join(stateDir, 'events', `${source}.keys`),
  }
}
