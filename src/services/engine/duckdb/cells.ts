import type { DuckDBValue } from '@duckdb/node-api'
import { daysText, intervalText, microsText, timeText } from '../../../core/cell-text.ts'
import type { Cell } from '../contract.ts'
import { duckdbApi } from '../../../systems/duckdb/api.ts'

const {
  DuckDBArrayValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBIntervalValue,
  DuckDBListValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
} = duckdbApi

/** A value of a small result. Everything that JavaScript cannot hold exactly is text. */
export function cellOf(value: DuckDBValue): Cell {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'bigint':
    case 'boolean':
      return value
    default:
      return value === null ? null : objectCell(value)
  }
}

function objectCell(value: object): Cell {
  if (value instanceof DuckDBTimestampValue) return microsText(value.micros, false)
  if (value instanceof DuckDBTimestampTZValue) return microsText(value.micros, true)
  if (value instanceof DuckDBDateValue) return daysText(value.days)
  if (value instanceof DuckDBTimeValue) return timeText(value.micros)
  if (value instanceof DuckDBIntervalValue) return intervalText(value.months, value.days, value.micros)
  if (value instanceof DuckDBBlobValue) return `\\x${Buffer.from(value.bytes).toString('hex')}`
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) return value.items.map(cellOf)
  return String(value)
}
