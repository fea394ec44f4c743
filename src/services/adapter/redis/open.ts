import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { CellBatches } from '../../../systems/cells/batches.ts'
import type {
  Adapter,
  ControlTotals,
  OpenAdapter,
  RowFilter,
  Snapshot,
  SourceBatch,
  TableNow,
  TableShape,
} from '../contract.ts'
import { keptOpen, type Closing } from '../kept-open.ts'
import { limitsOf } from '../options.ts'
import { Connection, targetOf, type Target } from './connection.ts'
import type { RedisTableDef } from './index.ts'
import { scanRows } from './scan.ts'
import { newestOf, streamRows } from './stream.ts'

/** A scan is one piece over one connection. */
const oneByOne = { chunkRows: Number.MAX_SAFE_INTEGER, connections: 1 }

/** Opens the adapter; the first connection is made by its first snapshot. */
export const openAdapter: OpenAdapter = async given => {
  const target = targetOf(given)
  const { env } = given
  const open = new Set<Closing>()
  const adapter: Adapter = {
    kind: 'redis',
    tables: {
      can: { snapshot: false, chunks: false, range: false, totals: false },
      limits: limitsOf({ ...given.options, ...oneByOne }, given.source),
      openSnapshot: async signal => keptOpen(open, await RedisSnapshot.open(env, target, signal)),
    },
    close: async () => {
      for (const snapshot of open) await snapshot.close()
    },
  }
  return adapter
}

const never = new AbortController().signal

/** A connection, and the server's clock when it was made. What is read through it is as it is at that moment. */
class RedisSnapshot implements Snapshot {
  readonly takenAtMicros: bigint
  readonly horizonMicros = null
  readonly #env: Env
  readonly #target: Target
  #connection: Connection

  private constructor(env: Env, target: Target, connection: Connection, takenAtMicros: bigint) {
    this.#env = env
    this.#target = target
    this.#connection = connection
    this.takenAtMicros = takenAtMicros
  }

  static async open(env: Env, target: Target, signal: AbortSignal): Promise<RedisSnapshot> {
    const connection = await Connection.open(env, target, signal)
    try {
      const [seconds, micros] = (await connection.ask(['TIME'], signal)) as readonly [Buffer, Buffer]
      return new RedisSnapshot(env, target, connection, BigInt(String(seconds)) * 1_000_000n + BigInt(String(micros)))
    } catch (error) {
      connection.close()
      throw connection.problem(error, null)
    }
  }

  /** The columns are the config's: Redis has no catalog. A stream must be there; keys may always come. */
  async look(remote: string): Promise<TableNow> {
    const { source } = this.#target
    const table = this.#find(remote)
    if (table.kind === 'stream') {
      const type = await this.#about(remote, () => this.#connection.ask(['TYPE', table.before], never))
      if (String(type) !== 'stream') throw fail('SOURCE_TABLE_GONE', { source, table: table.before })
    }
    const newestMicros = table.isAppended
      ? await this.#about(remote, () => newestOf(this.#connection, table))
      : undefined
    const columns = table.columns.map(column => ({ ...column, nativeType: 'bytes' }))
    return { name: remote, columns, key: [table.key], rowsEstimate: null, denied: [], newestMicros }
  }

  async boundary(): Promise<null> {
    return null
  }

  async *read(
    shape: TableShape,
    columns: readonly string[],
    filter: RowFilter,
    signal: AbortSignal,
  ): AsyncGenerator<SourceBatch, void> {
    const { source, rowBytesMax } = this.#target
    const table = this.#find(shape.remote)
    refuseFilter(source, table, filter)
    const wanted = columns.map(name => {
      const column = shape.columns.find(it => it.name === name)
      if (column === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: shape.remote, column: name })
      return column
    })
    const connection = await this.#live(signal)
    const batches = new CellBatches(wanted, shape.key, rowBytesMax)
    const { since } = filter
    const read = { connection, target: this.#target, name: shape.remote, table, columns: wanted, since, signal }
    try {
      for await (const _ of table.kind === 'stream' ? streamRows(read, batches) : scanRows(read, batches)) {
        yield batches.take()
      }
    } catch (error) {
      throw connection.problem(error, shape.remote)
    }
    if (!batches.empty) yield batches.take()
  }

  totals(): Promise<ControlTotals> {
    throw fail('INTERNAL', { what: 'Redis was asked for totals' })
  }

  async close(): Promise<void> {
    this.#connection.close()
  }

  /** A read that was cancelled cut the connection: the next one has a new one. */
  async #live(signal: AbortSignal): Promise<Connection> {
    if (signal.aborted) throw fail('CANCELLED', { what: `reading source "${this.#target.source}"` })
    if (this.#connection.isLost) this.#connection = await Connection.open(this.#env, this.#target, signal)
    return this.#connection
  }

  #find(remote: string): RedisTableDef {
    const { tables, source } = this.#target
    const table = Object.hasOwn(tables, remote) ? tables[remote] : undefined
    if (table === undefined) throw fail('SOURCE_TABLE_GONE', { source, table: remote })
    return table
  }

  async #about<T>(table: string, task: () => Promise<T>): Promise<T> {
    try {
      return await task()
    } catch (error) {
      throw this.#connection.problem(error, table)
    }
  }
}

function refuseFilter(
  source: string,
  { kind, before, key }: RedisTableDef,
  { since, changed, range, where }: RowFilter,
): void {
  for (const { column } of changed ?? []) throw fail('SINCE_UNSUPPORTED', { source, table: before, column })
  if (range !== undefined) throw fail('RANGE_UNSUPPORTED', { source, table: before, column: range.column })
  const isById = kind === 'stream' && since?.column === key
  if (since !== undefined && !isById) throw fail('SINCE_UNSUPPORTED', { source, table: before, column: since.column })
  if (where === undefined) return
  const problem = 'Redis has no conditions; narrow the pattern of the table'
  throw fail('OPTION_INVALID', { where: `source "${source}"`, option: 'where', problem })
}
