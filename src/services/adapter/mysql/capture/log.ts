import { sha256, type Env } from '../../../../core/env.ts'
import { ident, rawSql, renderSql, sql } from '../../../../core/sql.ts'
import { EVENT, formatOf, logEvent } from '../../../../systems/mysql/binlog/events.ts'
import { mysqlDialect } from '../../../../systems/mysql/dialect.ts'
import type {
  CapturedTable,
  CaptureLag,
  CaptureProblem,
  CaptureRequest,
  Captures,
  ChangeStream,
} from '../../contract-capture.ts'
import { keptOpen, type Closing } from '../../kept-open.ts'
import { placesOf } from '../catalog.ts'
import type { Target } from '../target.ts'
import { Charsets } from './charsets.ts'
import { Dump } from './dump.ts'
import { logError, lost, notReady, refusal } from './errors.ts'
import { accountText, inspectLog, unloggedProblems } from './inspect.ts'
import { lagBehind } from './lag.ts'
import { LogReader } from './log-reader.ts'
import { comparePlaces, parsePosition, positionText, type LogPosition, type Place } from './position.ts'
import { PreparedTransactions } from './prepared.ts'
import { Sessions } from './sessions.ts'
import { SliceBuilder } from './slice-builder.ts'
import { LogStream } from './stream.ts'
import { StreamTables } from './tables.ts'

/** Captures by the row log of MariaDB, read as a replica reads it. Nothing is made at the source. */
export class LogCaptures implements Captures {
  readonly can = { deletes: true, everyVersion: true, silentWriters: true, transactions: true, truncates: true }
  readonly #env: Env
  readonly #target: Target
  readonly #open = new Set<Closing>()
  /** Sessions that sent the log, and that we are done with. */
  readonly #ended = new Set<number>()

  constructor(env: Env, target: Target) {
    this.#env = env
    this.#target = target
  }

  inspect(tables: readonly CapturedTable[], signal: AbortSignal): Promise<readonly CaptureProblem[]> {
    return this.#ask(async sessions => inspectLog(await sessions.control(signal), this.#target, tables, signal))
  }

  async install(tables: readonly CapturedTable[], signal: AbortSignal): Promise<string> {
    const problems = (await this.inspect(tables, signal)).filter(({ isFatal }) => isFatal)
    if (problems.length > 0) throw notReady(this.#target, problems.map(({ text }) => text).join('; '))
    return this.#ask(async sessions => {
      const control = await sessions.control(signal)
      // Prepared before the position and committed behind it: its rows would lie before the position only.
      const prepared = await control.query(sql`xa recover`, signal)
      if (prepared.length > 0) {
        throw notReady(this.#target, `${prepared.length} prepared transactions have not ended (xa recover)`)
      }
      return this.#head(sessions, signal)
    })
  }

  script(tables: readonly CapturedTable[]): {
    readonly install: readonly string[]
    readonly remove: readonly string[]
  } {
    const account = accountText(this.#target)
    const objects = tables.map(({ remote }) => {
      const [schema, relation] = placesOf(remote, this.#target.database)[0] ?? [this.#target.database, remote]
      return renderSql(sql`${ident(schema, relation)}`, mysqlDialect).text
    })
    return {
      install: [
        `set global binlog_format = 'ROW';`,
        `set global binlog_row_image = 'FULL';`,
        `set global binlog_row_metadata = 'FULL';`,
        `grant replication slave, binlog monitor on *.* to ${account};`,
        ...objects.map(name => `grant select on ${name} to ${account};`),
      ],
      remove: [`revoke replication slave, binlog monitor on *.* from ${account};`],
    }
  }

  /** Nothing was made. */
  async remove(): Promise<void> {}

  head(signal: AbortSignal): Promise<string> {
    return this.#ask(sessions => this.#head(sessions, signal))
  }

  lag(from: string | null, signal: AbortSignal): Promise<CaptureLag> {
    const position = from === null ? null : parsePosition(from)
    if (position === null) return Promise.resolve({ bytes: null, bytesLeft: null, trouble: null })
    return this.#ask(async sessions => lagBehind(await sessions.control(signal), position, signal))
  }

  compare(a: string, b: string): number {
    const [left, right] = [a, b].map(text => parsePosition(text))
    if (left == null || right == null) throw lost(this.#target, `"${left == null ? a : b}" is no position`)
    return comparePlaces(left, right)
  }

  async open(request: CaptureRequest, signal: AbortSignal): Promise<ChangeStream> {
    const from = parsePosition(request.from)
    if (from === null) throw lost(this.#target, `"${request.from}" is no position`)
    const sessions = new Sessions(this.#env, this.#target, this.#ended)
    try {
      return keptOpen(this.#open, await this.#openStream(sessions, { request, from }, signal))
    } catch (error) {
      await sessions.close()
      throw logError(error, this.#target, `${from.file}:${from.offset}`)
    }
  }

  /** Ends every stream. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map(it => it.close()))
  }

  async #openStream(
    sessions: Sessions,
    { request, from }: { readonly request: CaptureRequest; readonly from: LogPosition },
    signal: AbortSignal,
  ): Promise<ChangeStream> {
    const [env, target] = [this.#env, this.#target]
    await this.#assertGoesOn(sessions, from, signal)
    const control = (): ReturnType<Sessions['control']> => sessions.control(signal)
    const tables = await StreamTables.open(target, it => sessions.control(it), request.tables, signal)
    const charsets = await Charsets.open(control, signal)
    const builder = new SliceBuilder()
    const made: { stream?: LogStream } = {}
    const reader = new LogReader({
      target,
      from,
      tables,
      charsets,
      builder,
      prepared: new PreparedTransactions(),
      flush: () => made.stream?.flush(),
      tell: change => made.stream?.tell(change),
      dumpFrom: async (start, isWanted, inTime) => {
        const connection = await sessions.another(inTime)
        return Dump.start({ env, target, connection }, { ...start, serverId: 0, endsAtEnd: true, isWanted }, inTime)
      },
    })
    const { serverId } = this
    const connection = await sessions.holder(serverId, signal)
    const start: Place = from.since ?? from
    const dump = await Dump.start(
      { env, target, connection },
      { ...start, serverId, endsAtEnd: false, isWanted: reader.isWanted },
      signal,
    )
    made.stream = new LogStream({ env, target, request, signal, sessions, dump, reader, builder })
    return made.stream
  }

  /** Our number among the readers of the server: the same for the same source, and hardly that of another. */
  get serverId(): number {
    const { source, address, serverId } = this.#target
    if (serverId > 0) return serverId
    const span = SERVER_ID_MAX - SERVER_ID_MIN
    return SERVER_ID_MIN + (Number.parseInt(sha256(`naru ${source} ${address}`).slice(0, 8), 16) % span)
  }

  /** The log must be the one that was read, and must still have what comes next. */
  async #assertGoesOn(sessions: Sessions, from: LogPosition, signal: AbortSignal): Promise<void> {
    const control = await sessions.control(signal)
    const [row] = await control.query(
      sql`select @@global.server_id, @@global.log_bin, binlog_gtid_pos(${from.file}, ${rawSql(String(from.offset))})`,
      signal,
    )
    const [server, isOn, gtids] = row ?? []
    const at = `${from.file}:${from.offset}`
    if (isOn !== '1') throw notReady(this.#target, 'the server writes no binary log')
    const [unlogged] = await unloggedProblems(control, signal)
    if (unlogged !== undefined) throw notReady(this.#target, unlogged.text)
    if (Number(server) !== from.server) {
      throw lost(this.#target, `this is server ${server}, and ${at} is of server ${from.server}`)
    }
    if (gtids == null) throw lost(this.#target, await this.#gapAt(sessions, from, signal))
    if (sorted(gtids) !== sorted(from.gtids)) {
      throw lost(
        this.#target,
        `${at} of its log now stands behind transaction ${gtids || 'none'}, not ${from.gtids || 'none'}: it is another log`,
      )
    }
  }

  async #gapAt(sessions: Sessions, { file, offset }: LogPosition, signal: AbortSignal): Promise<string> {
    const files = await (await sessions.control(signal)).query(sql`show binary logs`, signal)
    const [first, last] = [files[0]?.[0] ?? 'nothing', files.at(-1)]
    const isThere = files.some(([name]) => name === file)
    return isThere
      ? `its log has no transaction that ends at ${file}:${offset}`
      : `its log begins with ${first} and ends with ${last?.[0] ?? 'nothing'}: what stood between ${file}:${offset} and there is gone`
  }

  /** Where the log ends now. */
  async #head(sessions: Sessions, signal: AbortSignal): Promise<string> {
    const control = await sessions.control(signal)
    const [status] = await control.query(sql`show master status`, signal)
    if (status === undefined) throw notReady(this.#target, 'the server writes no binary log')
    const [file, offset] = [status[0] as string, Number(status[1])]
    const [row] = await control.query(
      sql`select @@global.server_id, binlog_gtid_pos(${file}, ${rawSql(String(offset))})`,
      signal,
    )
    const born = await this.#bornAt(sessions, { file, offset }, signal)
    return positionText({ file, offset, server: Number(row?.[0]), born, gtids: sorted(row?.[1] ?? ''), since: null })
  }

  /** When a file was begun: the server says it before the events behind a position. */
  async #bornAt(sessions: Sessions, place: Place, signal: AbortSignal): Promise<number> {
    const [env, target] = [this.#env, this.#target]
    const connection = await sessions.another(signal)
    const request = { ...place, serverId: 0, endsAtEnd: true, isWanted: () => false }
    const dump = await Dump.start({ env, target, connection }, request, signal)
    try {
      for (;;) {
        const message = dump.take()
        if (message === null) await dump.more(FOREVER_MS, signal)
        else if (message.kind === 'error') throw refusal(message.error)
        else if (message.kind === 'end') return 0
        else if (message.kind === 'event') {
          const event = logEvent(message.bytes, 'unknown')
          if (event.type === EVENT.format) return formatOf(event).born
        }
      }
    } finally {
      dump.destroy()
    }
  }

  async #ask<T>(work: (sessions: Sessions) => Promise<T>): Promise<T> {
    const sessions = new Sessions(this.#env, this.#target)
    try {
      return await work(sessions)
    } catch (error) {
      throw logError(error, this.#target, 'the end of its log')
    } finally {
      await sessions.close()
    }
  }
}

const SERVER_ID_MIN = 1_000_000_000
const SERVER_ID_MAX = 4_294_967_295
/** Longer than a session waits in silence. */
const FOREVER_MS = 3_600_000

/** A set of GTIDs in the order of its domains. */
function sorted(gtids: string): string {
  return gtids
    .split(',')
    .filter(gtid => gtid !== '')
    .sort((a, b) => Number(a.split('-')[0]) - Number(b.split('-')[0]))
    .join(',')
}
