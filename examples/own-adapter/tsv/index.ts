import { implement, limits, option } from 'naru/adapter'

/** A folder of tab-separated files with typed headers: each file is a table. */
export const tsv = implement({
  service: 'adapter',
  kind: 'tsv',
  summary: 'Tab-separated files of a folder; the header names the columns and their types.',
  needs: {},
  options: {
    folder: option.required.text("The folder, absolute or relative to the configuration's."),
    rowsPerSecond: limits.rowsPerSecond,
    hours: limits.hours,
    maxValueBytes: option.int('Largest row that is taken, in bytes.', { default: 1 << 20, min: 1024, max: 1 << 28 }),
  },
  open: () => import('./open.ts'),
})
