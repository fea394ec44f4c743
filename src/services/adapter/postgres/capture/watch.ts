import type { Clock } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { sql } from '../../../../core/sql.ts'
import { oneAtATime } from '../../../../core/one-at-a-time.ts'
import { readTypes, type Types } from '../catalog.ts'
import type { CapturedTable, CaptureLag, LostTable } from '../../contract-capture.ts'
import type { Connection } from '../connection.ts'
import type { Target } from '../target.ts'
import { readForms, rewritten, type TableForm } from './forms.ts'
import { isOfRows, passedBy, readMembership } from './publication.ts'
import { lagOf } from './lag.ts'
import { partFault } from './parts.ts'
import type { LogSettings } from './settings.ts'
import { heartbeat, readServer } from './slot.ts'

/** A table as the catalog had it when the stream was opened. */
interface WatchedTable extends Pick<CapturedTable, 'name' | 'remote' | 'key' | 'columns'> {
  readonly oid: number
  readonly schema: string
  readonly relation: string
  /** How it was in the publication. */
  readonly mark: string | null
}

/** A table that the stream tells no more, or not rightly: why, when it is there. */
export interface GoneTable {
  readonly name: string
  readonly unseen: string | null
}

/** So long a question beside the stream may take: heartbeats and the lag wait behind it. */
const ANSWER_MS_MAX = 10_000
/** So long the end of a stream waits for a question that is under way. */
const CLOSE_MS_MAX = 2_000

/** What is known of a stream from beside it, over a session of its own: its lag, types that are new, heartbeats. */
export class Watch {
  readonly #connection: Connection
  readonly #target: Target
  readonly #settings: LogSettings
  #isStandby: boolean
  readonly #tables: Map<string, WatchedTable>
  readonly #clock: Clock
  readonly #lost: LostTable[] = []
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
      readonly clock: Clock
      readonly target: Target
      readonly settings: LogSettings
      readonly isStandby: boolean
      readonly tables: readonly WatchedTable[]
    },
  ) {
    this.#connection = connection
    this.#clock = given.clock
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
  start(lookMs: number, onError: () => void): void {
    this.#onError = onError
    const { heartbeatMs } = this.#settings
    const stops = [
      this.#clock.every(lookMs, () => this.#look()),
      ...(heartbeatMs > 0 && !this.#isStandby ? [this.#clock.every(heartbeatMs, () => this.#beat())] : []),
    ]
    this.#stop = () => stops.forEach(stop => stop())
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
    const stopWaiting = this.#clock.after(CLOSE_MS_MAX, () => this.#connection.destroy())
    await this.#turns.idle()
    stopWaiting()
    await this.#connection.close()
  }

  /** Tables whose changes it gives no more, though they are there. */
  get lost(): readonly LostTable[] {
    return this.#lost
  }

  #beat(): void {
    void this.#turns
      .run(() => this.#connection.query(heartbeat, undefined, ANSWER_MS_MAX))
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
        const published = await readMembership({ connection: this.#connection, settings: this.#settings }, undefined)
        if (published?.leavesOut.some(isOfRows) === true) {
          const problems = `the publication "${this.#settings.publication}" leaves out changes now: ${published.leavesOut.join(', ')}`
          this.#fail(fail('CAPTURE_NOT_READY', { source, technique: 'log', problems }))
        }
        const list = [...this.#tables.values()].map(it => it.oid).join(',')
        const there = await this.#connection.query(
          sql`select c.oid, n.nspname, c.relname, exists (select from pg_inherits i where i.inhparent = c.oid), c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.oid = any(string_to_array(${list}, ',')::oid[])`,
        )
        const forms = await readForms(
          this.#connection,
          [...this.#tables.values()].map(it => it.oid),
        )
        const found = new Map(there.map(([oid, ...it]) => [oid, it]))
        for (const [name, watched] of this.#tables) {
          const oid = String(watched.oid)
          const [schema, relation, hasParts, kind] = found.get(oid) ?? []
          if (schema !== watched.schema || relation !== watched.relation) {
            this.#tell({ name, unseen: null })
            continue
          }
          const passed = passedBy(this.#settings, published, { oid, mark: watched.mark, isPartitioned: kind === 'p' })
          if (passed !== null) {
            this.#lose(name, passed)
            continue
          }
          const why = await this.#unseen(watched, { now: forms.get(watched.oid), isParted: hasParts === 't' })
          if (why !== null) this.#tell({ name, unseen: why })
        }
        this.#forms = forms
      })
      .catch(error => this.#fail(error as Error))
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

  #lose(table: string, problem: string): void {
    this.#tables.delete(table)
    this.#lost.push({ table, problem })
    this.#fail(fail('STREAM_TABLE_LOST', { source: this.#target.source, table, problem }))
  }

  #fail(error: Error): void {
    this.#error ??= error
    this.#onError()
  }
}
