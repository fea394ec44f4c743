import { changeOp } from '../../../../core/change-slice.ts'
import {
  EVENT,
  formatOf,
  gtidOf,
  HEADER_BYTES,
  logEvent,
  queryOf,
  rotateOf,
  type Checksum,
  type Gtid,
  type LogEvent,
  type LoggedQuery,
} from '../../../../systems/mysql/binlog/events.ts'
import type { LogMessage } from '../../../../systems/mysql/binlog/event-reader.ts'
import { CELL_NULL, isRows } from '../../../../systems/mysql/binlog/rows.ts'
import { ProtocolError } from '../../../../systems/mysql/protocol.ts'
import { TABLE_ID_BYTES, tableIdOf, tableMapOf, type TableMap } from '../../../../systems/mysql/binlog/table-map.ts'
import { newBlock } from '../../../../systems/wire/block.ts'
import type { SchemaChange } from '../../contract-capture.ts'
import type { Target } from '../target.ts'
import type { Charsets } from './charsets.ts'
import { statementOf, type NamedTable, type ShapeStatement } from './ddl.ts'
import { lost, refusal } from './errors.ts'
import { planOf, planWithoutRows, type KnownTable, type TablePlan } from './plan.ts'
import {
  comparePlaces,
  fileNumber,
  gtidsByDomain,
  gtidText,
  positionText,
  transactionId,
  type LogPosition,
} from './position.ts'
import type { Dump } from './dump.ts'
import type { PreparedTransactions } from './prepared.ts'
import { RowDecoder, type TakeChanges } from './row-decoder.ts'
import type { SliceBuilder } from './slice-builder.ts'
import type { StreamTables } from './tables.ts'

export interface LogReaderParts {
  readonly target: Target
  readonly from: LogPosition
  readonly tables: Pick<StreamTables, 'find' | 'named' | 'lookAgain'>
  readonly charsets: Pick<Charsets, 'nameOf' | 'translateOf'>
  readonly builder: SliceBuilder
  readonly prepared: PreparedTransactions
  /** Gives away what was collected, because a table has no room for more. */
  readonly flush: () => void
  /** Tells what became of the shape of a table, behind what was given away. */
  readonly tell: (change: SchemaChange) => void
  /** The log from another place on, over a session of its own. */
  readonly dumpFrom: (start: Place, isWanted: (head: Buffer) => boolean, signal: AbortSignal) => Promise<Dump>
  /** Reads the rows of one prepared transaction, and nothing behind it. */
  readonly isReplay?: boolean
}

/** A place in the files of the log. */
export type Place = Pick<LogPosition, 'file' | 'offset'>

/** A table of the log, by the bytes that describe it. */
interface MappedTable {
  readonly described: Buffer
  readonly decoder: RowDecoder | null
  readonly plan: TablePlan | null
}

/** Between two `gtid` events: one transaction, or one statement that changes tables. */
interface Group {
  readonly gtid: Gtid
  readonly start: Place
  /** Its rows are not read: it was given already, or it is only prepared. */
  readonly isPassed: boolean
}

const MICROS = 1_000_000n
/** What a truncate counts for the size of a slice. */
const TRUNCATE_BYTES = 64
/** Longer than the session waits in silence. */
const REPLAY_MS_MAX = 3_600_000

/** Follows the events of the log group by group, and gives the rows of the tables asked for to the builder. */
export class LogReader {
  readonly #parts: LogReaderParts
  readonly #mapped = new Map<string, MappedTable>()
  /** Numbers of tables, good for one group. */
  readonly #byId = new Map<number, MappedTable | null>()
  readonly #gtids: Map<number, string>
  #checksum: Checksum = 'unknown'
  #file: string
  #place: number
  #group: Group | null = null
  #done: LogPosition
  /** The clock of the newest transaction; `null` until there was one. */
  committedMicros: bigint | null = null
  /** The prepared transaction that is read again has ended. */
  isOver = false

  constructor(parts: LogReaderParts) {
    const { from } = parts
    this.#parts = parts
    this.#done = from
    this.#gtids = gtidsByDomain(from.gtids)
    const begin = from.since ?? from
    this.#file = begin.file
    this.#place = begin.offset
  }

  /** Everything before it is in the builder, or was. */
  get done(): LogPosition {
    const { prepared } = this.#parts
    return { ...this.#done, since: prepared.oldest() }
  }

  /** True for a large event that is worth holding. */
  readonly isWanted = (head: Buffer): boolean => {
    const type = head[4] as number
    return !isRows(type) || (this.#isOpen && this.#byId.get(head.readUIntLE(HEADER_BYTES, TABLE_ID_BYTES)) != null)
  }

  /** Takes the next message; a promise when something must be asked first. */
  read(message: LogMessage, signal: AbortSignal): Promise<void> | null {
    if (message.kind === 'skipped') return this.#skipped(message.head, message.size)
    if (message.kind !== 'event') return null
    const event = logEvent(message.bytes, this.#checksum)
    const working = this.#inBounds(event, signal)
    if (!event.isArtificial && event.end > 0) this.#moveTo(this.#endOf(event.end), event.type)
    return working
  }

  /** What stands between transactions has no changes: a file that was just begun must not look as if it were not read. */
  #moveTo(place: number, type: number): void {
    this.#place = place
    if (this.#group !== null || type === EVENT.rotate || type === EVENT.stop) return
    const here = { file: this.#file, offset: place }
    if (comparePlaces(here, this.#done) > 0) this.#done = { ...this.#done, ...here }
  }

  /** Bytes that lead past the end of their event are no event. */
  #inBounds(event: LogEvent, signal: AbortSignal): Promise<void> | null {
    try {
      return this.#event(event, signal)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      throw Object.assign(new ProtocolError(`the server sent an event of kind ${event.type} that is none`), {
        cause: error,
      })
    }
  }

  /** True while rows are taken: within a group that is not passed over. */
  get #isOpen(): boolean {
    return this.#group !== null && !this.#group.isPassed
  }

  /** The offset of an end, which the log tells below 2^32 only. */
  #endOf(end: number): number {
    const base = Math.floor(this.#place / 2 ** 32) * 2 ** 32
    return base + end < this.#place ? base + 2 ** 32 + end : base + end
  }

  #event(event: LogEvent, signal: AbortSignal): Promise<void> | null {
    switch (event.type) {
      case EVENT.rotate:
        return this.#rotate(event)
      case EVENT.format:
        return this.#format(event)
      case EVENT.gtid:
        return this.#begin(event)
      case EVENT.query:
      case EVENT.queryCompressed:
        return this.#query(event, queryOf(event), signal)
      case EVENT.tableMap:
        return this.#isOpen ? this.#table(event.body, signal) : null
      case EVENT.xid:
        return this.#commit(event)
      case EVENT.xaPrepare:
        return this.#prepare(event)
      case EVENT.beginLoad:
      case EVENT.executeLoad:
        return this.#refuseStatement(event, 'load')
      case EVENT.incident:
        throw lost(this.#parts.target, `the server lost a part of its log (an incident at ${this.#at(event)})`)
      default:
        if (isRows(event.type) && this.#isOpen) this.#byId.get(tableIdOf(event.body))?.decoder?.decode(event)
        return null
    }
  }

  #rotate(event: LogEvent): null {
    if (!event.isArtificial) return null
    const { file, offset } = rotateOf(event)
    if (fileNumber(file) < fileNumber(this.#file)) {
      throw lost(this.#parts.target, `behind ${this.#file} comes ${file}: the log was made anew (RESET MASTER)`)
    }
    if (file !== this.#file && this.#group !== null) this.#breakOff()
    this.#file = file
    this.#place = offset
    return null
  }

  #format(event: LogEvent): null {
    const { checksum, born } = formatOf(event)
    this.#checksum = checksum
    const { from, target } = this.#parts
    if (this.#file === from.file && from.born !== 0 && from.born !== born) {
      throw lost(
        target,
        `${from.file} was made anew: it is not the log that was read (RESET MASTER, or another server)`,
      )
    }
    if (comparePlaces({ file: this.#file, offset: this.#place }, this.#done) > 0) {
      this.#done = { ...this.#done, file: this.#file, offset: this.#place, born }
    } else if (this.#file === this.#done.file) this.#done = { ...this.#done, born }
    return null
  }

  /** The server ended within a group: it never took effect. */
  #breakOff(): void {
    const { builder, target } = this.#parts
    if (builder.hasGivenPart) {
      throw lost(
        target,
        `a transaction of which parts were given has no end in ${this.#file}: the server ended within it`,
      )
    }
    builder.rollback()
    this.#end()
  }

  #begin(event: LogEvent): null {
    const gtid = gtidOf(event)
    const start = { file: this.#file, offset: this.#place }
    const isGiven = comparePlaces(start, this.#parts.from) < 0
    const isPassed = this.#parts.isReplay !== true && (isGiven || gtid.isPrepared)
    this.#group = { gtid, start, isPassed }
    return null
  }

  #commit(event: LogEvent): null {
    const { builder, from } = this.#parts
    const group = this.#group
    const end = this.#endOf(event.end)
    this.#end()
    if (comparePlaces({ file: this.#file, offset: end }, from) <= 0) return null
    if (group !== null) {
      const { domain, server, sequence } = group.gtid
      this.#gtids.set(domain, `${domain}-${server}-${sequence}`)
    }
    this.committedMicros = BigInt(event.seconds) * MICROS
    this.#done = { ...this.#done, file: this.#file, offset: end, gtids: gtidText(this.#gtids) }
    builder.commit(transactionId(this.#file, end), this.committedMicros)
    return null
  }

  #end(): void {
    this.#group = null
    this.#byId.clear()
  }

  /** A transaction that is only prepared is read again where it is committed. */
  #prepare(event: LogEvent): null {
    const { prepared, isReplay } = this.#parts
    if (isReplay === true) {
      this.isOver = true
      return null
    }
    if (this.#group !== null) prepared.add(this.#group.gtid.xid, this.#group.start)
    return this.#commit(event)
  }

  #table(body: Buffer, signal: AbortSignal): Promise<void> | null {
    const map = tableMapOf(body)
    const known = this.#parts.tables.find(map.schema, map.table)
    if (known === null) {
      this.#byId.set(map.id, null)
      return null
    }
    const name = `${map.schema}\0${map.table}`
    const described = body.subarray(TABLE_ID_BYTES)
    const mapped = this.#mapped.get(name)
    if (mapped !== undefined && mapped.plan?.table === known && mapped.described.equals(described)) {
      this.#byId.set(map.id, mapped)
      return null
    }
    return this.#plan(map, known, Buffer.from(described), signal)
  }

  async #plan(map: TableMap, known: KnownTable, described: Buffer, signal: AbortSignal): Promise<void> {
    const { charsets, target } = this.#parts
    const plan = await planOf(map, known, { charsets, zeroDates: target.zeroDates, signal })
    const made = {
      described,
      plan,
      decoder: new RowDecoder(plan, { row: target.rowBytesMax, event: target.rowBytesMax * 2 }, this.#take),
    }
    this.#mapped.set(`${map.schema}\0${map.table}`, made)
    this.#byId.set(map.id, made)
  }

  readonly #take: TakeChanges = rows => {
    const { builder, flush } = this.#parts
    if (builder.isFullFor(rows.plan, rows.block.rows)) flush()
    builder.add(rows)
  }

  #skipped(head: Buffer, size: number): null {
    if (!isRows(head[4] as number)) {
      throw lost(
        this.#parts.target,
        `at ${this.#file}:${this.#place} stands a statement of ${size} bytes, which is not read`,
      )
    }
    const body = head.subarray(HEADER_BYTES)
    if (this.#isOpen) this.#byId.get(tableIdOf(body))?.decoder?.decodeCut({ type: head[4] as number, body }, size)
    this.#place = this.#endOf(head.readUInt32LE(13))
    return null
  }

  #query(event: LogEvent, query: LoggedQuery, signal: AbortSignal): Promise<void> | null {
    const statement = statementOf(query)
    const isPassed = this.#group?.isPassed === true
    switch (statement.kind) {
      case 'begin':
      case 'savepoint':
      case 'other':
        break
      case 'commit':
        return this.#commit(event)
      case 'rollback':
        this.#breakOff()
        return this.#commit(event)
      case 'xa':
        return this.#xa(event, statement.verb, signal)
      case 'rollback to':
      case 'rows':
        if (!isPassed) return this.#refuseStatement(event, statement.kind === 'rows' ? statement.verb : 'rollback to')
        break
      case 'truncate':
        if (!isPassed) this.#truncate(this.#parts.tables.find(statement.schema, statement.table))
        break
      case 'shape':
        if (!isPassed) return this.#shape(event, query, statement, signal)
    }
    return this.#group?.gtid.isAlone === true ? this.#commit(event) : null
  }

  #refuseStatement(event: LogEvent, verb: string): null {
    throw lost(
      this.#parts.target,
      verb === 'rollback to'
        ? `at ${this.#at(event)} a transaction took back a part of its rows that stands in the log, as it does when it changed tables that cannot roll back`
        : `at ${this.#at(event)} a session wrote rows as a statement (${verb}), not as rows: binlog_format of every session must be ROW`,
    )
  }

  #at({ end }: LogEvent): string {
    return `${this.#file}:${this.#endOf(end)}`
  }

  #truncate(table: KnownTable | null): void {
    if (table === null) return
    const mapped = this.#mapped.get(`${table.schema}\0${table.relation}`)?.plan
    const plan = mapped?.table === table ? mapped : planWithoutRows(table)
    const block = newBlock(plan.columns.length)
    block.rows = 1
    block.lengths.fill(CELL_NULL)
    const ops = Uint8Array.of(changeOp.truncate)
    this.#take({ plan, block, ops, large: new Map(), bytes: TRUNCATE_BYTES })
  }

  /**
   * The shape of our tables is looked at again: what differs is told behind what came before, with a position before the
   * statement. So it is told again to who goes on from there.
   */
  async #shape(
    event: LogEvent,
    query: LoggedQuery,
    { created, dropped, altered, ...words }: ShapeStatement,
    signal: AbortSignal,
  ): Promise<void> {
    const { tables, builder, flush, tell } = this.#parts
    if (builder.hasWhole) flush()
    for (const table of tables.named(query)) {
      const isIt = (named: NamedTable | null): boolean =>
        named !== null && tables.find(named.schema, named.table) === table
      const isDropped = dropped.some(isIt)
      const isNew = isIt(created) && (created?.ifMissing === false || table.columns.length === 0)
      const isTold = isDropped || isNew || isIt(altered)
      const at = this.#group?.start ?? this.#done
      const change = await tables.lookAgain(table, { ...words, isDropped, isTold, at }, signal)
      if (change !== null) tell({ ...change, position: positionText(this.done) })
      if (isNew) this.#truncate(tables.find(table.schema, table.relation))
    }
    if (this.#group?.gtid.isAlone === true) this.#commit(event)
  }

  #xa(event: LogEvent, verb: string, signal: AbortSignal): Promise<void> | null {
    const group = this.#group
    if (group === null || !group.gtid.endsPrepared) return null
    const { xid } = group.gtid
    if (verb === 'commit' && !group.isPassed) return this.#finish(event, xid, signal)
    this.#parts.prepared.remove(xid)
    return this.#commit(event)
  }

  /** Reads a prepared transaction now that it is committed. */
  async #finish(event: LogEvent, xid: string, signal: AbortSignal): Promise<void> {
    const { prepared, target } = this.#parts
    const start = prepared.startOf(xid)
    if (start === null) {
      throw lost(target, `the transaction that is committed at ${this.#at(event)} was prepared before reading began`)
    }
    await this.#replay(start, signal)
    prepared.remove(xid)
    this.#commit(event)
  }

  async #replay(start: Place, signal: AbortSignal): Promise<void> {
    const from = { ...this.#done, ...start, born: 0, since: null }
    const reader = new LogReader({ ...this.#parts, from, isReplay: true })
    const dump = await this.#parts.dumpFrom(start, reader.isWanted, signal)
    try {
      while (!reader.isOver) {
        const message = dump.take()
        if (message === null) await dump.more(REPLAY_MS_MAX, signal)
        else if (message.kind === 'error') throw refusal(message.error)
        else if (message.kind === 'end')
          throw lost(this.#parts.target, `a prepared transaction at ${start.file}:${start.offset} has no end`)
        else await reader.read(message, signal)
      }
    } finally {
      dump.destroy()
    }
  }
}
