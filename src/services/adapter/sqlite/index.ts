import { implement, option } from '../../../core/implementation.ts'
import { limits } from '../options.ts'

const MiB = 1024 * 1024

/** The SQLite adapter, described. */
export const sqlite = implement({
  service: 'adapter',
  kind: 'sqlite',
  summary: 'Tables and views of a SQLite 3 file, read from a private copy of it.',
  needs: { 'node-sqlite3-wasm': '>=0.8.60 <0.9' },
  options: {
    path: option.required.text("The database file: absolute, or relative to the configuration's folder."),
    ...limits,
    maxValueBytes: option.int('Largest row that is taken, in bytes. A larger one is set aside as a reject.', {
      default: 64 * MiB,
      min: 1024,
      max: 256 * MiB,
    }),
  },
  open: () => import('./open.ts'),
})
