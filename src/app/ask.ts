import { cellText } from '../core/cell-text.ts'
import { fail } from '../core/errors.ts'
import type { ColumnDef } from '../core/types.ts'
import type { Adapter, Snapshot, TableDescription, TableShape } from '../services/adapter/contract.ts'
import { openAddress, readAddress, type Address } from './transfer/address.ts'
import type { Given } from './transfer/moving.ts'

/** Which system is asked, as `naru transfer` names one. */
export interface Asked {
  readonly address: string
  readonly configFile: string
}

/** The first rows of an answer; `complete` is false when there were more. */
export interface Answer {
  readonly columns: readonly ColumnDef[]
  /** Exact text of each value, `null` for NULL. */
  readonly rows: readonly (readonly (string | null)[])[]
  readonly complete: boolean
}

/** The tables of a system that the account may read, from its catalog. Throws `SOURCE_NO_CATALOG`. */
export async function listTables(given: Given, asked: Asked): Promise<readonly TableDescription[]> {
  return withSystem(given, asked, async ({ describes }, address) => {
    if (describes !== undefined) return describes.describe(given.signal)
    throw fail('SOURCE_NO_CATALOG', { source: address.text, adapter: address.system.adapter })
  })
}

/**
 * Runs a SELECT in the source's own SQL on a snapshot, which is read-only, and gives at most `limit` rows. Throws
 * `TRANSFER_CANNOT` for a system without queries, `SOURCE_QUERY` with what the system says of this one.
 */
export async function ask(given: Given, asked: Asked, query: string, limit: number): Promise<Answer> {
  return withSystem(given, asked, async ({ tables }, address) => {
    if (tables === undefined) throw fail('TRANSFER_CANNOT', { system: address.text, what: 'be asked' })
    const snapshot = await tables.openSnapshot(given.signal)
    try {
      if (snapshot.define === undefined) throw fail('TRANSFER_CANNOT', { system: address.text, what: 'run a query' })
      await snapshot.define(queryName, query)
      return await firstRows(snapshot, limit, given.signal)
    } finally {
      await snapshot.close()
    }
  })
}

const queryName = '(query)'

async function firstRows(snapshot: Snapshot, limit: number, signal: AbortSignal): Promise<Answer> {
  const { columns } = await snapshot.look(queryName)
  const shape: TableShape = { remote: queryName, columns, key: [] }
  const names = columns.map(column => column.name)
  const rows: (string | null)[][] = []
  for await (const { batch, rejects } of snapshot.read(shape, names, {}, signal)) {
    const [reject] = rejects
    // Leaving the row out would be an answer that looks whole.
    if (reject !== undefined)
      throw fail('SOURCE_QUERY', { source: 'the answer', problem: `a row cannot be shown: ${reject.detail}` })
    for (let row = 0; row < batch.rows && rows.length <= limit; row += 1) {
      rows.push(columns.map(({ type }, i) => cellText(type, batch.columns[i] as (typeof batch.columns)[number], row)))
    }
    if (rows.length > limit) break
  }
  return { columns, rows: rows.slice(0, limit), complete: rows.length <= limit }
}

async function withSystem<T>(
  given: Given,
  { address: text, configFile }: Asked,
  use: (adapter: Adapter, address: Address) => Promise<T>,
): Promise<T> {
  const address = await readAddress(given.env, text, configFile)
  const adapter = await openAddress(given, address, configFile)
  try {
    return await use(adapter, address)
  } finally {
    await adapter.close()
  }
}
