import { cellText } from '../core/cell-text.ts'
import type { Env } from '../core/env.ts'
import { fail } from '../core/errors.ts'
import type { ColumnDef } from '../core/types.ts'
import type { Adapter, Snapshot, TableDescription, TableNow, TableShape } from '../services/adapter/contract.ts'
import { openAddress, readAddress, type Address } from './transfer/address.ts'
import { readsOf } from './transfer/file-tables.ts'
import { lookAtQuery, lookAtTable } from './transfer/prepare.ts'

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

/** Which rows of a source are asked for. */
export interface RowQuestion extends SourceQuestion {
  /** A SELECT in the source's own SQL; `null` when none was given. */
  readonly query: string | null
  /** Reads the query where the address names no table and none was given. */
  readonly readQuery: () => Promise<string>
  readonly limit: number
}

/** The first `limit` rows of the table or file that the address names, or of a query. Writes nothing. */
export function askSource(asked: RowQuestion): Promise<SourceAnswer> {
  return withSource(asked, async (adapter, address) => {
    const query = asked.query ?? (address.table === null ? await asked.readQuery() : null)
    const reads = readsOf(asked.env, adapter, address.text)
    if (reads === undefined) throw fail('TRANSFER_CANNOT', { system: address.text, what: 'be read' })
    const snapshot = await reads.openSnapshot(asked.signal)
    try {
      const { columns, name } = await lookAt(
        { from: address, snapshot, describes: adapter.describes, given: asked },
        query,
      )
      return await firstRows(snapshot, { remote: name, columns, key: [] }, asked.limit, asked.signal)
    } finally {
      await snapshot.close()
    }
  })
}

function lookAt(ends: Parameters<typeof lookAtTable>[0], query: string | null): Promise<TableNow> {
  const { text, table } = ends.from
  if (query !== null && query !== '' && table === null) return lookAtQuery(ends.snapshot, query, ends.from)
  if (query === null && table !== null) return lookAtTable(ends, table)
  throw fail('TRANSFER_ADDRESS', { address: text, problem: 'name a table in it, or give a query, and not both' })
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
