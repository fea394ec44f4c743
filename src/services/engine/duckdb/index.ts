import path from 'node:path'
import { fail } from '../../../core/errors.ts'
import { implement, option } from '../../../core/implementation.ts'

/** The embedded engine: one DuckDB file, opened by one process. */
export const duckdb = implement({
  service: 'engine',
  kind: 'duckdb',
  summary: 'An embedded DuckDB database in one file.',
  needs: { '@duckdb/node-api': '1.5.6-r.1', '@duckdb/node-bindings': '1.5.6-r.1' },
  options: {
    path: option.required.text(
      'The database file, relative to the folder of the configuration or absolute; made when it is missing.',
    ),
    memory: option.text('Memory that the engine may use for its work before it goes to disk.', { default: '2GB' }),
    threads: option.int('Processors that the engine may use; 0 means all.', { default: 0, min: 0, max: 1024 }),
  },
  open: () => import('./open.ts'),
})

/** The database file: relative to the folder of the configuration, or absolute. */
export function duckdbPlace(options: Readonly<Record<string, unknown>>, configDir: string): string {
  const file = String(options['path'])
  if (file === '' || file.startsWith(':memory:')) {
    const problem = 'must name a file: what one run keeps, the next one reads'
    throw fail('OPTION_INVALID', { where: 'engine "duckdb"', option: 'path', problem })
  }
  return path.resolve(configDir, file)
}
