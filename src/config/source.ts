import { readOptions, type OptionTable } from '../core/implementation.ts'
import type { SecretRef } from '../core/secret.ts'
import { postgres as postgresAdapter } from '../services/adapter/postgres/index.ts'
import { sqlite as sqliteAdapter } from '../services/adapter/sqlite/index.ts'
import type {
  Changes,
  Duration,
  Guarded,
  Polled,
  ReadingTechnique,
  StampKind,
  StreamCare,
  Technique,
} from './change.ts'
import { assertUsable, careOf, changeOf, everyOf, guardOf, readingTechniques, techniqueNames } from './change-def.ts'
import { whereOf } from './where.ts'
import { stagedAs, type StagedColumns, type StagedKey } from './append.ts'
import { columnDefs, type Columns, type Group, type InstantGroup, type Key } from './column.ts'
import { assertKnown, contractOf, type Contract, type Contracts, type Renamed } from './contract.ts'
import { about, checkedColumns, checkedName, checkedOptions, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { ChangeDef, ContractDef, SourceDef, SourceTableDef } from './model.ts'

declare const columnsOf: unique symbol
declare const keyOf: unique symbol
export type { columnsOf, keyOf }

/** A secret from the environment variable `name`, read only when a connection opens. */
export function env(name: string): SecretRef {
  return Object.freeze({ kind: 'secret', from: 'env', name })
}

/** A secret from a file, read only when a connection opens. */
export function file(path: string): SecretRef {
  return Object.freeze({ kind: 'secret', from: 'file', name: path })
}

/** The tables of a database, as `naru pull` writes them. */
export interface Schema {
  readonly [table: string]: {
    readonly columns: Columns
    /** The columns that tell its rows apart. `append`: nothing does, and each change of the table becomes a row. */
    readonly key: readonly string[] | 'append'
    /** The table's name in the source, when it differs. */
    readonly remote?: string
  }
}

/** Something with columns and a key: a source table or an entity. */
export interface Keyed<C extends Columns, K extends Key> extends Handle {
  readonly [columnsOf]: C
  readonly [keyOf]: K
}

/** A table of a source. `S` is the name of the source, which is the contributor's name in an entity. */
export interface Table<S extends string, C extends Columns, K extends Key> extends Keyed<C, K> {
  readonly sourceName: S
}

/** The tables of a source, by name. */
export type Source<S extends string, D extends Schema> = Handle & {
  readonly [T in keyof D]: Table<S, StagedColumns<D[T]>, StagedKey<D[T]>>
}

/** `G` is what a time may be in the source: see `StampKind`. `K` are the change techniques that it has. */
export interface DatabaseOptions<
  D extends Schema,
  G extends Group = InstantGroup,
  K extends Technique = ReadingTechnique,
>
  extends Polled, StreamCare {
  /** The tables, from `naru pull`. */
  readonly schema: D
  /** How changes are seen, by table; a table that is not named is read in full. */
  readonly changes?: Changes<NoInfer<D>, G, K>
  /** What becomes of a table whose shape in the source changed: one contract for all tables, or by table. */
  readonly contract?: Contract | Contracts<NoInfer<keyof D & string>>
  /** Columns that have a new name in the source: it is read, and everything else keeps the old one. */
  readonly renamed?: Renamed<NoInfer<D>>
}

// Option types are written out, not derived from the adapters' tables: deriving them would make a user's compiler read
// the types of every driver. The tables check the values when the config is evaluated.

/** What every database takes: it protects the source from its reader. */
export interface LimitOptions {
  /** Rows of a first load that are read and committed together. */
  readonly chunkRows?: number
  /** Chunks of a table that are read at the same time, each over a connection of its own; 1 unless given. */
  readonly connections?: number
  /** Most rows that are read in a second; 0, the default, is as fast as it goes. */
  readonly rowsPerSecond?: number
  /** How often a run connects again, each time after a longer pause, when the source cannot be reached; 2 unless given. */
  readonly retries?: number
  /** Hours of the day, in UTC, in which the source may be read: `'22:00-06:00'`. */
  readonly hours?: `${number}:${number}-${number}:${number}`
  /** Largest row that is taken; a larger one is set aside. */
  readonly maxValueBytes?: number
}

/** A source that can be asked for a part of the rows of a table. */
export interface Filtered<D extends Schema> {
  /**
   * Only rows for which a condition in the source's own SQL holds are taken, by table: the others never leave the source. For techniques that
   * read, and for the `log` of PostgreSQL 15 and newer.
   */
  readonly where?: { readonly [T in keyof D]?: string }
}

export interface PgOptions extends LimitOptions {
  /** `postgres://user:password@host:port/database`, as `env('NAME')` or `file('path')`. */
  readonly url: SecretRef
  /** Schemas that `naru pull` describes, separated by commas; all that the account may use unless given. */
  readonly schemas?: string
  /** Longest wait for a connection and its login. */
  readonly connectTimeout?: Duration
  /** Longest wait for the server to go on: with a statement, or with the next piece of a table. */
  readonly statementTimeout?: Duration
  /** Replication slot of the technique `log`; `naru_` and the name of the source unless given. */
  readonly slot?: string
  /** Publication of the technique `log`; made unless it is there, and named like the slot unless given. */
  readonly publication?: string
  /** Longest silence of a stream of changes before its connection counts as broken. */
  readonly streamTimeout?: Duration
  /** How often a few bytes are written into the source's log while changes are streamed, and to bring its end to the disk; `'0s'` writes none. */
  readonly heartbeat?: Duration
  /** The slot of the technique `log` is one that standbys take over, from PostgreSQL 17 on; `true` unless given. */
  readonly failover?: boolean
}

/** A PostgreSQL database. */
export function pg<const S extends string, D extends Schema>(
  name: S,
  options: PgOptions & Guarded & Filtered<NoInfer<D>> & DatabaseOptions<D, InstantGroup, Technique>,
): Source<S, D> {
  return database(name, postgresAdapter, options, {
    techniques: techniqueNames,
    kept: ['log', 'trigger', 'event'],
    filters: [...readingTechniques, 'log'],
  })
}

export interface SqliteOptions extends LimitOptions {
  /** The file, absolute or from the folder of the configuration. */
  readonly path: string
}

/**
 * A SQLite file. It has no type for times: the timestamp technique takes a text column with ISO 8601 in UTC. It has no
 * streams: the locks of the driver are not those of other programs, so it must not write into a file in use.
 */
export function sqlite<const S extends string, D extends Schema>(
  name: S,
  options: SqliteOptions & Filtered<NoInfer<D>> & DatabaseOptions<D, InstantGroup | 'text'>,
): Source<S, D> {
  return database(name, sqliteAdapter, options, { stamps: ['timestamp', 'text'], filters: readingTechniques })
}

/** A source whose tables `naru pull` describes. `own` is an adapter that the package does not have. */
export function database<
  S extends string,
  D extends Schema,
  G extends Group = InstantGroup,
  K extends Technique = ReadingTechnique,
>(
  name: S,
  adapter: { readonly kind: string; readonly options: OptionTable },
  options: Guarded & Filtered<D> & DatabaseOptions<D, G, K>,
  {
    own,
    stamps = ['timestamp'],
    techniques = readingTechniques,
    kept = [],
    filters,
  }: {
    readonly own?: SourceDef['own']
    readonly stamps?: readonly StampKind[]
    readonly techniques?: readonly Technique[]
    /** Techniques for which the source keeps changes on its own disk until we have them. */
    readonly kept?: readonly Technique[]
    /** Techniques by which a part of the rows can be asked for; absent where `where` is no option. */
    readonly filters?: readonly Technique[] | undefined
  } = {},
): Source<S, D> {
  checkedName('source', name)
  const {
    schema,
    changes,
    contract,
    renamed,
    every,
    compare,
    lagAlarmBytes,
    guard,
    where: conditions,
    ...others
  } = options
  const rest = filters === undefined && conditions !== undefined ? { ...others, where: conditions } : others
  const given = (changes ?? {}) as Changes<Schema>
  checkedOptions(`the changes of source "${name}"`, given, ['*', ...Object.keys(schema)])
  assertUsable(name, schema, given, { stamps, techniques })
  if (filters !== undefined)
    checkedOptions(`the conditions (where) of source "${name}"`, conditions ?? {}, Object.keys(schema))
  const contracts = contract as Contract | Contracts<string> | undefined
  const names = renamed as Renamed<Schema> | undefined
  assertKnown(name, schema, {
    ...(contracts === undefined ? {} : { contract: contracts }),
    ...(names === undefined ? {} : { renamed: names }),
  })
  const tables = Object.entries(schema).map(([table, it]) => {
    const where = `table ${name}.${table}`
    const change = changeOf(where, it.columns, given, { table, stamps, techniques })
    return tableDef(name, table, {
      remote: it.remote ?? table,
      ...stagedAs(where, it, change, techniques.includes('log')),
      change,
      contract: contractOf(where, contracts, table),
      ...(names?.[table] === undefined ? {} : { renamed: names[table] as Readonly<Record<string, string>> }),
      ...whereOf(where, conditions?.[table], { technique: change.technique, isAppend: it.key === 'append', filters }),
    })
  })
  readOptions(adapter.options, rest, `source "${name}"`)
  const def: SourceDef = {
    name,
    adapter: adapter.kind,
    options: rest,
    tables,
    ...everyOf(name, every),
    ...careOf(name, { compare, lagAlarmBytes }),
    ...guardOf(name, guard, { kept, tables }),
  }
  return sourceOf(own === undefined ? def : { ...def, own })
}

interface TableParts {
  readonly remote: string
  readonly columns: Columns
  readonly key: readonly string[]
  readonly append?: true
  readonly change: ChangeDef
  readonly contract?: ContractDef
  readonly renamed?: Readonly<Record<string, string>>
  readonly where?: string | undefined
}

export function tableDef(source: string, name: string, parts: TableParts): SourceTableDef {
  checkedName('table', name)
  checkedColumns(`table ${source}.${name}`, parts.key, Object.keys(parts.columns))
  return {
    source,
    name,
    remote: parts.remote,
    columns: columnDefs(parts.columns),
    key: parts.key,
    ...(parts.append === undefined ? {} : { append: parts.append }),
    change: parts.change,
    ...(parts.contract === undefined ? {} : { contract: parts.contract }),
    ...(parts.renamed === undefined ? {} : { renamed: parts.renamed }),
    ...(parts.where === undefined ? {} : { where: parts.where }),
  }
}

export function sourceOf<H>(def: SourceDef): H {
  const twice = def.tables.find((table, i) => def.tables.some((other, n) => n < i && other.name === table.name))
  if (twice !== undefined) throw mistake(`source "${def.name}" has two tables "${twice.name}"`)
  const tables = def.tables.map(table => [
    table.name,
    Object.freeze({ [about]: { kind: 'table', def: table, source: def, uses: [] }, sourceName: def.name }),
  ])
  const handle = Object.fromEntries(tables) as Record<string, Handle>
  const source = { [about]: { kind: 'source', def, uses: Object.values(handle) } }
  return Object.freeze({ ...handle, ...source }) as H
}
