import { fail } from '../../../core/errors.ts'
import type { CellBatches, Value } from '../../../systems/cells/batches.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { Connection, Reply } from './connection.ts'
import type { RedisTableDef } from './index.ts'
import type { TableRead } from './scan.ts'

/** Bytes that a page of entries should have, by the average of the stream. */
const pageBytes = 4 << 20
const pageEntriesMax = 1000

/**
 * The entries of a stream in the order of their ids, up to the last one that was there at the beginning: what is added
 * meanwhile belongs to the next read. The length of an entry cannot be asked for: one that is too large passes the wire
 * once before it is set aside.
 */
export async function* streamRows(read: TableRead, batches: CellBatches): AsyncGenerator<void> {
  const { connection, table, signal, target } = read
  const [newest] = (await connection.ask(['XREVRANGE', table.before, '+', '-', 'COUNT', '1'], signal)) as Entries
  if (newest === undefined) return
  const last = newest[0].toString('latin1')
  const count = String(await pageEntries(read))
  const bytesMax = Math.max(pageBytes * 16, target.rowBytesMax * 2)
  // Ids begin with a millisecond: those of the last one are read again, because more may have come in it.
  const first = read.since === undefined ? '-' : `${read.since.atLeastMicros / 1000n}-0`
  for (let from: string | null = first; from !== null;) {
    const command = ['XRANGE', table.before, from, last, 'COUNT', count] as const
    const [reply] = await connection.round([command], bytesMax, signal)
    if (reply instanceof Error) throw reply
    const entries = reply as Entries
    for (const [id, fields] of entries) {
      batches.add(rowOf(read, id, fields))
      if (batches.full) yield
    }
    const end = entries.at(-1)?.[0].toString('latin1')
    from = end === undefined || end === last ? null : idAfter(end)
  }
}

/** Latest moment that is kept in microseconds: a stream may have ids beyond, which are no times. */
const msMax = 9_000_000_000_000_000n

/** The moment of the last id that the stream gave, also to an entry that was removed since. */
export async function newestOf(connection: Connection, { before }: RedisTableDef): Promise<bigint> {
  const facts = (await connection.ask(['XINFO', 'STREAM', before], new AbortController().signal)) as readonly Reply[]
  const at = facts.findIndex(it => String(it) === 'last-generated-id')
  const [ms] = /^\d+/.exec(String(facts[at + 1] ?? '')) ?? []
  if (at >= 0 && ms !== undefined && BigInt(ms) <= msMax) return BigInt(ms) * 1000n
  throw fail('REDIS_STREAM_ID', { stream: before, id: String(facts[at + 1] ?? '') })
}

type Entries = readonly (readonly [Buffer, readonly Reply[]])[]

async function pageEntries({ connection, table, signal }: TableRead): Promise<number> {
  const length = Number(await connection.ask(['XLEN', table.before], signal))
  const bytes = Number(await connection.ask(['MEMORY', 'USAGE', table.before], signal))
  const average = Math.max(1, bytes / Math.max(1, length))
  return Math.max(1, Math.min(pageEntriesMax, Math.floor(pageBytes / average)))
}

const sequenceMax = 2n ** 64n - 1n

/** The first id behind an id: `5-1` behind `5-0`. */
export function idAfter(id: string): string {
  const [ms = '0', sequence = '0'] = id.split('-')
  return BigInt(sequence) === sequenceMax ? `${BigInt(ms) + 1n}-0` : `${ms}-${BigInt(sequence) + 1n}`
}

function rowOf({ table, columns }: TableRead, id: Buffer, fields: readonly Reply[]): readonly Value[] {
  return columns.map(column => (column.name === table.key ? { text: id } : fieldOf(column, fields)))
}

function fieldOf({ name }: ColumnDef, fields: readonly Reply[]): Value {
  const found: Buffer[] = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const value = fields[i + 1]
    if (String(fields[i]) === name && Buffer.isBuffer(value)) found.push(value)
  }
  const [value] = found
  if (value === undefined) return null
  return found.length === 1 ? { text: value } : { misfit: 'stands twice in its entry', content: value }
}
