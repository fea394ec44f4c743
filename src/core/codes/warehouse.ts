import { entry } from './entry.ts'

/** Errors of dimensions, facts and summaries. */
export const warehouseCodes = {
  DIMENSION_EMPTIED: entry({
    text: (p: { dimension: string; export: string; members: number }) =>
      `export "${p.export}" is empty while dimension "${p.dimension}" has ${p.members} members: nothing was closed`,
    fix: "Look at the source and at the export's filter. If it is meant to be empty, give the dimension onDelete: 'keep'.",
    retry: 'never',
  }),
  DIMENSION_RANGES: entry({
    text: (p: { dimension: string; key: string; problem: string }) =>
      `the versions of "${p.key}" in dimension "${p.dimension}" are wrong after the load: ${p.problem}`,
    fix: 'Nothing of the load is visible. Report it with the text of this error.',
    retry: 'never',
  }),
  FACT_NOT_RECONCILED: entry({
    text: (p: { fact: string; export: string; differences: string }) =>
      `fact "${p.fact}" does not agree with export "${p.export}" after the load (${p.differences})`,
    fix: 'Nothing of the load is visible. If the fact table was changed by hand, restore it; otherwise report it.',
    retry: 'never',
  }),
  WAREHOUSE_TYPE_CHANGED: entry({
    text: (p: { table: string; column: string; was: string; now: string }) =>
      `column "${p.column}" of ${p.table} holds ${p.was} and is now declared as ${p.now}`,
    fix: 'Keep the type, or give the column a new name: the history that is already there cannot change its type.',
    retry: 'never',
  }),
  WAREHOUSE_COLUMN_TAKEN: entry({
    text: (p: { table: string; column: string }) => `column "${p.column}" would stand twice in ${p.table}`,
    fix: 'Rename the column in the entity: the warehouse makes a column of that name itself.',
    retry: 'never',
    exit: 2,
  }),
} as const
