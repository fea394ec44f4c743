import { bufferPool } from '../../../../core/buffer-pool.ts'
import type { Env } from '../../../../core/env.ts'
import { fail, systemCodeOf } from '../../../../core/errors.ts'
import { ident, rawSql, sql } from '../../../../core/sql.ts'
import { readLogAs } from '../../../../systems/postgres/log-values.ts'
import {
  captureDefaults,
  type CapturedTable,
  type LostTable,
  type CaptureLag,
  type CaptureProblem,
  type CaptureRequest,
  type Captures,
  type ChangeStream,
  type Leftovers,
  type LeftTables,
} from '../../contract-capture.ts'
import { nativeOf, readCatalog, readTypes, type CatalogTable, type Types } from '../catalog.ts'
import type { During } from '../../during.ts'
import { Connection, type SessionUse } from '../connection.ts'
import { duringSession } from '../during.ts'
import { sourceError } from '../errors.ts'
import type { Target } from '../target.ts'
import { ChangeDecoder } from './decoder.ts'
import { BufferedTransactions } from './buffered.ts'
import { inspectLog } from './inspect.ts'
import { publish, publishedFault, readPublication, type Publication } from './publication.ts'
import { lagOf } from './lag.ts'
import { leftOf } from './left.ts'
import { comparePositions, lsnText, parsePosition, positionText, type LogPosition } from './position.ts'
import { createSlot, dropSlot, hasFailover, scriptOf, startCommand } from './setup.ts'
import type { LogSettings } from './settings.ts'
import { assertReachable, assertSameHistory, heartbeat, inUseBy, lost, readServer, type ServerState } from './slot.ts'
import { LogStream, streamError, textCheck } from './stream.ts'
import { Watch } from './watch.ts'
import { ReplicationWire } from './wire.ts'

/** Our word to the server comes at least so often: its own limit is a minute unless somebody changed it. */
const PING_MS = 5_000
/** How often the tables are looked at: the log does not say that one was dropped. */
const LOOK_MS = 5_000
/** A process of the server may need a moment to see that its reader is gone. */
const LETS_GO_MS = 5_000
const WAIT_MS = 50
const IN_USE = '55006'
const EXISTS = '42710'

/** A table of a stream, as the catalog has it. */
interface FoundTable extends CapturedTable {
  readonly oid: number
  readonly schema: string
  readonly relation: string
  readonly isBinary: boolean
  /** How it is in the publication. */
  readonly mark: string | null
}

/** What the captures are made with. */
export interface LogOpening {
  readonly env: Env
  readonly target: Target
  readonly settings: LogSettings
}

/** The change technique `log`: a replication slot, read by the protocol of logical replication. */
export class LogCaptures implements Captures {
  readonly can = {
    deletes: true,
    everyVersion: true,
    silentWriters: true,
    transactions: true,
    truncates: true,
  } as const
  readonly #env: Env
  readonly #target: Target
  readonly #settings: LogSettings
  readonly #during: During<Connection, SessionUse>
  readonly #open = new Set<LogStream>()
  /** A type without a binary form came up: from now on values come as text. */
  #isText = false

  constructor({ env, target, settings }: LogOpening) {
    this.#env = env
    this.#target = target
    this.#settings = settings
    this.#during = duringSession(env, target)
  }

  inspect(tables: readonly CapturedTable[], signal: AbortSignal): Promise<readonly CaptureProblem[]> {
    return this.#during('read', signal, connection => this.#inspect(connection, tables, signal))
  }

  install(tables: readonly CapturedTable[], signal: AbortSignal): Promise<string> {
    return this.#during('write', signal, async connection => {
      this.#assertReady(await this.#inspect(connection, tables, signal))
      const isWider = await publish({ connection, settings: this.#settings, target: this.#target }, tables, signal)
      const before = await readServer(connection, this.#settings, signal)
      // One that was there is gone with what it kept: another one would keep log again, for a stream that cannot go on.
      const isLost = before.slot === null && tables.some(it => it.isFollowed === true)
      if (before.slot === null && !isLost) await this.#createSlot(connection, before, signal)
      else if (isWider && !isLost) await this.#waitForOlder(connection, signal)
      const now = await readServer(connection, this.#settings, signal)
      const fresh = before.slot === null ? now.slot?.confirmed : null
      return positionText({ ...now, lsn: fresh ?? now.head })
    })
  }

  lost(tables: readonly CapturedTable[], signal: AbortSignal): Promise<readonly LostTable[]> {
    return this.#during('read', signal, async connection => {
      const found = await readPublication({ connection, settings: this.#settings }, signal)
      if (found === null) return []
      const followed = tables.filter(it => it.isFollowed === true)
      return this.#unpublished(connection, { found, tables: followed }, signal)
    })
  }

  script(tables: readonly CapturedTable[]): ReturnType<Captures['script']> {
    return scriptOf(this.#settings, tables, this.#target.user)
  }

  remove(signal: AbortSignal): Promise<void> {
    return this.#during('write', signal, async connection => {
      await this.#dropSlot(connection, signal)
      const found = await readPublication({ connection, settings: this.#settings }, signal)
      if (found !== null && found.ours !== null)
        await connection.query(sql`drop publication ${ident(this.#settings.publication)}`, signal)
    })
  }

  head(signal: AbortSignal): Promise<string> {
    return this.#during('read', signal, async connection => {
      const state = await readServer(connection, this.#settings, signal)
      const { heartbeatMs } = this.#settings
      // A read that tidies a page writes log that no commit brings to the disk: nobody would be sent that for a quarter of a minute.
      if (heartbeatMs > 0 && state.head > state.flushed) await connection.query(heartbeat, signal)
      return positionText({ ...state, lsn: state.head })
    })
  }

  lag(from: string | null, signal: AbortSignal): Promise<CaptureLag> {
    return this.#during('read', signal, async connection => {
      const { slot } = await readServer(connection, this.#settings, signal)
      if (slot === null && from === null) return { bytes: null, bytesLeft: null, trouble: null }
      return lagOf(this.#settings.slot, slot)
    })
  }

  get place(): string {
    return `${this.#target.address}, slot ${this.#settings.slot}`
  }

  leftovers(left: LeftTables, signal: AbortSignal): Promise<Leftovers> {
    return this.#during('read', signal, connection => leftOf({ connection, settings: this.#settings }, left, signal))
  }

  compare(a: string, b: string): number {
    return comparePositions(a, b)
  }

  async open(request: CaptureRequest, signal: AbortSignal): Promise<ChangeStream> {
    const from = parsePosition(request.from)
    if (from === null) throw lost(this.#target, `"${request.from}" is no position of a log of PostgreSQL`)
    let [beside, log]: (Connection | null)[] = [null, null]
    try {
      beside = await Connection.open(this.#env, this.#target, 'read', signal)
      const state = await readServer(beside, this.#settings, signal)
      await this.#assertOpenable(beside, from, state)
      const types = await readTypes(beside, signal)
      const tables = await this.#tables(beside, { tables: request.tables, types }, signal)
      log = await Connection.open(this.#env, this.#target, 'log', signal)
      if (from.timeline !== state.timeline) await this.#assertHistory(log, from, state)
      return await this.#stream({
        request,
        from,
        state,
        tables,
        beside,
        log,
        types,
        signal,
      })
    } catch (error) {
      await beside?.close()
      log?.destroy()
      throw sourceError(error, this.#target, null)
    }
  }

  /** Ends every stream that is open; never throws. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map(it => it.close()))
  }

  async #stream(given: {
    readonly request: CaptureRequest
    readonly from: LogPosition
    readonly state: ServerState
    readonly tables: readonly FoundTable[]
    readonly beside: Connection
    readonly log: Connection
    readonly types: Types
    readonly signal: AbortSignal
  }): Promise<ChangeStream> {
    const { request, from, state, tables, beside, log, types, signal } = given
    const {
      sliceBytes = captureDefaults.sliceBytes,
      lingerMs = captureDefaults.lingerMs,
      heldBytes = captureDefaults.heldBytes,
    } = request
    const { clock } = this.#env
    const isBinary = log.version >= 140_000 && !this.#isText && tables.every(it => it.isBinary)
    const buffered = new BufferedTransactions(this.#env, request.spillDir, heldBytes)
    await buffered.open()
    const pool = bufferPool()
    const decoder = new ChangeDecoder({
      tables,
      types,
      isBinary,
      checkText: textCheck(log.encoding),
      pool,
      buffered,
      sliceBytes,
      rowBytesMax: this.#target.rowBytesMax,
      from: from.lsn,
      positionText: lsn => positionText({ ...state, lsn }),
    })
    const wire = new ReplicationWire(log, clock)
    const watch = new Watch(beside, {
      clock,
      target: this.#target,
      settings: this.#settings,
      isStandby: state.isStandby,
      tables,
    })
    const { silenceMs } = this.#settings
    const pingMs = Math.min(PING_MS, silenceMs / 3, state.senderTimeoutMs > 0 ? state.senderTimeoutMs / 3 : PING_MS)
    const command = startCommand(this.#settings, { lsn: lsnText(from.lsn), version: log.version, isBinary })
    // Nothing is confirmed by opening: what lies before `from` may still be wanted by who opens again.
    wire.start(rawSql(command), { confirmed: 0n, pingMs })
    await this.#started(wire, decoder, beside)
    watch.start(LOOK_MS, () => wire.wake())
    const needsText = (): void => void (this.#isText = true)
    const stream: LogStream = new LogStream({
      wire,
      decoder,
      buffered,
      watch,
      pool,
      clock,
      target: this.#target,
      lingerMs,
      silenceMs,
      signal,
      needsText,
      closed: () => this.#open.delete(stream),
    })
    this.#open.add(stream)
    return stream
  }

  /** The server's answer to the command; its refusal as an error. */
  async #started(wire: ReplicationWire, decoder: ChangeDecoder, beside: Connection): Promise<void> {
    const until = this.#env.clock.monotonicMs() + this.#settings.silenceMs
    for (;;) {
      const found = decoder.step()
      if (found.kind === 'started') return
      if (found.kind === 'failed') {
        await wire.close()
        if (found.error.code === IN_USE) throw await inUseBy(beside, { settings: this.#settings, target: this.#target })
        throw streamError(Object.assign(new Error(found.error.message), { code: found.error.code }), this.#target)
      }
      if (found.kind !== 'more') continue
      const chunk = wire.take(found.bytes)
      if (chunk !== null) decoder.feed(chunk)
      else if (wire.error !== null) throw wire.error
      else if (this.#env.clock.monotonicMs() > until) throw new Error('timeout expired: the stream does not begin')
      else await wire.wait(WAIT_MS)
    }
  }

  #assertReady(problems: readonly CaptureProblem[]): void {
    const fatal = problems.filter(it => it.isFatal)
    if (fatal.length === 0) return
    const text = fatal.map(it => `${it.table === null ? '' : `table "${it.table}": `}${it.text} (${it.fix})`).join('; ')
    throw fail('CAPTURE_NOT_READY', { source: this.#target.source, technique: 'log', problems: text })
  }

  #inspect(
    connection: Connection,
    tables: readonly CapturedTable[],
    signal: AbortSignal,
  ): Promise<readonly CaptureProblem[]> {
    return inspectLog({ connection, settings: this.#settings, user: this.#target.user }, tables, signal)
  }

  /** Tables that the source has and the publication does not, or not as they were asked for. */
  async #unpublished(
    connection: Connection,
    { found, tables }: { readonly found: Publication; readonly tables: readonly CapturedTable[] },
    signal: AbortSignal,
  ): Promise<readonly LostTable[]> {
    const missing: LostTable[] = []
    for (const asked of tables) {
      const [table] = await readCatalog(connection, { name: asked.remote }, signal)
      if (table === undefined) continue
      const problem = publishedFault(this.#settings, found, { table: asked, oid: String(table.oid) })
      if (problem !== null) missing.push({ table: asked.name, problem })
    }
    return missing
  }

  async #createSlot(connection: Connection, { isStandby }: ServerState, signal: AbortSignal): Promise<void> {
    try {
      await connection.query(
        createSlot(this.#settings, this.#settings.failover && hasFailover(connection.version) && !isStandby),
        signal,
      )
    } catch (error) {
      if (systemCodeOf(error) !== EXISTS) throw error // somebody made it in between
    }
  }

  /**
   * A transaction that wrote to a table before it was published is not decoded for it, though it commits later. So the
   * position lies behind the end of every transaction that is open now; making a slot waits in the same way.
   */
  async #waitForOlder(connection: Connection, signal: AbortSignal): Promise<void> {
    const [row] = await connection.query(sql`select pg_snapshot_xmax(pg_current_snapshot())`, signal)
    const limit = row?.[0] as string
    for (;;) {
      const [now] = await connection.query(
        sql`select pg_snapshot_xmin(pg_current_snapshot()) >= ${limit}::xid8`,
        signal,
      )
      if (now?.[0] === 't') return
      await this.#env.clock.sleep(WAIT_MS, signal)
    }
  }

  async #dropSlot(connection: Connection, signal: AbortSignal): Promise<void> {
    const until = this.#env.clock.monotonicMs() + LETS_GO_MS
    for (;;) {
      try {
        await connection.query(dropSlot(this.#settings), signal)
        return
      } catch (error) {
        if (systemCodeOf(error) !== IN_USE) throw error
        if (this.#env.clock.monotonicMs() > until)
          throw await inUseBy(connection, { settings: this.#settings, target: this.#target })
        await this.#env.clock.sleep(WAIT_MS, signal)
      }
    }
  }

  async #assertOpenable(connection: Connection, from: LogPosition, state: ServerState): Promise<void> {
    const given = { settings: this.#settings, target: this.#target }
    if (state.slot?.activePid != null) throw await inUseBy(connection, given)
    assertReachable(from, state, given)
  }

  async #assertHistory(log: Connection, from: LogPosition, state: ServerState): Promise<void> {
    // The first timeline has no history; one that is older than ours knows nothing of it.
    const [row] = from.timeline > state.timeline ? [] : await log.query(rawSql(`TIMELINE_HISTORY ${state.timeline}`))
    assertSameHistory(from, state, { history: row?.[1] ?? '', target: this.#target })
  }

  async #tables(
    connection: Connection,
    { tables, types }: { readonly tables: readonly CapturedTable[]; readonly types: Types },
    signal: AbortSignal,
  ): Promise<readonly FoundTable[]> {
    const published = await readPublication({ connection, settings: this.#settings }, signal)
    const asked = []
    for (const table of tables) {
      const [found] = await readCatalog(connection, { name: table.remote }, signal)
      if (found === undefined) throw this.#notReady(table, `there is no table "${table.remote}"`)
      const problem =
        published === null ? null : publishedFault(this.#settings, published, { table, oid: String(found.oid) })
      if (problem !== null) throw this.#notReady(table, `${problem}: its changes are missed`)
      const isBinary = await this.#isBinary(connection, { table, found, types }, signal)
      const mark = published?.markOf(String(found.oid)) ?? null
      asked.push({ ...table, schema: found.schema, relation: found.relation, oid: found.oid, isBinary, mark })
    }
    return asked
  }

  #notReady({ name }: CapturedTable, problem: string): Error {
    return fail('CAPTURE_NOT_READY', {
      source: this.#target.source,
      technique: 'log',
      problems: `table "${name}": ${problem}`,
    })
  }

  async #isBinary(
    connection: Connection,
    { table, found, types }: { readonly table: CapturedTable; readonly found: CatalogTable; readonly types: Types },
    signal: AbortSignal,
  ): Promise<boolean> {
    const rows = await connection.query(
      sql`select attname, atttypid, atttypmod from pg_attribute where attrelid = ${found.oid}::oid and attnum > 0 and not attisdropped`,
      signal,
    )
    return rows
      .filter(([name]) => table.columns.some(it => it.name === name))
      .every(([, type, modifier]) => readLogAs(nativeOf(Number(type), Number(modifier), types), true) !== null)
  }
}
