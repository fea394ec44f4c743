import type { ChangeSlice } from '../../core/change-slice.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { TableShape } from './contract.ts'

/**
 * How an adapter gives changes as a stream: `log` reads the transaction log of the system, `trigger` a change table that
 * triggers fill, `event` an outbox that the application fills, `status` claims rows by their flag.
 */
export type CaptureTechnique = 'log' | 'trigger' | 'event' | 'status'

/**
 * The least that the account of a source needs to see changes of these tables by a technique, as statements for an
 * administrator: the same list that a check goes by. Connects to nothing.
 */
export type Privileges = (
  technique: CaptureTechnique | 'full' | 'timestamp' | 'version' | 'combined',
  tables: readonly CapturedTable[],
) => readonly string[]

/** The techniques that an adapter has. */
export type CapturesByTechnique = { readonly [T in CaptureTechnique]?: Captures }

/**
 * Gives the changes of a source in order, from a position on. Used by the reader of `app/stream`, one stream for each source
 * and technique, which writes every slice into the durable log before it confirms it.
 *
 * A position is text that only the adapter understands. It also says which log it is of: one that this source cannot go on
 * from (the log is gone, was made anew, or belongs to another server) is refused with `POSITION_LOST`, never skipped.
 */
export interface Captures {
  /** What the stream tells. The suite runs the matching parts; a false claim fails it. */
  readonly can: {
    /** Deletes are seen. */
    readonly deletes: boolean
    /** Every version of a row is seen, also those between two reads; otherwise only the last one. */
    readonly everyVersion: boolean
    /** Changes by writers that know nothing of the capture are seen. */
    readonly silentWriters: boolean
    /** Slices end where transactions of the source end, and `transactions` names them. */
    readonly transactions: boolean
    /** What was given and not confirmed may come again, also behind its position: it is absorbed by key. Otherwise nothing comes twice. */
    readonly repeats?: boolean
    /** `truncate` comes as such; otherwise a table that is emptied at once is a blind spot. */
    readonly truncates: boolean
  }
  /**
   * What the source lacks for these tables, each with what a person may run there; empty when nothing is missing. Reads
   * catalogs and settings only. Called by `naru check`, by `naru advise`, and before `install`.
   */
  inspect(tables: readonly CapturedTable[], signal: AbortSignal): Promise<readonly CaptureProblem[]>
  /**
   * Makes what the stream needs at the source and is not there (slot and publication; change table and triggers), and gives
   * the position from which no change of these tables is missed. Repeating it changes nothing and gives the same or a later
   * position: the first position of a table is remembered by the caller. Throws `CAPTURE_NOT_READY` with the problems that
   * `inspect` finds.
   */
  install(tables: readonly CapturedTable[], signal: AbortSignal): Promise<string>
  /**
   * Which of the tables that were followed the stream gives no changes of any more, though it goes on for the others: with them
   * `install` would throw `POSITION_LOST`. Reads catalogs only. Absent where a stream gives all of its tables or none.
   */
  lost?(tables: readonly CapturedTable[], signal: AbortSignal): Promise<readonly LostTable[]>
  /** The statements of `install` and `remove`, for people to review: nothing is run. */
  script(tables: readonly CapturedTable[]): { readonly install: readonly string[]; readonly remove: readonly string[] }
  /**
   * Removes what `install` made; of what is made for each table only that of the tables `only`, by their names at the source,
   * and what they share with others when none is left. Harmless when repeated.
   */
  remove(signal: AbortSignal, only?: readonly string[]): Promise<void>
  /** A position that every change committed before the call lies at or before. */
  head(signal: AbortSignal): Promise<string>
  /** Below 0 when `a` lies before `b`, 0 when both are the same. Of one log only. */
  compare(a: string, b: string): number
  /**
   * As `lag` of a stream, while none is open: what the source keeps for one that was read to `from`; `null` when that is not
   * known. Reads catalogs only. Absent where a source keeps nothing for a stream.
   */
  lag?(from: string | null, signal: AbortSignal): Promise<CaptureLag>
  /** Where `install` makes what it makes, for people: the address of the source without account and password, and names that options change. */
  readonly place?: string
  /**
   * What is there of what `install` made here once and nobody here follows any more. Reads catalogs only. Names nothing that
   * another project made, and nothing that somebody reads. Absent where a technique leaves nothing behind that grows.
   */
  leftovers?(left: LeftTables, signal: AbortSignal): Promise<Leftovers>
  /** Senders that were refused since the adapter was opened; absent where nobody sends. */
  refused?(): readonly Refused[]
  /**
   * Opens the stream behind `from`. One stream for each slot or change table: a second one throws `CAPTURE_HELD` with what is
   * known of the holder. Throws `POSITION_LOST`, `SOURCE_UNREACHABLE`, `SOURCE_LOGIN`, `CAPTURE_NOT_READY`.
   */
  open(request: CaptureRequest, signal: AbortSignal): Promise<ChangeStream>
}

/** A table that a stream does not give any more. */
export interface LostTable {
  /** Its name in the config. */
  readonly table: string
  /** What became of it, for people. */
  readonly problem: string
}

/**
 * A table of a stream: what the config calls it, and how it is asked for. Without a `key`, which only the technique `log` is
 * asked for, a `delete` has the whole old row, and every update comes as that and a `move` to the whole new row.
 */
export interface CapturedTable extends TableShape {
  /** Name of the table in the config: slices name it so. */
  readonly name: string
  /** Its changes were read before. When the source has ceased to give them, `install` throws `POSITION_LOST` and names it. */
  readonly isFollowed?: boolean | undefined
  /**
   * Whose stream it is. Where changes that were read are deleted at the source, a second owner's reader would miss them:
   * `inspect` and `install` refuse it, and name the first. Nobody is refused where it is left out.
   */
  readonly owner?: string | undefined
  /** The flag of the technique `status`: rows with `pending` are claimed and get `done`, both in the source's own spelling. */
  readonly status?: { readonly column: string; readonly pending: string; readonly done: string } | undefined
}

/** Columns that are kept of a change: those that are asked for, and the key. */
export function keptColumns({ columns, key }: CapturedTable): readonly string[] {
  const names = columns.map(column => column.name)
  return [...names, ...key.filter(name => !names.includes(name))]
}

/** What a stream does when `CaptureRequest` does not say. */
export const captureDefaults = { sliceBytes: 4 * 1024 * 1024, lingerMs: 10, heldBytes: 64 * 1024 * 1024 } as const

export interface CaptureRequest {
  readonly tables: readonly CapturedTable[]
  readonly from: string
  /** Most bytes of a slice; a larger transaction comes in several, of which only the last has a position. 4 MiB unless given. */
  readonly sliceBytes?: number
  /** Longest wait for more changes before a slice that is not full is given away: milliseconds; 10 unless given. */
  readonly lingerMs?: number
  /** Memory that changes of transactions which are not committed may take before they go to files in `spillDir`. 64 MiB unless given. */
  readonly heldBytes?: number
  /** Folder for what does not fit into memory; empty when the stream is opened, and emptied by `close`. */
  readonly spillDir: string
}

/** An open stream. Used by one task; `confirm` and `lag` may be called while `next` waits. */
export interface ChangeStream {
  /**
   * The next slice, as soon as there is one; a sign of life without changes at least every 10 seconds while the source is
   * connected. Buffers of a slice may be used until the next call. What the source says of a table that no longer fits what was
   * asked (`SchemaChange`) comes in order, behind the last slice of the old shape. Throws what `open` throws when the connection ends: the
   * caller opens a new stream behind the last position that it kept.
   */
  next(): Promise<ChangeSlice | SchemaChange>
  /** Everything up to `position` is safe with us: the source may forget it (advance the slot, prune, commit the claim). Durable at the source when it resolves or later; it is repeated by the next one. */
  confirm(position: string): Promise<void>
  /** How far behind the source the last slice is, as the source sees it. */
  lag(signal: AbortSignal): Promise<CaptureLag>
  /**
   * True when nothing can be taken for a while (our disk is nearly full), false when it can again: a stream that others send to
   * tells them so, instead of letting them wait. `next` is not called in between.
   */
  hold?(isHeld: boolean): void
  /** Tables that ended it with `STREAM_TABLE_LOST`: their changes passed by, also when somebody puts back what made them. */
  readonly lost?: readonly LostTable[]
  /** Called once, last; never throws. */
  close(): Promise<void>
}

/** The shape of a table changed in the source. Slices behind it have the columns of `columns` that were asked for. */
export interface SchemaChange {
  readonly kind: 'schema'
  readonly table: string
  /** Everything before it is in the slices that came. */
  readonly position: string | null
  /** Every column that the source has now; empty when the table was dropped. */
  readonly columns: readonly ColumnDef[]
  /** The key that the source declares now; of a table that was asked for without one empty for as long as whole rows come. */
  readonly key: readonly string[]
  /** Why rows may be other ones though no change tells of it (a partition was dropped, another table took the name): the table must be read again. */
  readonly unseen?: string | undefined
}

/** What a source keeps for a stream, and what it may keep. */
export interface CaptureLag {
  /** Bytes of log or rows of the change table that the source keeps for us and we have not confirmed; `null` when it cannot say. */
  readonly bytes: bigint | null
  /** Bytes that the source may still keep before it invalidates the position or its disk is full; `null` when it cannot say. */
  readonly bytesLeft: bigint | null
  /** The source is about to lose the position, in its own words (`wal_status` of a slot); `null` when all is well. */
  readonly trouble: string | null
  /** The position is lost by now, as `trouble` says: the source keeps nothing for us any more, and a stream cannot go on. */
  readonly isLost?: boolean
  /** Bytes of its disk that the source keeps because of the stream, where those are others than `bytes`: a slot keeps what an open transaction wrote as well. */
  readonly kept?: bigint | null
  /** How far the source is from throwing away what we have not read, in words for people; `null` when it does not by itself. */
  readonly room?: string | null
}

/** Tables of a stream that was installed and is not followed any more, or not whole. */
export interface LeftTables {
  /** What `install` gave: it says which server, and which log there, is meant. */
  readonly position: string
  /** As the source calls them. */
  readonly remotes: readonly string[]
  /** No table is followed by this stream any more. */
  readonly isWhole: boolean
}

/** What `leftovers` finds. */
export type Leftovers =
  | { readonly kind: 'found'; readonly found: readonly Leftover[] }
  /** Nothing of it is there any more. */
  | { readonly kind: 'gone' }
  /** Somebody reads it: it is no leftover. */
  | { readonly kind: 'read' }
  /** It cannot be told, and why: the account may not look, or it is another server. */
  | { readonly kind: 'unseen'; readonly problem: string }

/** Something that was made at a source and stayed there. */
export interface Leftover {
  /** The tables that it is about, as the source calls them. */
  readonly remotes: readonly string[]
  /** The object: `the change table naru_capture."orders" and its triggers`. */
  readonly what: string
  /** What it keeps, and what that does to the source. */
  readonly keeps: string
  /** Who may take it away, where that is not the owner of the tables: `a superuser`. */
  readonly by?: string
  /** What takes it away, and nothing else. */
  readonly remove: readonly string[]
}

/** Senders whose events were not taken, by the answer that they got. */
export interface Refused {
  /** Status of HTTP. */
  readonly status: number
  readonly count: number
  /** Why the last one was refused: never what it sent. */
  readonly last: string
}

/** Something that a technique needs and the source lacks. */
export interface CaptureProblem {
  /** The table it is about; `null` for the source as a whole. */
  readonly table: string | null
  /** What is missing, and what is missed without it. */
  readonly text: string
  /** SQL or a setting that a person may apply. */
  readonly fix: string
  /** Nothing can be captured before it is there; otherwise something would be missed or cost more. */
  readonly isFatal: boolean
}
