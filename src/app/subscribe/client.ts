import { realEnv } from '../../core/env.ts'
import { fail } from '../../core/errors.ts'
import type { ColumnType } from '../../core/types.ts'
import type { Column, Columns, Group, Personal, ValueIn } from '../../config/column.ts'
import type { Schema } from '../../config/source.ts'
import { openProject } from '../project.ts'
import type { FedSet } from './feed.ts'
import { openFeed, type OpenedFeed } from './open.ts'
import type { maskedText, SeenChange, SeenMessage } from './rows.ts'

/** How long one question for more changes waits at the server. */
const askMs = 30_000
/** So much longer than its pause is waited for what was released. */
const behindPauseMs = 100

/** Which changes, and as whom. */
export interface ChangesOptions<D extends Schema> {
  /** Name of the subscriber in the config: it says which source, which tables, and whether personal values are shown. */
  readonly as: string
  /** The schema module of the source: gives the types of rows. */
  readonly schema?: D
  /** The configuration; `naru.config.ts` in the working folder unless given. */
  readonly config?: string
  /** Where a subscriber without a place begins: behind what is there, or with the oldest that is kept; `end` unless given. */
  readonly from?: 'start' | 'end'
  /** Ends the wait for changes. */
  readonly signal?: AbortSignal
}

/** A personal value may be masked, whatever its type. */
type Masked<F extends string> = Personal extends F ? typeof maskedText : never
type Value<C> = C extends Column<infer G extends Group, infer F> ? ValueIn<G, F> | Masked<F> : never
type Row<C extends Columns> = { readonly [N in keyof C]: Value<C[N]> }
/** Of a table without a key all columns: its rows are told apart by nothing less. */
type KeyRow<T extends Schema[string]> = T['key'] extends 'append'
  ? Row<T['columns']>
  : Pick<Row<T['columns']>, Extract<T['key'][number], keyof T['columns']>>

/** A transaction of the source. */
export interface Transaction {
  /** Its number in the source, where it has one. */
  readonly id: string | null
  /** When it committed, by the clock of the source: microseconds since 1970-01-01 UTC. */
  readonly committedMicros: bigint
}

/** What an application wrote into the log with `pg_logical_emit_message`. */
export interface LogMessage {
  readonly prefix: string
  /** `null` for one that is larger than 256 KiB. */
  readonly content: Uint8Array | null
  readonly bytes: number
  /** The one that it was written in: changes with the same number belong to it. `null` when it stands in none, or that goes on in the next set. */
  readonly transaction: Transaction | null
}

interface Common<N extends string> {
  readonly table: N
  /** `null` within a large transaction that goes on in the next set. */
  readonly transaction: Transaction | null
}
type ChangeOf<N extends string, T extends Schema[string]> = Common<N> &
  (
    | {
        /** `move`: the row got another key; before it comes the delete of the old one. */
        readonly op: 'insert' | 'update' | 'move'
        readonly key: KeyRow<T>
        /** A column that is not there did not change. */
        readonly row: Partial<Row<T['columns']>>
      }
    | { readonly op: 'delete'; readonly key: KeyRow<T> }
    | { readonly op: 'truncate' }
  )

/** A change of one of the tables. */
export type Change<D extends Schema> = { [N in keyof D & string]: ChangeOf<N, D[N]> }[keyof D & string]

/** What the source said at once, or a part of a large transaction. */
export interface ChangeSet<D extends Schema> {
  readonly position: string
  /** How often it was given since the server began. */
  readonly attempts: number
  /** The log was begun anew before this set (`naru resync SOURCE`), while this application was connected: changes between are not told, read the rows again. */
  readonly isAnew: boolean
  /** False in the middle of a large transaction, which goes on in the next set. */
  readonly isWhole: boolean
  /**
   * How many changes could not be taken from the source: `naru.reject` lists them. One whose key is known is a `delete`
   * among the changes, though the source still has the row.
   */
  readonly rejected: number
  /** Messages that applications wrote into the log, of the prefixes that the config names, in order. */
  readonly messages: readonly LogMessage[]
  /** A table has another shape in the source from here on. */
  readonly schema: FedSet['schema']
  /** In the order in which they took effect, decoded piece by piece. Read once, before the next set is asked for. */
  changes(): AsyncIterable<Change<D>>
  /** This set and all before it are done: durable when it resolves. */
  acknowledge(): Promise<void>
  /** This set, and what else was not acknowledged, is given again after the pause. */
  release(afterMs?: number): Promise<void>
}

/** The sets of a subscriber, as they come. Ends when the signal aborts; without a server, behind the last set that is there. */
export interface Changes<D extends Schema> extends AsyncIterable<ChangeSet<D>> {
  /** Lets another take over; what was not acknowledged is given to it. */
  close(): Promise<void>
}

/** Opens the changes of a subscriber: from the server of the project, or from its durable log while no server runs. */
export async function openChanges<const D extends Schema = Schema>(options: ChangesOptions<D>): Promise<Changes<D>> {
  const open = await openProject(realEnv(), { config: options.config, cwd: process.cwd() })
  const signal = options.signal ?? new AbortController().signal
  const feed = await openFeed(open, { name: options.as, from: options.from ?? 'end' }, signal)
  return { [Symbol.asyncIterator]: () => setsOf<D>(feed, options.as, signal), close: () => feed.close() }
}

async function* setsOf<D extends Schema>(
  feed: OpenedFeed,
  name: string,
  signal: AbortSignal,
): AsyncGenerator<ChangeSet<D>, void> {
  let current: FedSet | null = null
  let releasedMs = 0
  try {
    while (!signal.aborted) {
      // At rest nothing comes, but what was released does, once its pause is over.
      const set: FedSet | null = await feed.next(feed.isAtRest ? releasedMs : askMs, signal)
      releasedMs = 0
      if (set === null && feed.isAtRest) return
      if (set === null) continue
      current = set
      const { position, attempts, isAnew, isWhole, rejected, messages, schema } = set
      yield {
        position,
        attempts,
        isAnew,
        isWhole,
        rejected,
        messages: messages.map(messageOf),
        schema,
        changes: () => changesOf<D>(feed, set, () => current === set || past(name, position)),
        acknowledge: () => feed.acknowledge(position),
        release: async (afterMs = 0) => {
          await feed.release(afterMs)
          releasedMs = afterMs + behindPauseMs
        },
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    await feed.close()
  }
}

function messageOf({ content, ...rest }: SeenMessage): LogMessage {
  return { ...rest, content: content === null ? null : new Uint8Array(Buffer.from(content, 'base64')) }
}

function past(name: string, position: string): never {
  throw fail('SUBSCRIBER_SET_PAST', { name, position })
}

async function* changesOf<D extends Schema>(
  feed: OpenedFeed,
  set: FedSet,
  check: () => boolean,
): AsyncGenerator<Change<D>, void> {
  while (check()) {
    const page = await feed.page()
    if (page === null) return
    for (const change of page) yield typed(change, set) as unknown as Change<D>
  }
}

function typed({ table, op, cells, transaction }: SeenChange, { tables }: FedSet): object {
  const { table: name = '', columns = [] } = tables[table] ?? {}
  const key: Record<string, unknown> = {}
  const row: Record<string, unknown> = {}
  for (const [i, column] of columns.entries()) {
    const cell = cells[i]
    if (cell === undefined || cell === false) continue
    const value = cell === null ? null : column.isMasked ? cell : valueOf(column.type, cell)
    row[column.name] = value
    if (column.isKey) key[column.name] = value
  }
  if (op === 'truncate') return { table: name, op, transaction }
  return op === 'delete' ? { table: name, op, key, transaction } : { table: name, op, key, row, transaction }
}

/** The value as TypeScript has it: see `TypeScriptValue`. */
function valueOf(type: ColumnType, text: string): unknown {
  switch (type.kind) {
    case 'bool':
      return text === 'true'
    case 'int':
      return type.bits === 64 ? BigInt(text) : Number(text)
    case 'float':
      return Number(text)
    case 'json':
      return JSON.parse(text)
    case 'bytes':
      return new Uint8Array(Buffer.from(text.slice(2), 'hex'))
    default:
      return text
  }
}
