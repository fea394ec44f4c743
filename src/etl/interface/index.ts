export { firstChangeLine } from './append-log.ts'
export type { Extracted, ExtractedControls, InterfaceContext, UnitTotals } from './context.ts'
export { readingOf, type TableReading } from './drift.ts'
export { extractFiles } from './extract-files.ts'
export { extractTable } from './extract-table.ts'
export { gated, gateOf, type Gate } from './gate.ts'
export { receive } from './receive.ts'
export { comparable, withStagedNames, type TableSource } from './table-read.ts'
export {
  landChanges,
  readingOfChanges,
  readingOfSchema,
  rejectChanges,
  type ChangesLanding,
  type LandedChanges,
} from './land-changes.ts'
