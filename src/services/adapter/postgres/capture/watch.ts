import type { Clock } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { sql } from '../../../../core/sql.ts'
import { readTypes, type Types } from '../catalog.ts'
import type { CaptureLag } from '../../contract-capture.ts'
import type { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import { heartbeatPrefix } from './decoder.ts'
import { readPublication } from './inspect.ts'
import { lagOf } from './lag.ts'
import type { LogSettings } from './settings.ts'
import { readServer } from './slot.ts'

/** A table as the catalog had it when the stream was opened. */
interface WatchedTable {
  readonly name: string
  readonly oid: number
  readonly schema: string
  readonly relation: string
}

/** What is known of a stream from beside it, over a session of its own: its lag, types that are new, heartbeats. */
export class Watch {
  readonly #connection: Connection
  readonly #target: Target
  readonly #settings: LogSettings
  #isStandby: boolean
  readonly #tables: Map<string, WatchedTable>
  #gone: string[] = []
  #stop: () => void = () => {}
  #busy: Promise<unknown> = Promise.resolve()
  #error: Error | null = null
  #onError: () => void = () => {}

  constructor(
    connection: Connection,
    given: {
      readonly target: Target
      readonly settings: LogSettings
      readonly isStandby: boolean
      readonly tables: readonly WatchedTable[]
    },
  ) {
    this.#connection = connection
    this.#target = given.target
    this.#settings = given.settings
    this.#isStandby = given.isStandby
    this.#tables = new Map(given.tables.map(it => [it.name, it]))
  }

  /** Why the stream must end. */
  get error(): Error | null {
    return this.#error
  }

  /** Begins the heartbeats and the looks at the tables; `onError` wakes the stream. */
  start(clock: Clock, lookMs: number, onError: () => void): void {
    this.#onError = onError
    const { heartbeatMs } = this.#settings
    const stops = [
      clock.every(lookMs, () => this.#look()),
      ...(heartbeatMs > 0 && !this.#isStandby ? [clock.every(heartbeatMs, () => this.#beat())] : []),
    ]
    this.#stop = () => stops.forEach(stop => stop())
  }

  lag(signal?: AbortSignal): Promise<CaptureLag> {
    return this.#alone(async () => {
      const { slot } = await readServer(this.#connection, this.#settings, signal)
      return lagOf(this.#settings.slot, slot)
    })
  }

  types(signal: AbortSignal): Promise<Types> {
    return this.#alone(() => readTypes(this.#connection, signal))
  }

  /** Never throws. */
  async close(): Promise<void> {
    this.#stop()
    await this.#busy.catch(() => undefined)
    await this.#connection.close()
  }

  #beat(): void {
    void this.#alone(() =>
      this.#connection.query(sql`select pg_logical_emit_message(false, ${heartbeatPrefix}, '')`),
    ).catch(error => this.#fail(error as Error))
  }

  /** A table that was dropped or renamed since it was looked at last; once. */
  takeGone(): string | null {
    return this.#gone.shift() ?? null
  }

  /**
   * The log does not say that a table was dropped or left the publication: it is silent about it then. Of one that was
   * renamed it goes on, though by now another table may have the name.
   */
  #look(): void {
    void this.#alone(async () => {
      const { source } = this.#target
      const published = await readPublication({ connection: this.#connection, settings: this.#settings }, undefined)
      const list = [...this.#tables.values()].map(it => it.oid).join(',')
      const there = await this.#connection.query(
        sql`select c.oid, n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.oid = any(string_to_array(${list}, ',')::oid[])`,
      )
      const named = new Map(there.map(([oid, ...names]) => [oid, names.join('.')]))
      for (const [name, { oid, schema, relation }] of this.#tables) {
        const isThere = named.get(String(oid)) === `${schema}.${relation}`
        if (isThere && (published?.isAll === true || published?.tables.has(String(oid)) === true)) continue
        this.#tables.delete(name)
        if (isThere) {
          const problems = `table "${name}": it left the publication "${this.#settings.publication}"; its changes are missed since then, so it must be read again`
          this.#fail(fail('CAPTURE_NOT_READY', { source, technique: 'log', problems }))
        } else {
          this.#gone.push(name)
          this.#onError()
        }
      }
    }).catch(error => this.#fail(error as Error))
  }

  /** One question at a time. */
  #alone<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#busy.then(task, task)
    this.#busy = result.catch(() => undefined)
    return result
  }

  #fail(error: Error): void {
    this.#error ??= error
    this.#onError()
  }
}
