/**
 * Published as `naru/adapter`: what an adapter outside this package is written with. Importing it loads no driver. How
 * one is written and checked is in docs/guide/write-an-adapter.md; its suites are in `naru/testing`.
 */
export { implement, loadDriver, option, readOptions } from './core/implementation.ts'
export type { GivenOptions, Implementation, Option, OptionTable, ReadOptions } from './core/implementation.ts'
export { fail, isNaruError } from './core/errors.ts'
export type { Code } from './core/errors.ts'
export { withDeadline } from './core/env.ts'
export type { Env } from './core/env.ts'
export { Secret } from './core/secret.ts'
export type { SecretRef } from './core/secret.ts'
export { fixedWidth } from './core/batch.ts'
export type { ColumnBatch, ColumnData } from './core/batch.ts'
export type { RowReject } from './core/reject.ts'
export type { ColumnDef, ColumnType } from './core/types.ts'
export { CellBatches } from './systems/cells/batches.ts'
export type { Value } from './systems/cells/batches.ts'
export { limits, limitsOf } from './services/adapter/options.ts'
export type {
  Adapter,
  AdapterOpening,
  ControlTotals,
  Describes,
  OpenAdapter,
  ReadsTables,
  RowFilter,
  Snapshot,
  SourceBatch,
  SourceLimits,
  TableDescription,
  TableNow,
  TableShape,
} from './services/adapter/contract.ts'
export type { WritesTables } from './services/adapter/contract-writes.ts'
