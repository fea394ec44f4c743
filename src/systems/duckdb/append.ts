import native from '@duckdb/node-bindings'
import type { ColumnBatch, ColumnData } from '../../core/batch.ts'
import { fail } from '../../core/errors.ts'
import type { ColumnDef } from '../../core/types.ts'
import { checkColumn, checkTypes, fillVector, openTarget, VECTOR_ROWS, type Target } from './vectors.ts'

/** Where a table lies, as the driver asks for it. */
export interface TablePlace {
  readonly catalog: string
  readonly schema: string
  readonly name: string
}

/** Bulk rows on their way into one table. Reused for every batch until the transaction does something else. */
export interface Append {
  readonly place: TablePlace
  add(batch: ColumnBatch): void
  /** Hands the rest over to the table. */
  close(): void
  /** Forgets what the table has not got yet. */
  discard(): void
}

/** Opens the fast path into a table whose columns must be exactly `columns`, in order. */
export function openAppend(connection: native.Connection, place: TablePlace, columns: readonly ColumnDef[]): Append {
  const appender = native.appender_create_ext(connection, place.catalog, place.schema, place.name)
  const types = Array.from({ length: native.appender_column_count(appender) }, (_, i) =>
    native.appender_column_type(appender, i),
  )
  checkTypes(place.name, types, columns)
  const chunk = native.create_data_chunk(types)
  const targets = columns.map((column, i) => openTarget(native.data_chunk_get_vector(chunk, i), column.type))
  return {
    place,
    add: batch => addBatch({ appender, chunk, targets, table: place.name }, batch),
    close: () => native.appender_close_sync(appender),
    discard: () => {
      native.appender_clear(appender)
      native.appender_close_sync(appender)
    },
  }
}

interface OpenAppend {
  readonly appender: native.Appender
  readonly chunk: native.DataChunk
  readonly targets: readonly Target[]
  readonly table: string
}

function addBatch(open: OpenAppend, batch: ColumnBatch): void {
  const { appender, chunk, targets, table } = open
  if (batch.columns.length !== targets.length) {
    throw fail('INTERNAL', { what: `a batch of ${batch.columns.length} columns for ${targets.length} of ${table}` })
  }
  targets.forEach((target, i) => checkColumn(target, batch.columns[i] as ColumnData, batch.rows))
  for (let from = 0; from < batch.rows; from += VECTOR_ROWS) {
    const rows = Math.min(VECTOR_ROWS, batch.rows - from)
    native.data_chunk_reset(chunk)
    targets.forEach((target, i) => fillVector(target, batch.columns[i] as ColumnData, from, rows))
    native.data_chunk_set_size(chunk, rows)
    native.append_data_chunk(appender, chunk)
  }
}
