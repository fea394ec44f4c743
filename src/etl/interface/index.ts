export type { Extracted, InterfaceContext } from './context.ts'
export { extractFiles } from './extract-files.ts'
export { extractTable } from './extract-table.ts'
