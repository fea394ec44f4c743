import type { Expr } from '../core/expr.ts'
import type { SecretRef } from '../core/secret.ts'
import type { Implementation, OptionTable } from '../core/implementation.ts'
import type { ColumnDef } from '../core/types.ts'
import type { OpenAdapter } from '../services/adapter/contract.ts'
import type { FileFormat } from '../services/adapter/contract-files.ts'
import type { WrittenFile } from '../services/adapter/contract-writes.ts'

/**
 * What a config is after evaluation: plain frozen data. `plan` turns it into a graph, stages read it. The builders in
 * this folder make it; nothing else does.
 */
export interface Project {
  readonly name: string
  readonly engine: EngineDef
  readonly sources: readonly SourceDef[]
  readonly entities: readonly EntityDef[]
  readonly exports: readonly ExportDef[]
  readonly dimensions: readonly DimensionDef[]
  readonly facts: readonly FactDef[]
  readonly summaries: readonly SummaryDef[]
  readonly transfers: readonly TransferDef[]
  /** Bytes that stay free on our own disks; 0 is none. */
  readonly keepFreeBytes?: number
  /** Absent when there is none. */
  readonly subscribers?: readonly SubscriberDef[]
}

/** An application that takes the changes of a source: its name, and what it may see. */
export interface SubscriberDef {
  readonly name: string
  readonly source: string
  /** Names of tables, all of one stream. */
  readonly tables: readonly string[]
  readonly personal: 'masked' | 'shown'
  /** Prefixes of messages that applications write into the log of the source. */
  readonly messages?: readonly string[]
}

/** A transfer with a name: `naru transfer nightly`. What it says, the command line may say otherwise. */
export interface TransferOptions extends WrittenFile {
  /** Where it reads, as on the command line: `env:SHOP_URL#orders`, `shop.db#orders`, a file, or `source#table`. */
  readonly from: string
  /** Where it writes. */
  readonly to: string
  /** A SELECT in the source's own SQL instead of a table. */
  readonly query?: string
  /** Only these rows: a condition in the source's own SQL. */
  readonly where?: string
  /** Only these columns. */
  readonly columns?: readonly string[]
  /** What becomes of the rows that the target has; `replace` unless given. */
  readonly mode?: 'replace' | 'insert' | 'update' | 'upsert' | 'delete' | 'call'
  /** Columns that find a row of the target; the source's key unless given. */
  readonly key?: readonly string[]
  /** Columns to cut the source by; its key unless given. */
  readonly splitBy?: readonly string[]
  /** Rows of one chunk: what a broken transfer repeats; 250,000 unless given. */
  readonly chunkRows?: number
  /** Chunks that are read at the same time; 1 unless given. */
  readonly parallel?: number
  /** Only rows whose value in this column came since the last transfer; with the modes `insert`, `upsert`, `update` and `call`. */
  readonly incremental?: string
  /** What is compared at both ends; `totals` where both ends compute them, else `count`, unless given. */
  readonly validate?: 'totals' | 'count' | 'hash'
  /** What becomes of keys that find no row, or many; `refuse` unless given. */
  readonly missed?: 'refuse' | 'report'
  /** Makes the target when it is not there. */
  readonly create?: boolean
}

export interface TransferDef extends TransferOptions {
  readonly name: string
}

export interface EngineDef {
  readonly kind: string
  readonly options: Readonly<Record<string, unknown>>
}

/** A system that data comes from. `adapter` names the implementation, `options` are checked against its option table. */
export interface SourceDef {
  readonly name: string
  readonly adapter: string
  readonly options: Readonly<Record<string, unknown>>
  readonly tables: readonly SourceTableDef[]
  /** How often `naru start` reads the tables that do not come as a stream. */
  readonly everyMs?: number
  /** How often a part of each table of a stream is compared with the source; `null` is never. */
  readonly compareMs?: number | null
  /** Bytes of changes that the source may keep for us before it is an alarm. */
  readonly lagAlarmBytes?: number
  /** What is done when it keeps more for a stream than it may. */
  readonly guard?: GuardDef
  /** The adapter itself, when the package has none of this kind: a user's own. */
  readonly own?: Implementation<OptionTable, { readonly openAdapter: OpenAdapter }>
}

/** See `Guard`. */
export interface GuardDef {
  readonly bytes: number
  readonly then: 'pause' | 'drop'
}

/** One table (or folder of files) of a source. Staged 1:1 as `staging.<source>_<name>`. */
export interface SourceTableDef {
  readonly source: string
  readonly name: string
  /** Its name in the source; for files the glob. */
  readonly remote: string
  readonly columns: readonly ColumnDef[]
  readonly key: readonly string[]
  /** It has no key in its source: each change is a row. `columns` and `key` hold what the log adds (`config/append.ts`). */
  readonly append?: true
  readonly change: ChangeDef
  /** Only rows for which this condition, in the source's own SQL, holds are taken. */
  readonly where?: string | undefined
  /** What becomes of the table when its shape in the source changes; `defaultContract` when absent. */
  readonly contract?: ContractDef
  /** Columns that have another name in the source than here. */
  readonly renamed?: Readonly<Record<string, string>>
  /** Columns that the source no longer has: staged as NULL. Never in a config; the interface stage finds them. */
  readonly gone?: readonly string[]
}

/**
 * One policy for each kind of change. freeze: the table is not read, and the error names the change. evolve: the change is
 * followed and reported. discard: it is reported only.
 */
export interface ContractDef {
  /** The source has a column that the config does not name. */
  readonly added: 'freeze' | 'evolve' | 'discard'
  /** A column of the config is gone: NULL from now on. */
  readonly dropped: 'freeze' | 'evolve'
  /**
   * A column has another type: rows that fit the type of the config are taken, the others are rejected. value: the same for
   * files of any type, without being told, because a file need not have the types of the config.
   */
  readonly types: 'freeze' | 'evolve' | 'value'
  /** The key that the source itself declares is another one than at the last load. */
  readonly key: 'freeze' | 'evolve'
}

/** The config is a list of what may be taken, so what it does not name is told and left. */
export const defaultContract: ContractDef = { added: 'discard', dropped: 'freeze', types: 'freeze', key: 'freeze' }

/** The same for files. */
export const defaultFileContract: ContractDef = { ...defaultContract, types: 'value' }

/** How changes of a table are seen, and what becomes of deletes that the technique cannot see. */
export type ChangeDef =
  /** Reads the whole table each time and compares: sees deletes. */
  | { readonly technique: 'full' }
  | {
      readonly technique: 'timestamp'
      readonly column: string
      /** Only for sources that cannot tell their oldest open transaction: how late a row may commit, in milliseconds. */
      readonly lagMs: number | null
      readonly deletes: DeletesDef
    }
  /** Reads the rows whose version is at or over the highest that was read. */
  | {
      readonly technique: 'version'
      readonly column: string
      /** Only for sources that cannot tell their open transactions: how many versions below the highest are read again. */
      readonly overlap: bigint | null
      readonly deletes: DeletesDef
    }
  /** Claims the rows whose flag says so, and sets it back once they are in the durable log. */
  | {
      readonly technique: 'status'
      readonly flag: StatusDef
      readonly deletes: DeletesDef
      readonly start?: StreamStartDef
    }
  /** Rows that any of the three shows. It only reads: the flag is left to whoever sets it back. */
  | {
      readonly technique: 'combined'
      readonly timestamp: { readonly column: string; readonly lagMs: number | null } | null
      readonly version: { readonly column: string; readonly overlap: bigint | null } | null
      readonly flag: Pick<StatusDef, 'column' | 'pending'> | null
      readonly deletes: DeletesDef
    }
  /** Streams: see `contract-capture.ts`. `trigger`: a change table that triggers of ours fill. `event`: an outbox that the application fills. */
  | { readonly technique: 'log' | 'trigger' | 'event'; readonly start?: StreamStartDef }
  /** `full`: each file is the whole table. `delta`: each file adds and replaces rows by key. */
  | {
      readonly technique: 'files'
      readonly scope: 'full' | 'delta'
      readonly format: FileFormat
      readonly encoding: string
      readonly checksum: 'md5-sidecar' | 'sha256-sidecar' | 'none'
      /** Marker without which a file is not taken; see `FilesShape`. */
      readonly done?: string
      /** Names inside an archive; see `FilesShape`. */
      readonly members?: string
      /** The last line; see `FilesShape`. */
      readonly trailer?: string
      /** Members that tables of their own are made of; see `FilesShape`. */
      readonly passed?: readonly string[]
    }

/** `snapshot`, unless said: the table is read first. `now`: the target is a copy already, only later changes are taken. */
export type StreamStartDef = 'snapshot' | 'now'

/** A flag column: rows with `pending` are new to us and get `done`; both as text: `true`, `12`, a word. */
export interface StatusDef {
  readonly column: string
  readonly pending: string
  readonly done: string
}

/** `keep` leaves deleted rows in place. `sweep` compares keys with the source when `everyMs` have passed since the last sweep. */
export type DeletesDef = { readonly kind: 'keep' } | { readonly kind: 'sweep'; readonly everyMs: number }

/** A real thing of the business, kept as one golden record per key in `ods.<name>`. */
export interface EntityDef {
  readonly name: string
  readonly columns: readonly ColumnDef[]
  readonly key: readonly string[]
  readonly contributions: readonly ContributionDef[]
  readonly rules: readonly RuleDef[]
  /** Repairs, by column: an expression over the mapped columns of the entity. Each changed cell leaves a correction record. */
  readonly cleanse: readonly { readonly column: string; readonly expr: Expr }[]
  /** Which contributor wins when they disagree: by column, `*` for the rest. */
  readonly conflicts: readonly { readonly column: string; readonly prefer: PreferDef }[]
}

/** What one source table gives to an entity. */
export interface ContributionDef {
  /** Name of the contributor in conflict rules and the crosswalk: the source's name unless `as` was given. */
  readonly as: string
  readonly source: string
  readonly table: string
  /** One expression over the staged row for each entity column that it gives; columns it does not give are NULL. */
  readonly map: readonly { readonly column: string; readonly expr: Expr }[]
  readonly where: Expr | null
  /**
   * Set when the rows do not carry the entity's key: they are found among the golden records by likeness, add to the
   * record they match, and never create one. Rows without a match stay in the crosswalk with a NULL key. Several staged
   * rows with the same mapped values count as one.
   */
  readonly match: MatchDef | null
}

export interface MatchDef {
  /** Text columns of the entity compared by likeness: the contributor's value against all words of these golden columns. */
  readonly compare: readonly { readonly column: string; readonly against: readonly string[] }[]
  /** Columns whose equality raises the score (it is no hard border: sources disagree on states). */
  readonly support: readonly string[]
  /** 0 to 1: a best pair below it is no match. */
  readonly threshold: number
}

export type PreferDef =
  /** The first of these contributors that has a value. */
  | { readonly kind: 'first'; readonly order: readonly string[] }
  /** The value whose contributor has the latest value in `by` (a time column of the entity). */
  | { readonly kind: 'latest'; readonly by: string }
  | { readonly kind: 'longest' }
  /** All must agree; otherwise the cell is NULL, or the golden record keeps its old value and the row is quarantined. */
  | { readonly kind: 'agree'; readonly otherwise: 'quarantine' | 'null' }

/** A control on entity values. Runs before repair (reported) and after it (acted on). */
export interface RuleDef {
  /** Unique within the entity and stable: `delay.range`. */
  readonly id: string
  readonly columns: readonly string[]
  readonly check:
    | { readonly kind: 'required' }
    | { readonly kind: 'range'; readonly min: RuleBound; readonly max: RuleBound }
    | { readonly kind: 'oneOf'; readonly values: readonly (string | number)[] }
    | { readonly kind: 'pattern'; readonly re2: string }
    | { readonly kind: 'unique' }
    /** The value stands in the key of another entity, or in the key of a staged table. NULL passes. */
    | {
        readonly kind: 'reference'
        readonly to: { readonly entity: string } | { readonly source: string; readonly table: string }
      }
    /** An own condition over the entity's columns; a row passes unless it is false. */
    | { readonly kind: 'expression'; readonly expr: Expr }
  /** warn: reported only. quarantine: the row is set aside. block: nothing of the load becomes visible. */
  readonly severity: 'warn' | 'quarantine' | 'block'
  /** A run in which more rows of a change set break the rule ends with exit status 3 and publishes nothing. */
  readonly limit: { readonly rows: number } | { readonly share: number } | null
}

export type RuleBound = string | number | null

/** The only way out of the ODS: `export.<name>`. */
export interface ExportDef {
  readonly name: string
  readonly entity: string
  /** Columns after masking: types changed, dropped ones gone. */
  readonly columns: readonly ColumnDef[]
  readonly key: readonly string[]
  readonly masks: readonly { readonly column: string; readonly mask: MaskDef }[]
  /** Rows that may leave. */
  readonly where: Expr | null
}

export type MaskDef =
  | { readonly kind: 'drop' }
  /** Keyed hash: the same value gives the same token in every export that has the same secret. */
  | { readonly kind: 'hash'; readonly secret: SecretRef }
  | { readonly kind: 'redact'; readonly text: string }
  | { readonly kind: 'keepLast'; readonly count: number }
  /** Numbers rounded down to a multiple of `width`. */
  | { readonly kind: 'bucket'; readonly width: number }

/** `dw.dim_<name>`. `calendar` has no export: it is generated for the dates of the facts. */
export type DimensionDef =
  | {
      readonly kind: 'history'
      readonly name: string
      readonly export: string
      /** Natural key: the export's key. */
      readonly key: readonly string[]
      readonly columns: readonly ColumnDef[]
      /** A change here opens a new version; a change in any other attribute overwrites it in every version (type 1). */
      readonly type2: readonly string[]
      /** Column that says from when a version holds; `null`: the time of the run that saw it. */
      readonly validFrom: string | null
      readonly onDelete: 'close' | 'flag' | 'keep'
    }
  | { readonly kind: 'calendar'; readonly name: string }

/** `dw.fact_<name>`: one row for each export row. */
export interface FactDef {
  readonly name: string
  readonly export: string
  readonly grain: readonly string[]
  /** Event time: decides which version of a dimension a row joins. */
  readonly at: string
  readonly dims: readonly { readonly role: string; readonly dimension: string; readonly by: readonly string[] }[]
  /** The other columns: measures and degenerate dimensions. */
  readonly columns: readonly ColumnDef[]
}

/** `mart.<name>`: groups of a fact, refreshed group by group. */
export interface SummaryDef {
  readonly name: string
  readonly fact: string
  readonly by: readonly { readonly column: string; readonly expr: SummaryExpr }[]
  readonly get: readonly { readonly column: string; readonly aggregate: Aggregate; readonly of: SummaryExpr | null }[]
}

/** An expression over the fact (role `null`) or over one of its dimensions. */
export interface SummaryExpr {
  readonly role: string | null
  readonly expr: Expr
}

export type Aggregate = 'sum' | 'avg' | 'min' | 'max' | 'count' | 'countDistinct'
