import { cellText } from '../core/cell-text.ts'
import type { Env } from '../core/env.ts'
import { fail } from '../core/errors.ts'
import type { ColumnDef } from '../core/types.ts'
import type { Adapter, Snapshot, TableDescription, TableShape } from '../services/adapter/contract.ts'
import { openAddress, readAddress, type Address } from './transfer/address.ts'
import { tablesOfFiles } from './transfer/file-tables.ts'
import { lookAtTable } from './transfer/prepare.ts'

/** What a person asks of a source, with an address as `naru transfer` takes it. */
export interface SourceQuestion {
  readonly env: Env
  readonly address: string
  readonly configFile: string
  readonly signal: AbortSignal
}

/** The first rows of a table or a query of a source. */
export interface SourceAnswer {
  readonly columns: readonly Pick<ColumnDef, 'name' | 'type'>[]
  /** Values as text; NULL is `null`. Rows that cannot be read exactly are among `rejected` instead. */
  readonly rows: readonly (readonly (string | null)[])[]
  readonly rejected: number
  /** False when there are more rows than were asked for. */
  readonly complete: boolean
}

/** Every table and view that the account may read. Throws `TRANSFER_CANNOT` where the system has no catalog. */
export function tablesOf(asked: SourceQuestion): Promise<readonly TableDescription[]> {
  return withSource(asked, async (adapter, { text }) => {
    if (adapter.describes === undefined) throw fail('TRANSFER_CANNOT', { system: text, what: 'list its tables' })
    return adapter.describes.describe(asked.signal)
  })
}

/** The first `limit` rows of the table that the address names, or of a SELECT in the source's own SQL. Writes nothing. */
export function askSource(asked: SourceQuestion, query: string | null, limit: number): Promise<SourceAnswer> {
  return withSource(asked, async (adapter, address) => {
    const { tables, files } = adapter
    const reads = tables ?? (files && tablesOfFiles(asked.env, files, address.text))
    if (reads === undefined) throw fail('TRANSFER_CANNOT', { system: address.text, what: 'be read' })
    const snapshot = await reads.openSnapshot(asked.signal)
    try {
      const table = await namedIn(snapshot, address, query)
      const ends = { from: address, snapshot, describes: adapter.describes, given: asked }
      const { columns, name } = query === null ? await lookAtTable(ends, table) : await snapshot.look(table)
      return await firstRows(snapshot, { remote: name, columns, key: [] }, limit, asked.signal)
    } finally {
      await snapshot.close()
    }
  })
}

async function namedIn(snapshot: Snapshot, { text, table }: Address, query: string | null): Promise<string> {
  if ((query === null) === (table === null)) {
    throw fail('TRANSFER_ADDRESS', { address: text, problem: 'name a table in it, or give a query, and not both' })
  }
  if (query === null) return table as string
  if (snapshot.define === undefined) throw fail('TRANSFER_CANNOT', { system: text, what: 'run a query' })
  await snapshot.define('(query)', query)
  return '(query)'
}

async function firstRows(
  snapshot: Snapshot,
  shape: TableShape,
  limit: number,
  signal: AbortSignal,
): Promise<SourceAnswer> {
  const { columns } = shape
  const rows: (readonly (string | null)[])[] = []
  let rejected = 0
  const names = columns.map(({ name }) => name)
  for await (const { batch, rejects } of snapshot.read(shape, names, {}, signal)) {
    rejected += rejects.length
    for (let row = 0; row < batch.rows && rows.length <= limit; row++) {
      rows.push(columns.map(({ type }, i) => cellText(type, batch.columns[i] as (typeof batch.columns)[number], row)))
    }
    if (rows.length > limit) break
  }
  const told = columns.map(({ name, type }) => ({ name, type }))
  return { columns: told, rows: rows.slice(0, limit), rejected, complete: rows.length <= limit }
}

async function withSource<T>(
  { env, address, configFile }: SourceQuestion,
  body: (adapter: Adapter, address: Address) => Promise<T>,
): Promise<T> {
  const found = await readAddress(env, address, configFile)
  const adapter = await openAddress({ env }, found, configFile)
  try {
    return await body(adapter, found)
  } finally {
    await adapter.close()
  }
}
