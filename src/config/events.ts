import type { SecretRef } from '../core/secret.ts'
import { events as adapter } from '../services/adapter/events/index.ts'
import type { Duration } from './change.ts'
import type { Contract, Contracts } from './contract.ts'
import { database, type Schema, type Source } from './source.ts'

export interface EventsOptions {
  /** Key of the signatures, of at least 32 characters, as `env('NAME')` or `file('path')`. */
  readonly secret: SecretRef
  /** Address of this machine that is listened on: `127.0.0.1` or `::1`. */
  readonly host?: string
  /** Port that is listened on; 4650 unless given. */
  readonly port?: number
  /** How far the time of a signature may be from our clock; `'5m'` unless given. */
  readonly replayWindow?: Duration
  /** How long an idempotency key is kept; `'1d'` unless given. */
  readonly remember?: Duration
  /** Most idempotency keys that are kept. */
  readonly rememberedKeys?: number
  /** Largest event that is taken, in bytes; 1 MiB unless given. */
  readonly maxEventBytes?: number
  /** Longest wait for the whole of a request; `'15s'` unless given. */
  readonly requestTimeout?: Duration
  /** Most connections at the same time; 256 unless given. */
  readonly connections?: number
  /** Most requests that are looked at in a second; 0, the default, is as fast as it goes. */
  readonly eventsPerSecond?: number
}

/** Signed JSON events that applications post to `naru start`. Nothing but events makes the rows of its tables. */
export function events<const S extends string, D extends Schema>(
  name: S,
  options: EventsOptions & {
    /** The tables that events are of. */
    readonly schema: D
    /** What becomes of a table whose shape changed: one contract for all tables, or by table. */
    readonly contract?: Contract | Contracts<NoInfer<keyof D & string>>
  },
): Source<S, D> {
  const changes = { '*': { technique: 'event', start: 'now' } } as const
  return database<S, D, 'timestamp', 'event'>(name, adapter, { ...options, changes } as never, {
    techniques: ['event'],
  })
}
