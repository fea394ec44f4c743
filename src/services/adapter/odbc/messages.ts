import type { ColumnType } from '../../../core/types.ts'
import type { SourceBatch } from '../contract.ts'
import type { DriverInfo } from './handles.ts'

/** A row of a small result: every value as the driver spells it. */
export type TextRow = readonly (string | null)[]

/** A statement, and the values of its `?` in their order. */
export interface Statement {
  readonly text: string
  readonly values: readonly string[]
}

/** How a value comes from the driver: in the C type of its own, or spelled as text, UTF-8 bytes, or hexadecimal. */
export type Via = 'native' | 'text' | 'utf8' | 'hex'

/** One column of a read. */
export interface ReadColumn {
  readonly name: string
  readonly type: ColumnType
  readonly via: Via
}

/** A table to read. */
export interface ReadJob {
  readonly statement: Statement
  readonly columns: readonly ReadColumn[]
  /** Columns that name a row in its reject. */
  readonly key: readonly string[]
  readonly rowBytesMax: number
  /** Long values come row by row: the driver cannot give them within a block. */
  readonly oneByOne: boolean
}

/** Calls of the driver's catalog. */
export type CatalogCall =
  | { readonly kind: 'tables' }
  | { readonly kind: 'columns'; readonly schema: string | null; readonly table: string | null }
  | { readonly kind: 'primaryKeys'; readonly schema: string | null; readonly table: string }
  | { readonly kind: 'uniqueIndexes'; readonly schema: string | null; readonly table: string }

/** What the child is asked; one at a time. */
export type Request =
  | {
      readonly kind: 'connect'
      readonly connection: string
      readonly loginMs: number
      readonly answerMs: number
      /** Texts are UTF-8 in characters of one byte. */
      readonly isNarrow: boolean
    }
  | { readonly kind: 'transactions'; readonly isolations: number }
  | { readonly kind: 'end'; readonly how: 'commit' | 'rollback' }
  | { readonly kind: 'query'; readonly statement: Statement; readonly skip: number; readonly rowsMax: number }
  | { readonly kind: 'execute'; readonly statement: Statement }
  | { readonly kind: 'catalog'; readonly catalog: string | null; readonly call: CatalogCall }
  | { readonly kind: 'read'; readonly job: ReadJob }
  | { readonly kind: 'close' }

/** What the child answers. */
export type Answer =
  | { readonly kind: 'connected'; readonly info: DriverInfo }
  | { readonly kind: 'isolation'; readonly level: number }
  | { readonly kind: 'rows'; readonly rows: readonly TextRow[] }
  | { readonly kind: 'batch'; readonly batch: SourceBatch }
  /** `rows` were changed by a statement; less than 0 where the driver does not say. */
  | { readonly kind: 'done'; readonly rows: number }
  | { readonly kind: 'failed'; readonly failure: Failure }

/** Why a request failed, as plain data: an error object does not pass a process. */
export interface Failure {
  readonly reason: 'driver' | 'manager-missing' | 'package-missing' | 'cancelled' | 'other'
  readonly state: string
  readonly message: string
}

/** To the child: a request, one more batch may come, or what runs shall end. */
export type ToChild =
  | { readonly kind: 'start'; readonly configDir: string }
  | Request
  | { readonly kind: 'credit' }
  | { readonly kind: 'cancel' }

/** Batches that wait for their consumer. With the one that is being filled this bounds the memory of a read. */
export const BATCHES_IN_FLIGHT = 2
