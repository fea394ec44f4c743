import type { Env } from '../../core/env.ts'
import type { Emit } from '../../core/events.ts'
import type { ReadsTables, RowFilter, Snapshot, TableShape } from '../../services/adapter/contract.ts'
import type { WriteMode, WritesTables, WrittenFile } from '../../services/adapter/contract-writes.ts'
import type { AdapterImplementation } from '../registry.ts'
import type { Address } from './address.ts'
import type { Increment } from './increment.ts'

/** What is to be moved, as the command line says it. */
export interface TransferRequest {
  readonly from: string
  readonly to: string
  /** A SELECT of the source instead of a table. */
  readonly query: string | null
  /** A condition in the source's own SQL. */
  readonly where: string | null
  /** All columns when empty. */
  readonly columns: readonly string[]
  readonly mode: WriteMode
  /** Columns that find a row of the target; the source's own key when empty. */
  readonly key: readonly string[]
  /** Columns by whose order the source is cut into chunks; its own key when empty. */
  readonly splitBy: readonly string[]
  /** Chunks that are read at the same time. */
  readonly parallel: number
  readonly chunkRows: number
  /** `null`: `totals` where both ends compute them, else `count`. */
  readonly validate: Validation | null
  readonly missed: 'refuse' | 'report'
  /** Makes the target when it is not there. */
  readonly create: boolean
  /** Reads only rows whose value in this column came since the last transfer. */
  readonly incremental: string | null
  /** What counts as seen, instead of what was kept. */
  readonly lastValue: string | null
  /** How a file is written; empty for any other target. */
  readonly file: WrittenFile
  readonly configFile: string
}

/** How the stage is compared with the source before it is published. */
export type Validation = 'count' | 'totals' | 'hash'

/** What a transfer is run with. */
export interface Given {
  readonly env: Env
  readonly emit: Emit
  readonly signal: AbortSignal
  readonly adapters?: Readonly<Record<string, AdapterImplementation>>
}

/** A transfer whose both ends are open and fit each other. */
export interface Moving {
  readonly given: Given
  readonly request: TransferRequest
  readonly from: Address
  readonly to: Address
  readonly snapshot: Snapshot
  readonly reads: ReadsTables
  readonly writes: WritesTables
  /** What is read, its `key` being what it is cut by. */
  readonly shape: TableShape
  /** Columns that find a row of the target. */
  readonly key: readonly string[]
  readonly rowsEstimate: number | null
  readonly validation: Validation
  /** Which rows of the source are moved. */
  readonly filter: RowFilter
  /** What the next incremental transfer begins with. */
  readonly increment: Increment | null
}

/** What is moved, for people. */
export function stepName({ from, to }: Moving): string {
  return `${from.text} → ${to.text}`
}
