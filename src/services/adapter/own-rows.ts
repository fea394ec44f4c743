import type { RowFilter, TableShape } from './contract.ts'

/** The filter over the rows that are part of the table at all. */
export function withOwnRows({ where }: TableShape, filter: RowFilter): RowFilter {
  if (where === undefined) return filter
  return { ...filter, where: filter.where === undefined ? where : `(${where}) and (${filter.where})` }
}
