import type { Clock } from '../../../../core/env.ts'
import { fail, systemCodeOf } from '../../../../core/errors.ts'
import { sql } from '../../../../core/sql.ts'
import { oneAtATime } from '../../../../core/one-at-a-time.ts'
import { readTypes, type Types } from '../catalog.ts'
import type { CapturedTable, CaptureLag } from '../../contract-capture.ts'
import type { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import { heartbeatPrefix } from './decoder.ts'
import { readForms, rewritten, type TableForm } from './forms.ts'
import { isOfRows, publishedFault, readPublication } from './publication.ts'
import { lagOf } from './lag.ts'
import { partFault } from './parts.ts'
import type { LogSettings } from './settings.ts'
import { readServer } from './slot.ts'

/** A table as the catalog had it when the stream was opened. */
interface WatchedTable extends Pick<CapturedTable, 'name' | 'remote' | 'key' | 'columns' | 'where'> {
  readonly oid: number
  readonly schema: string
  readonly relation: string
}

/** A table that the stream tells no more, or not rightly: why, when it is there. */
export interface GoneTable {
  readonly name: string
  readonly unseen: string | null
}

/** A look waits so long for who changes a table, and is left to the next one then: heartbeats and the lag wait behind it. */
const LOCK_MS_MAX = 1_000
/** The server's words for a table that went while it was looked at. */
const WENT = /could not open relation|cache lookup failed/

/** What is known of a stream from beside it, over a session of its own: its lag, types that are new, heartbeats. */
export class Watch {
  readonly #connection: Connection
  readonly #target: Target
  readonly #settings: LogSettings
  #isStandby: boolean
  readonly #tables: Map<string, WatchedTable>
  #gone: GoneTable[] = []
  #forms: ReadonlyMap<number, TableForm> = new Map()
  #stop: () => void = () => {}
  /** One question at a time; one that failed says so, and the next is asked. */
  readonly #turns = oneAtATime()
  #isLooking = false
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
    void this.#turns
      .run(() => this.#connection.query(sql`select set_config('lock_timeout', ${String(LOCK_MS_MAX)}, false)`))
      .catch(error => this.#fail(error as Error))
    this.#look()
  }

  lag(signal?: AbortSignal): Promise<CaptureLag> {
    return this.#turns.run(async () => {
      const { slot } = await readServer(this.#connection, this.#settings, signal)
      return lagOf(this.#settings.slot, slot)
    })
  }

  types(signal: AbortSignal): Promise<Types> {
    return this.#turns.run(() => readTypes(this.#connection, signal))
  }

  /** Never throws. */
  async close(): Promise<void> {
    this.#stop()
    await this.#turns.idle()
    await this.#connection.close()
  }

  #beat(): void {
    void this.#turns
      .run(() => this.#connection.query(sql`select pg_logical_emit_message(false, ${heartbeatPrefix}, '')`))
      .catch(error => this.#fail(error as Error))
  }

  /** A table that was dropped or renamed since it was looked at last, or whose rows the log gives as others now; once. */
  takeGone(): GoneTable | null {
    return this.#gone.shift() ?? null
  }

  /**
   * The log does not say that a table was dropped or left the publication: it is silent about it then. Of one that was
   * renamed it goes on, though by now another table may have the name.
   */
  #look(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    void this.#turns
      .run(async () => {
        const { source } = this.#target
        const published = await readPublication({ connection: this.#connection, settings: this.#settings }, undefined)
        if (published?.leavesOut.some(isOfRows) === true) {
          const problems = `the publication "${this.#settings.publication}" leaves out changes now: ${published.leavesOut.join(', ')}`
          this.#fail(fail('CAPTURE_NOT_READY', { source, technique: 'log', problems }))
        }
        const list = [...this.#tables.values()].map(it => it.oid).join(',')
        const there = await this.#connection.query(
          sql`select c.oid, n.nspname, c.relname, exists (select from pg_inherits i where i.inhparent = c.oid) from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.oid = any(string_to_array(${list}, ',')::oid[])`,
        )
        const forms = await readForms(
          this.#connection,
          [...this.#tables.values()].map(it => it.oid),
        )
        const named = new Map(there.map(([oid, ...names]) => [oid, names.slice(0, 2).join('.')]))
        const parted = new Set(there.filter(it => it[3] === 't').map(it => it[0]))
        for (const [name, watched] of this.#tables) {
          const { oid, schema, relation } = watched
          const isThere = named.get(String(oid)) === `${schema}.${relation}`
          const passed =
            published === null
              ? `the publication "${this.#settings.publication}" is gone`
              : publishedFault(this.#settings, published, { table: watched, oid: String(oid) })
          if (isThere && passed === null) {
            const why = await this.#unseen(watched, { now: forms.get(oid), isParted: parted.has(String(oid)) })
            if (why !== null) this.#tell({ name, unseen: why })
            continue
          }
          this.#tables.delete(name)
          if (isThere) {
            const problems = `table "${name}": ${passed}; its changes are missed since then, so it must be read again`
            this.#fail(fail('CAPTURE_NOT_READY', { source, technique: 'log', problems }))
          } else {
            this.#tell({ name, unseen: null })
          }
        }
        this.#forms = forms
      })
      .catch((error: Error) => {
        if (!isBeingChanged(error)) this.#fail(error)
      })
      .finally(() => (this.#isLooking = false))
  }

  /** What makes a table unfit to begin with makes it unfit later, too: it is read again once that is mended. */
  async #unseen(
    table: WatchedTable,
    { now, isParted }: { now: TableForm | undefined; isParted: boolean },
  ): Promise<string | null> {
    const before = this.#forms.get(table.oid)
    const names = table.columns.map(it => it.name)
    const why = before === undefined || now === undefined ? null : rewritten(before, now, names)
    if (why !== null || !isParted) return why
    return (await partFault(this.#connection, table, table.oid))?.text ?? null
  }

  #tell(gone: GoneTable): void {
    this.#tables.delete(gone.name)
    this.#gone.push(gone)
    this.#onError()
  }

  #fail(error: Error): void {
    this.#error ??= error
    this.#onError()
  }
}

/** True when a look came between: somebody holds a table locked, or it went this moment. */
function isBeingChanged(error: Error): boolean {
  const code = systemCodeOf(error)
  return code === '55P03' || (code === 'XX000' && WENT.test(error.message))
}
