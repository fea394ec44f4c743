import type { ChangeSlice } from '../../../../core/change-slice.ts'
import type { Env } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { joinSql, sql, type Ident } from '../../../../core/sql.ts'
import { oneAtATime } from '../../../../core/one-at-a-time.ts'
import { captureDefaults, type CaptureLag, type CaptureRequest, type SchemaChange } from '../../contract-capture.ts'
import type { ChangeFeed } from '../../polled-stream.ts'
import { Pruner } from '../../pruner.ts'
import type { Connection } from '../connection.ts'
import { sourceError } from '../errors.ts'
import type { Target } from '../target.ts'
import { comparePositions, positionOf, seenOf, type Position } from './position.ts'
import { pruning } from './prune.ts'
import type { TableTechnique } from './script.ts'
import { readStream, streamLock } from './state.ts'
import { WindowReader, type ChangeRows, type Group } from './window.ts'

/** What differs between change tables of triggers and an outbox. */
export interface FeedKind {
  readonly technique: TableTechnique
  /** Looks at the source before each new view, and behind one with changes: throws `CAPTURE_NOT_READY`, or gives a change of shape and reads by the new one from then on. */
  check(connection: Connection, signal: AbortSignal): Promise<FoundShape | null>
  assemble(group: Group): ChangeSlice
}

/** A change of shape. */
export interface FoundShape {
  readonly change: SchemaChange
  /** Changes of the view may lack values that the table had: it is told before them. */
  readonly isLoss: boolean
}

/** A change table over this size is told of: it grows while nobody confirms. */
const TROUBLE_BYTES = 1024n * 1024n * 1024n

/** A stream's session with the source. */
export class TableFeed implements ChangeFeed {
  readonly #target: Target
  readonly #connection: Connection
  readonly #kind: FeedKind
  readonly #windows: WindowReader
  readonly #sources: readonly ChangeRows[]
  readonly #pruner: Pruner<Position>
  /** Comes next. */
  #held: ChangeSlice | SchemaChange | null = null
  /** Questions come one at a time. */
  readonly #turns = oneAtATime()

  private constructor(
    { env, target, connection }: { readonly env: Env; readonly target: Target; readonly connection: Connection },
    kind: FeedKind,
    {
      sources,
      from,
      request,
    }: { readonly sources: readonly ChangeRows[]; readonly from: Position; readonly request: CaptureRequest },
  ) {
    this.#target = target
    this.#connection = connection
    this.#kind = kind
    this.#sources = sources
    const { technique } = kind
    const sliceBytes = request.sliceBytes ?? captureDefaults.sliceBytes
    this.#windows = new WindowReader({ connection, target }, { technique, sources, from, sliceBytes })
    this.#pruner = new Pruner(pruning(env, target, technique, sources))
  }

  /** `connection` becomes the feed's own. */
  static async open(
    given: { readonly env: Env; readonly target: Target; readonly connection: Connection },
    kind: FeedKind,
    what: { readonly sources: readonly ChangeRows[]; readonly request: CaptureRequest },
    signal: AbortSignal,
  ): Promise<TableFeed> {
    const { connection, target } = given
    await takeLock(connection, kind.technique, target, signal)
    const from = await checkPosition(connection, kind.technique, { target, text: what.request.from }, signal)
    return new TableFeed(given, kind, { ...what, from })
  }

  async poll(isDue: boolean, signal: AbortSignal): Promise<ChangeSlice | SchemaChange | null> {
    return this.#alone(async () => {
      const held = this.#held
      this.#held = null
      if (held !== null) return held
      const look = (): Promise<FoundShape | null> => this.#kind.check(this.#connection, signal)
      const isNewView = this.#windows.isBetweenWindows
      const before = isNewView ? await look() : null
      if (before !== null) return before.change
      const group = await this.#windows.next(isDue, signal)
      if (group === null) return null
      const slice = this.#kind.assemble(group)
      // Once more behind the view: nothing in it was written under a shape that was not looked at.
      const found = isNewView && group.rows.size > 0 ? await look() : null
      if (found === null) return slice
      this.#held = found.isLoss ? slice : found.change
      return found.isLoss ? found.change : slice
    })
  }

  async confirm(position: string): Promise<void> {
    const parsed = positionOf(position)
    if (parsed !== null) this.#pruner.want(parsed)
  }

  async lag(signal: AbortSignal): Promise<CaptureLag> {
    return this.#alone(async () => {
      const tables = this.#sources.map(({ table }) => table)
      const lag = await tablesLag(this.#connection, tables, signal)
      return { ...lag, trouble: this.#pruner.trouble ?? lag.trouble }
    })
  }

  async close(): Promise<void> {
    await this.#pruner.close()
    await this.#connection.close()
  }

  async #alone<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await this.#turns.run(task)
    } catch (error) {
      throw sourceError(error, this.#target, null)
    }
  }
}

/** A row lies in a page of 8 KiB with its index entries; what of it is longer lies beside the table, in pieces of 2 KiB. */
const [ROW_BYTES_MAX, PIECE_BYTES_MAX] = [8_192, 2_100]

/**
 * What change tables hold that was not confirmed. Confirmed rows are deleted; their space waits for a vacuum, and is used again
 * then: it does not wait for us. How much is which is an estimate of the server; where it has none, all of it counts.
 */
export async function tablesLag(
  connection: Connection,
  tables: readonly Ident[],
  signal: AbortSignal,
): Promise<CaptureLag> {
  if (tables.length === 0) return { bytes: null, bytesLeft: null, trouble: null }
  const names = tables.map(({ path }) => sql`(${path[0] as string}, ${path[1] as string})`)
  const [row] = await connection.query(
    sql`
    select sum(size), sum(ceil(case when live + dead > 0 then least(size * live / (live + dead), live * most)
      when pg_relation_size(p.oid) = 0 then 0 else size end))
    from (values ${joinSql(names)}) as n(a, b) join pg_class c on c.oid = to_regclass(format('%I.%I', n.a, n.b))
      cross join lateral (values
        (c.oid, pg_total_relation_size(c.oid) - coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0), ${ROW_BYTES_MAX}),
        (nullif(c.reltoastrelid, 0), pg_total_relation_size(nullif(c.reltoastrelid, 0)), ${PIECE_BYTES_MAX})) as p(oid, bytes, most)
      cross join lateral (values (p.bytes::numeric, pg_stat_get_live_tuples(p.oid), pg_stat_get_dead_tuples(p.oid))) as s(size, live, dead)
    where p.oid is not null`,
    signal,
  )
  const [size, bytes] = [BigInt(row?.[0] ?? '0'), BigInt(row?.[1] ?? '0')]
  const text = `about ${bytes} bytes of the ${size} of the change tables are changes that were not confirmed: they grow until what was read is`
  return { bytes, bytesLeft: null, trouble: bytes > TROUBLE_BYTES ? text : null }
}

/** Holds the stream of a technique while the session lives. Throws `CAPTURE_HELD`. */
export async function takeLock(
  connection: Connection,
  technique: TableTechnique,
  { source }: Target,
  signal: AbortSignal,
): Promise<void> {
  const [row] = await connection.query(sql`select pg_try_advisory_lock(${streamLock(technique)})`, signal)
  if (row?.[0] === 't') return
  const [holder] = await connection.query(
    sql`
    select concat_ws(' ', 'session', a.pid, 'of', a.usename, 'from', coalesce(a.client_addr::text, 'the machine itself'), 'since', a.backend_start)
    from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_database where datname = current_database())
      and ((l.classid::bigint << 32) | l.objid::bigint) = ${streamLock(technique)}`,
    signal,
  )
  throw fail('CAPTURE_HELD', { source, technique, holder: holder?.[0] ?? 'a session that has ended meanwhile' })
}

async function checkPosition(
  connection: Connection,
  technique: TableTechnique,
  { target, text }: { readonly target: Target; readonly text: string },
  signal: AbortSignal,
): Promise<Position> {
  const lost = (problem: string): Error => fail('POSITION_LOST', { source: target.source, technique, problem })
  const from = positionOf(text)
  if (from === null) throw lost('it is no position of a change table')
  const stream = await readStream(connection, technique, signal)
  if (stream === null) throw lost('there is no change table any more')
  if (from.log !== logOf(stream))
    throw lost('the change table was made anew, or the server is another one or was set back')
  const pruned = stream.pruned === null ? null : seenOf(stream.pruned)
  if (pruned !== null && comparePositions({ ...from, after: 0n }, { ...from, seen: pruned, after: 0n }) < 0) {
    throw lost('changes behind it were confirmed by another reader, and are deleted')
  }
  const [row] = await connection.query(sql`select pg_current_snapshot()::text`, signal)
  const now = seenOf(row?.[0] as string)
  if (now === null || comparePositions({ ...from, after: 0n }, { ...from, seen: now, after: 0n }) > 0) {
    throw lost('the server has not come so far: it was set back')
  }
  return from
}

/** The name of a log in positions: of the change table, on this server. */
export function logOf({ identity, server }: { readonly identity: string; readonly server: string }): string {
  return `${identity}.${server}`
}
