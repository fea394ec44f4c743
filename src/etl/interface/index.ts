export type { Extracted, InterfaceContext } from './context.ts'
export { compareShape } from './drift.ts'
export { extractFiles } from './extract-files.ts'
export { extractTable } from './extract-table.ts'
