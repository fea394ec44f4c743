import type { BufferPool } from '../../../../core/buffer-pool.ts'
import { ownPrefix } from '../../../../core/change-reject.ts'
import type { ChangeSlice } from '../../../../core/change-slice.ts'
import { EPOCH_MICROS, type TextCheck } from '../../../../systems/postgres/column-writer.ts'
import type { CapturedTable, SchemaChange } from '../../contract-capture.ts'
import type { Types } from '../catalog.ts'
import type { BufferedTransactions } from './buffered.ts'
import { LargeMessage, SHORTENED } from './large-message.ts'
import { MESSAGE } from './messages.ts'
import { isChanged, readRelation, relationOf, type Relation, type RelationMessage } from './relation.ts'
import { control, BUFFERED, isRepeated, KNOWN, ROWS, type Found } from './decoder-steps.ts'
import { RowNotes } from './row-notes.ts'
import { SliceBuilder } from './slice-builder.ts'
import { Cursor } from './cursor.ts'
import { BrokenStream } from './broken-stream.ts'

/** What a decoder is made with. */
export interface DecoderNeeds {
  readonly tables: readonly (CapturedTable & { readonly schema: string; readonly relation: string })[]
  readonly types: Types
  readonly isBinary: boolean
  readonly checkText: TextCheck
  readonly pool: BufferPool
  readonly buffered: BufferedTransactions
  readonly sliceBytes: number
  /** Largest change that is taken; a larger one becomes a reject. */
  readonly rowBytesMax: number
  readonly from: bigint
  readonly positionText: (lsn: bigint) => string
}

/** Prefix of the messages that we write ourselves, so that the log moves. */
export const heartbeatPrefix = 'naru.heartbeat'

const FRAME_BYTES = 5
/** Kind, start, end and time before the message itself. */
const DATA_BYTES = 25
/** Where the kind of a message stands in its frame. */
const KIND_AT = FRAME_BYTES + DATA_BYTES
/** Longest message that is no change. */
const CONTROL_BYTES_MAX = 16 * 1024 * 1024
/** The server itself holds no message of more. */
const MESSAGE_BYTES_MAX = 0x3fff_ffff
/** Object ids from here on are of types that somebody made. */
const OWN_TYPES = 16_384

/** A transaction that was streamed before it committed, and now did. */
interface Replay {
  readonly xid: number
  readonly aborted: ReadonlySet<number>
  readonly end: bigint
  readonly micros: bigint
}

/** Turns the bytes of a replication connection (`pgoutput`, protocol 1 and 2) into slices, in columns. Knows no socket and no file. */
export class ChangeDecoder {
  readonly #needs: DecoderNeeds
  readonly #slice: SliceBuilder
  readonly #rows: RowNotes
  /** By the id of the log; `null` for tables that nobody asked for. */
  readonly #relations = new Map<number, Relation | null>()
  readonly #byTable = new Map<string, Relation>()
  readonly #askedTypes = new Set<number>()
  #types: Types
  #cursor = new Cursor(Buffer.alloc(0))
  /** Over the message that is looked at: one for all of the same bytes. */
  #inner = this.#cursor
  /** The live bytes while a buffered transaction is replayed. */
  #live: Cursor | null = null
  #replay: Replay | null = null
  /** The transaction that is being streamed before it committed. */
  #streaming = 0
  #isStreaming = false
  #isOpen = false
  #large: LargeMessage | null = null
  #xid = 0
  #commitMicros = 0n
  /** The open transaction has given rows in this slice or one before. */
  #hasRows = false
  #isPartGiven = false
  #lsn: bigint
  #sourceMicros = 0n
  /** How far the newest transaction lay behind the source's clock when it was sent. */
  behindMicros = 0n

  constructor(needs: DecoderNeeds) {
    this.#needs = needs
    this.#types = needs.types
    this.#lsn = needs.from
    this.#slice = new SliceBuilder(needs)
    this.#rows = new RowNotes(this.#slice, needs)
  }

  set types(types: Types) {
    this.#types = types
  }

  /** Everything before it was given or is in the slice that is being filled. */
  get lsn(): bigint {
    return this.#lsn
  }

  /** The slice holds changes and ends between two transactions. */
  get isReady(): boolean {
    return !this.#slice.isEmpty && !this.#hasRows
  }

  /** Nothing is held back: the source's word on how far it has read may be passed on. */
  get isIdle(): boolean {
    return this.#slice.isEmpty && !this.#isOpen && this.#replay === null
  }

  /** Hands over what there is; at a sign of life that is nothing but the position. */
  cut(): ChangeSlice {
    const position = this.#hasRows ? null : this.#needs.positionText(this.#lsn)
    this.#isPartGiven = this.#hasRows
    return this.#slice.finish(position, this.#slice.isEmpty && this.#sourceMicros > 0n ? this.#sourceMicros : null)
  }

  /** What is told of a table that was dropped, or of one that must be read again. */
  gone({ name: table, unseen }: { readonly name: string; readonly unseen: string | null }): SchemaChange {
    const position = this.#needs.positionText(this.#lsn)
    const asked = this.#needs.tables.find(it => it.name === table)
    if (unseen === null || asked === undefined) return { kind: 'schema', table, position, columns: [], key: [] }
    const { all: columns = asked.columns, keyNames: key = asked.key } = this.#byTable.get(table) ?? {}
    return { kind: 'schema', table, position, columns, key, unseen }
  }

  /** More bytes of the wire. */
  feed(chunk: Buffer): void {
    const rest = this.#cursor.rest()
    this.#lay(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]))
  }

  /** The next piece of the buffered transaction, whole messages; `null` is its end. */
  replay(chunk: Buffer | null): void {
    if (chunk !== null) return this.#lay(chunk)
    const { xid, end, micros } = this.#replay as Replay
    this.#replay = null
    this.#xid = xid
    this.#commitMicros = micros
    const live = this.#live as Cursor
    this.#live = null
    this.#use(live)
    this.#commit(end)
  }

  step(): Found {
    for (;;) {
      const { bytes, view, at } = this.#cursor
      const left = bytes.length - at
      if (this.#large !== null) {
        const found = this.#pass(this.#large)
        if (found === null) continue
        return found
      }
      if (left === 0 && this.#replay !== null) return { kind: 'replay', xid: this.#replay.xid }
      if (left < FRAME_BYTES) return { kind: 'more', bytes: FRAME_BYTES - left }
      const kind = bytes[at] as number
      const end = at + 1 + view.getUint32(at + 1)
      this.#checkFrame(kind, end - at)
      if (kind === 0x64 && end - at > this.#needs.rowBytesMax) {
        if (left <= KIND_AT) return { kind: 'more', bytes: KIND_AT + 1 - left }
        if (ROWS.has(bytes[at + KIND_AT] as number)) {
          this.#large = new LargeMessage(end - at, this.#isStreaming)
          continue
        }
        if (end - at > Math.max(this.#needs.rowBytesMax, CONTROL_BYTES_MAX)) {
          throw new BrokenStream(`a message of ${end - at} bytes that is no change of a row`)
        }
      }
      if (end > bytes.length) return { kind: 'more', bytes: end - bytes.length }
      const found =
        kind === 0x64 ? this.#data(at + FRAME_BYTES, end) : control(kind, bytes.subarray(at + FRAME_BYTES, end))
      if (found === null || !isRepeated(found)) this.#cursor.at = end
      if (found !== null) return found
    }
  }

  /** A row that is too large goes by; what is left of it is looked at like any other message. */
  #pass(large: LargeMessage): Found | null {
    const rest = this.#cursor.rest()
    if (rest.length === 0) return { kind: 'more', bytes: 1 }
    this.#cursor.at += large.push(rest)
    const message = large.result()
    if (message === null) return null
    this.#large = null
    this.#lay(Buffer.concat([message, this.#cursor.rest()]))
    return null
  }

  #lay(bytes: Buffer): void {
    this.#use(new Cursor(bytes))
  }

  #use(cursor: Cursor): void {
    this.#slice.layOver(cursor.bytes)
    this.#cursor = cursor
    this.#inner = new Cursor(cursor.bytes, cursor.view)
  }

  #checkFrame(kind: number, bytes: number): void {
    const max = kind === 0x64 ? MESSAGE_BYTES_MAX : CONTROL_BYTES_MAX
    if (bytes >= FRAME_BYTES && bytes <= max && KNOWN.has(kind)) return
    throw new BrokenStream(`a message of type ${kind} with ${bytes} bytes`)
  }

  #data(at: number, end: number): Found | null {
    const cursor = this.#inner.limit(at, end)
    const kind = cursor.byte()
    if (kind === 0x6b) return this.#keepalive(cursor)
    if (kind !== 0x77) throw new BrokenStream(`data of type ${kind}`)
    if (end - at <= DATA_BYTES) throw new BrokenStream('data without a message')
    cursor.at = at + DATA_BYTES
    return this.#message(cursor, at - FRAME_BYTES)
  }

  #keepalive(cursor: Cursor): Found {
    const lsn = cursor.big()
    this.#sourceMicros = cursor.big() + EPOCH_MICROS
    const isReplyWanted = cursor.byte() === 1
    cursor.done()
    if (this.isIdle && lsn > this.#lsn) this.#lsn = lsn
    return { kind: 'keepalive', isReplyWanted }
  }

  /** One message of pgoutput. `start` is where its frame begins. */
  #message(cursor: Cursor, start: number): Found | null {
    const kind = cursor.byte()
    if (this.#isStreaming && kind !== MESSAGE.streamStop) return this.#hold(kind, cursor, start)
    // What is buffered has the number of its part of the transaction in front.
    const part = this.#replay === null || kind === MESSAGE.origin ? 0 : cursor.int()
    if (part !== 0 && this.#replay?.aborted.has(part) === true) return null
    switch (kind) {
      case MESSAGE.insert:
      case MESSAGE.update:
      case MESSAGE.delete:
        return this.#change(kind, cursor, false)
      case MESSAGE.insert + SHORTENED:
      case MESSAGE.update + SHORTENED:
      case MESSAGE.delete + SHORTENED:
        return this.#change(kind - SHORTENED, cursor, true)
      case MESSAGE.begin:
        return this.#begin(cursor)
      case MESSAGE.commit:
        return this.#end(cursor)
      case MESSAGE.relation:
        return this.#relation(cursor)
      case MESSAGE.truncate:
        return this.#truncate(cursor)
      case MESSAGE.message:
        return this.#logical(cursor)
      case MESSAGE.streamStart:
        return this.#streamStart(cursor)
      case MESSAGE.streamStop:
        this.#isStreaming = false
        return null
      case MESSAGE.streamCommit:
        return this.#streamCommit(cursor)
      case MESSAGE.streamAbort:
        this.#needs.buffered.abort(cursor.int(), cursor.int())
        return null
      case MESSAGE.origin:
      case MESSAGE.type:
        return null
      default:
        throw new BrokenStream(`a message of type ${kind}`)
    }
  }

  #begin(cursor: Cursor): null {
    if (this.#isOpen) throw new BrokenStream('a transaction within another')
    cursor.big()
    this.#commitMicros = cursor.big() + EPOCH_MICROS
    this.#xid = cursor.int()
    this.#isOpen = true
    cursor.done()
    return null
  }

  #end(cursor: Cursor): null {
    if (!this.#isOpen) throw new BrokenStream('the end of a transaction that did not begin')
    cursor.byte()
    cursor.big()
    const end = cursor.big()
    const micros = cursor.big() + EPOCH_MICROS
    cursor.done()
    this.behindMicros = this.#sentMicros(cursor) - micros
    this.#commit(end)
    return null
  }

  #commit(end: bigint): void {
    if (this.#hasRows) this.#slice.commit(BigInt(this.#xid), this.#commitMicros)
    this.#isOpen = false
    this.#hasRows = false
    this.#isPartGiven = false
    if (end > this.#lsn) this.#lsn = end
  }

  #sentMicros(cursor: Cursor): bigint {
    return cursor.view.getBigInt64(cursor.start + 17) + EPOCH_MICROS
  }

  #relation(cursor: Cursor): Found | null {
    const message = readRelation(cursor)
    const table = this.#needs.tables.find(it => it.relation === message.name && it.schema === message.schema)
    if (table === undefined) return this.#forget(message)
    const unknown = message.columns.filter(it => this.#isUnknown(it.type))
    if (unknown.length > 0) {
      for (const { type } of unknown) this.#askedTypes.add(type)
      return { kind: 'types' }
    }
    const now = relationOf(message, table, this.#types, this.#needs.isBinary)
    const before = this.#byTable.get(table.name)
    if (before !== undefined && before.shape === now.shape) {
      this.#relations.set(message.id, before)
      return null
    }
    const isTold = isChanged(now, before)
    // Rows of another shape are of another slice.
    if ((isTold || before !== undefined) && !this.#slice.isEmpty) return { kind: 'slice', slice: this.cut() }
    if (before !== undefined) this.#relations.delete(before.id)
    this.#relations.set(message.id, now)
    this.#byTable.set(table.name, now)
    return isTold ? this.#schema(table.name, now.all, now.keyNames) : null
  }

  /** A table of ours that has another name now is gone for the config. */
  #forget({ id }: RelationMessage): Found | null {
    const before = this.#relations.get(id)
    if (before != null) {
      if (!this.#slice.isEmpty) return { kind: 'slice', slice: this.cut() }
      this.#relations.set(id, null)
      this.#byTable.delete(before.table.name)
      return this.#schema(before.table.name, [], [])
    }
    this.#relations.set(id, null)
    return null
  }

  #schema(table: string, columns: SchemaChange['columns'], key: readonly string[], unseen?: string): Found {
    const position = this.#hasRows || this.#isPartGiven ? null : this.#needs.positionText(this.#lsn)
    const change: SchemaChange = { kind: 'schema', table, position, columns, key }
    return { kind: 'schema', change: unseen === undefined ? change : { ...change, unseen } }
  }

  #isUnknown(type: number): boolean {
    return (
      type >= OWN_TYPES &&
      !this.#types.domains.has(type) &&
      !this.#types.labels.has(type) &&
      !this.#askedTypes.has(type)
    )
  }

  #change(kind: number, cursor: Cursor, isShortened: boolean): Found | null {
    this.#checkOpen()
    const id = cursor.int()
    const relation = this.#relations.get(id)
    if (relation === null) return null
    if (relation === undefined) throw new BrokenStream(`a change of the unknown table ${id}`)
    const bytes = cursor.end - cursor.at
    if (!this.#slice.isEmpty && this.#slice.size + bytes > this.#needs.sliceBytes)
      return { kind: 'slice', slice: this.cut() }
    const builder = this.#slice.roomFor(relation)
    if (builder === null) return { kind: 'slice', slice: this.cut() }
    if (!this.#rows.note(kind, cursor, builder)) return this.#unknownRow(relation)
    if (isShortened) this.#rows.setTooLargeAside(kind, cursor, builder)
    this.#slice.size += bytes
    this.#hasRows = true
    cursor.done()
    return null
  }

  /** What is left of the table is right only once it was read again. */
  #unknownRow({ table, all, keyNames }: Relation): Found {
    if (!this.#slice.isEmpty) return { kind: 'slice', slice: this.cut() }
    const unseen = 'an old row came without its key: a partition has another replica identity'
    return this.#schema(table.name, all, keyNames, unseen)
  }

  #checkOpen(): void {
    if (!this.#isOpen && this.#replay === null) throw new BrokenStream('a change outside of a transaction')
  }

  #truncate(cursor: Cursor): Found | null {
    this.#checkOpen()
    const count = cursor.int()
    cursor.byte()
    if (count > (cursor.end - cursor.at) / 4) throw new BrokenStream(`a truncate of ${count} tables`)
    const relations = Array.from({ length: count }, () => this.#relations.get(cursor.int())).filter(it => it != null)
    cursor.done()
    const isFull = relations.some(it => this.#slice.roomFor(it) === null)
    if (isFull) return { kind: 'slice', slice: this.cut() }
    for (const relation of relations) this.#slice.truncate(relation)
    this.#hasRows ||= relations.length > 0
    return null
  }

  #logical(cursor: Cursor): null {
    const isTransactional = (cursor.byte() & 1) === 1
    const lsn = cursor.big()
    const prefix = cursor.text()
    const content = cursor.slice(cursor.int())
    cursor.done()
    // Ours is the heartbeat; nobody else may speak as we do.
    if (prefix.startsWith(ownPrefix)) return null
    this.#slice.message(prefix, content, isTransactional)
    if (isTransactional) this.#hasRows = true
    // It stands in no transaction; its place is the end of its record, so that a stream from there does not have it again.
    else if (!this.#hasRows && lsn > this.#lsn) this.#lsn = lsn
    return null
  }

  #streamStart(cursor: Cursor): null {
    if (this.#isOpen) throw new BrokenStream('a part of a transaction within another')
    this.#streaming = cursor.int()
    this.#isStreaming = true
    this.#needs.buffered.begin(this.#streaming)
    return null
  }

  #hold(kind: number, cursor: Cursor, start: number): Found | null {
    if (!BUFFERED.has(kind)) throw new BrokenStream(`a message of type ${kind} in a part of a transaction`)
    const isFull = this.#needs.buffered.add(this.#streaming, cursor.bytes.subarray(start, cursor.end))
    return isFull ? { kind: 'spill' } : null
  }

  #streamCommit(cursor: Cursor): Found {
    const xid = cursor.int()
    cursor.byte()
    cursor.big()
    const end = cursor.big()
    const micros = cursor.big() + EPOCH_MICROS
    cursor.done()
    this.#replay = { xid, end, micros, aborted: this.#needs.buffered.aborted(xid) }
    this.#cursor.at = cursor.end
    this.#live = this.#cursor
    this.#lay(Buffer.alloc(0))
    return { kind: 'replay', xid }
  }
}
