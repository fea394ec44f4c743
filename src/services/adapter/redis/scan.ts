import { fail } from '../../../core/errors.ts'
import type { CellBatches, Value } from '../../../systems/cells/batches.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { RowFilter } from '../contract.ts'
import type { Argument, Connection, Reply, Target } from './connection.ts'
import type { RedisTableDef } from './index.ts'

/** One read of a table: its columns in the order that was asked for. */
export interface TableRead {
  readonly connection: Connection
  readonly target: Target
  readonly name: string
  readonly table: RedisTableDef
  readonly columns: readonly ColumnDef[]
  /** Only the entries of a stream from this moment on. */
  readonly since: RowFilter['since']
  readonly signal: AbortSignal
}

/** Keys whose lengths are asked for together. */
const groupKeys = 200
/** Bytes of values that are fetched together. */
const fetchBytes = 4 << 20

/**
 * The rows of every key that matches, each once. SCAN promises the keys that were there from its beginning to its end;
 * one that came or went meanwhile may be among them. Yields when the batches are full.
 */
export async function* scanRows(read: TableRead, batches: CellBatches): AsyncGenerator<void> {
  const seen = new Set<string>()
  const { connection, target, table, signal } = read
  const type = table.kind === 'hashes' ? 'hash' : 'string'
  const pattern = `${escaped(table.before)}*${escaped(table.after)}`
  const count = String(target.scanCount)
  let cursor = '0'
  do {
    const reply = await connection.ask(['SCAN', cursor, 'MATCH', pattern, 'COUNT', count, 'TYPE', type], signal)
    const [next, keys] = reply as readonly [Buffer, readonly Buffer[]]
    cursor = next.toString('latin1')
    const fresh = keys.filter(key => isNew(read, seen, key))
    for (let from = 0; from < fresh.length; from += groupKeys) {
      yield* rowsOf(read, fresh.slice(from, from + groupKeys), batches)
    }
  } while (cursor !== '0')
}

/** Glob characters of a key stand for themselves. */
function escaped(text: string): string {
  return text.replaceAll(/[*?[\]^\\-]/g, '\\$&')
}

function isNew({ target, name }: TableRead, seen: Set<string>, key: Buffer): boolean {
  const text = key.toString('latin1')
  if (seen.has(text)) return false
  if (seen.size >= target.keysMax) {
    throw fail('REDIS_KEYS', { source: target.source, table: name, most: target.keysMax })
  }
  seen.add(text)
  return true
}

/** A key, and how many bytes its values have. */
interface Sized {
  readonly key: Buffer
  readonly bytes: number
}

async function* rowsOf(read: TableRead, keys: readonly Buffer[], batches: CellBatches): AsyncGenerator<void> {
  let group: Sized[] = []
  let bytes = 0
  for (const sized of await sizesOf(read, keys)) {
    if (sized.bytes > read.target.rowBytesMax) {
      const detail = `the row has ${sized.bytes} bytes, the limit is ${read.target.rowBytesMax}`
      const row = rowOf(read, sized.key, () => null)
      batches.reject('VALUE_TOO_LARGE', detail, row, { bytes: sized.bytes, content: '' })
      continue
    }
    if (bytes + sized.bytes > fetchBytes && group.length > 0) {
      await fetchGroup(read, group, batches)
      if (batches.full) yield
      group = []
      bytes = 0
    }
    group.push(sized)
    bytes += sized.bytes
  }
  await fetchGroup(read, group, batches)
  if (batches.full) yield
}

function fieldsOf({ table, columns }: TableRead): readonly ColumnDef[] {
  return columns.filter(column => column.name !== table.key)
}

/** The length of the values of each key, asked for before anything is fetched. A key that is gone is left out. */
async function sizesOf(read: TableRead, keys: readonly Buffer[]): Promise<readonly Sized[]> {
  const { connection, table, signal } = read
  const fields = fieldsOf(read)
  const commands = keys.flatMap((key): (readonly [string, ...Argument[]])[] =>
    table.kind === 'strings'
      ? [
          ['EXISTS', key],
          ['STRLEN', key],
        ]
      : [['HLEN', key], ...fields.map(field => ['HSTRLEN', key, field.name] as const)],
  )
  const replies = await connection.round(commands, 0, signal)
  const width = replies.length / Math.max(1, keys.length)
  return keys.flatMap((key, i) => {
    const [there, ...lengths] = replies.slice(i * width, (i + 1) * width)
    // Its type changed since the scan: it is no row of this table any more.
    if (there === 0 || there instanceof Error) return []
    return [{ key, bytes: lengths.reduce<number>((sum, it) => sum + (typeof it === 'number' ? it : 0), 0) }]
  })
}

async function fetchGroup(read: TableRead, group: readonly Sized[], batches: CellBatches): Promise<void> {
  const { connection, table, signal } = read
  const names = fieldsOf(read).map(field => field.name)
  // A read of the key alone needs no values.
  const isBare = table.kind === 'hashes' && names.length === 0
  const commands = group.map(({ key }): readonly [string, ...Argument[]] =>
    table.kind === 'strings' ? ['GET', key] : ['HMGET', key, ...names],
  )
  const bytes = group.reduce((sum, it) => sum + it.bytes, 0)
  const replies = isBare || group.length === 0 ? [] : await connection.round(commands, bytes, signal)
  for (const [i, { key }] of group.entries()) {
    const reply = replies[i] ?? null
    if (reply instanceof Error) continue // another type since: as above
    const values = table.kind === 'strings' ? [reply] : (reply as readonly Reply[] | null)
    if (table.kind === 'strings' && reply === null) continue
    batches.add(rowOf(read, key, column => values?.[names.indexOf(column.name)] ?? null))
  }
}

/** A row: the key's part between what all keys begin and end with, and the other values. */
function rowOf(read: TableRead, key: Buffer, valueOf: (column: ColumnDef) => Reply): readonly Value[] {
  const { table, columns } = read
  const part = key.subarray(Buffer.byteLength(table.before), key.length - Buffer.byteLength(table.after))
  return columns.map(column => {
    if (column.name === table.key) return { text: part }
    const value = valueOf(column)
    return Buffer.isBuffer(value) ? { text: value } : null
  })
}
