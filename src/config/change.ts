import type { ColumnType } from '../core/types.ts'
import type {
  Columns,
  Group,
  GroupOf,
  Holds,
  InstantGroup,
  IntGroup,
  NameOf,
  NamesOfGroup,
  TypeScriptValue,
} from './column.ts'
import type { Schema } from './source.ts'

/** A span of time: `'30s'`, `'10m'`, `'2h'`, `'1d'`. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** How changes of a table are seen. */
export type Technique = 'full' | 'timestamp' | 'version' | 'status' | 'combined' | 'trigger' | 'event' | 'log'

/** The techniques of a source that is only read. */
export type ReadingTechnique = 'full' | 'timestamp' | 'version' | 'combined'

/** A source that is read from time to time. */
export interface Polled {
  /** How often `naru start` reads the tables that do not come as a stream; `'1m'` unless given. */
  readonly every?: Duration
}

/** How a source whose changes come as a stream is looked after. */
export interface StreamCare {
  /** How often a part of each table of a stream is compared with the source; `'1h'` unless given. */
  readonly compare?: Duration | 'off'
  /** Bytes of changes that the source may keep for us before it is an alarm; 1 GiB unless given. Half of what it may keep is one as well. */
  readonly lagAlarmBytes?: number
}

/** What is done before the disk of a source fills with the changes that it keeps for us. */
export interface Guard {
  /** Bytes of its disk that the source may keep for one stream. */
  readonly bytes: number
  /**
   * `pause`: nothing else is read of the source until its stream has caught up; what is kept stays. `drop`: the slot, or the
   * triggers and their tables, are removed, which frees the disk; the stream ends with `POSITION_LOST`, and `naru resync` reads
   * its tables again.
   */
  readonly then: 'pause' | 'drop'
}

/** A source that keeps changes on its own disk until we have them. */
export interface Guarded {
  /** Acts when the source keeps too many changes for us; it is only told (`lagAlarmBytes`) unless given. */
  readonly guard?: Guard
}

/**
 * What becomes of rows that were deleted in the source, for a technique that cannot see it: `keep` leaves them in place,
 * `sweep` compares with the source that often.
 */
export type Deletes = 'keep' | { readonly sweep: Duration }

/** Reads the whole table and compares, so it sees deletes and every silent change. */
export interface FullChange {
  readonly technique: 'full'
}

/** Reads the rows whose time moved on. */
export interface TimestampChange<N extends string> {
  readonly technique: 'timestamp'
  /** The column that moves on with every change of a row. */
  readonly column: N
  readonly deletes: Deletes
  /** How late a row may become visible after its timestamp, for sources that cannot tell their open transactions. */
  readonly lag?: Duration
}

/** Reads the rows whose number moved on. */
export interface VersionChange<N extends string> {
  readonly technique: 'version'
  /** The column that gets a number, higher than all before it in the table, with every change of a row. */
  readonly column: N
  readonly deletes: Deletes
  /** How many numbers below the highest may still come, for sources that cannot tell their open transactions. */
  readonly overlap?: number | bigint
}

/** Claims the rows whose flag says so, and sets it back. A stream: `naru start` reads it. */
export interface StatusChange<N extends string, V> {
  readonly technique: 'status'
  readonly column: N
  /** The value that says that a row is new or changed. */
  readonly pending: V
  /** The value that it gets once it is safe with us. */
  readonly done: V
  readonly deletes: Deletes
  readonly start?: StreamStart
}

/** A column of time, and how late a row may come. */
export type TimestampPart<N extends string> = Omit<TimestampChange<N>, 'technique' | 'deletes'>
/** A column of numbers, and how many of them may still come. */
export type VersionPart<N extends string> = Omit<VersionChange<N>, 'technique' | 'deletes'>
/** A flag that shows changed rows. */
export interface FlagPart<N extends string, V> {
  readonly column: N
  readonly pending: V
}

/**
 * Reads the rows that any of the given columns shows: at least two of the three. It only reads, so a flag is left to whoever
 * sets it back. A sweep compares whole rows.
 */
export type CombinedChange<Stamp extends string, Version extends string, F> =
  | TimestampAndVersion<Stamp, Version, F>
  | TimestampAndStatus<Stamp, Version, F>
  | VersionAndStatus<Stamp, Version, F>

interface TimestampAndVersion<Stamp extends string, Version extends string, F> {
  readonly technique: 'combined'
  readonly timestamp: TimestampPart<Stamp>
  readonly version: VersionPart<Version>
  readonly status?: F
  readonly deletes: Deletes
}
interface TimestampAndStatus<Stamp extends string, Version extends string, F> {
  readonly technique: 'combined'
  readonly timestamp: TimestampPart<Stamp>
  readonly version?: VersionPart<Version>
  readonly status: F
  readonly deletes: Deletes
}
interface VersionAndStatus<Stamp extends string, Version extends string, F> {
  readonly technique: 'combined'
  readonly timestamp?: TimestampPart<Stamp>
  readonly version: VersionPart<Version>
  readonly status: F
  readonly deletes: Deletes
}

/**
 * Where a stream begins. `snapshot`: the table is read first, and the stream goes on where the reading ended. `now`: the
 * target is a copy already; what changed before the stream began is not looked for.
 */
export type StreamStart = 'snapshot' | 'now'

/** Changes that triggers write into a table of ours. */
export interface TriggerChange {
  readonly technique: 'trigger'
  readonly start?: StreamStart
}

/** Changes that the application writes into an outbox, in the transaction that makes them. */
export interface EventChange {
  readonly technique: 'event'
  readonly start?: StreamStart
}

/** Changes from the transaction log of the source. */
export interface LogChange {
  readonly technique: 'log'
  readonly start?: StreamStart
}

interface ChangeByTechnique<Stamp extends string, Version extends string, Status, Flag> {
  readonly full: FullChange
  readonly timestamp: TimestampChange<Stamp>
  readonly version: VersionChange<Version>
  readonly status: Status
  readonly combined: CombinedChange<Stamp, Version, Flag>
  readonly trigger: TriggerChange
  readonly event: EventChange
  readonly log: LogChange
}

/** How changes of a table with these columns are seen: by one of the techniques `K` that its source has. `G`: see `StampKind`. */
export type Change<C extends Columns, G extends Group, K extends Technique> = ChangeByTechnique<
  Stamps<C, G>,
  NamesOfGroup<C, IntGroup, 'a column of whole numbers: this table has none'>,
  StatusOf<C>,
  FlagOf<C>
>[K]

/** A rule for many tables: its columns are looked for in each, and its values checked when the config is evaluated. */
export type AnyChange<N extends string, K extends Technique> = ChangeByTechnique<
  N,
  N,
  StatusChange<N, FlagValue>,
  FlagPart<N, FlagValue>
>[K]

type Stamps<C extends Columns, G extends Group> = NamesOfGroup<C, G, 'a column with date and time: this table has none'>

/** What a flag may be. */
export type FlagValue = boolean | number | bigint | string
type FlagGroup = 'bool' | 'text' | 'enum' | IntGroup
interface FlagValueOf<F extends string> {
  readonly bool: boolean
  readonly small: number
  readonly int: number
  readonly big: number | bigint
  readonly text: string
  readonly enum: TypeScriptValue<F>['enum']
}

/** The columns that may be a flag, each with what its values are. */
type Flags<C extends Columns> = {
  readonly [N in keyof C & string as GroupOf<C[N]> extends FlagGroup ? N : never]: FlagValueOf<Holds<C[N]>>[GroupOf<
    C[N]
  > &
    FlagGroup]
}
type NoFlag = 'a column of flags, numbers or text: this table has none'
type StatusOf<C extends Columns, M = Flags<C>> = [keyof M] extends [never]
  ? StatusChange<NoFlag, FlagValue>
  : { readonly [N in keyof M & string]: StatusChange<N, M[N]> }[keyof M & string]
type FlagOf<C extends Columns, M = Flags<C>> = [keyof M] extends [never]
  ? FlagPart<NoFlag, FlagValue>
  : { readonly [N in keyof M & string]: FlagPart<N, M[N]> }[keyof M & string]

/** How the changes of a source's tables are seen, by table. */
export type Changes<S extends Schema, G extends Group = InstantGroup, K extends Technique = ReadingTechnique> = {
  readonly [T in keyof S]?: Change<S[T]['columns'], G, S[T]['key'] extends 'append' ? Extract<K, 'log'> : K>
} & {
  /** For every table that is not named and has these columns; the rest is read in full. */
  readonly '*'?: AnyChange<AnyName<S>, K>
}
// Names only: looking at the types of all columns of a large schema would cost more than all the rest of a config.
type AnyName<S extends Schema> = { [T in keyof S]: NameOf<S[T]['columns']> }[keyof S]

/** What a time is in a source: of a type of its own, or text as ISO 8601 where the source has no such type. */
export type StampKind = Extract<ColumnType['kind'], 'timestamp' | 'text'>
