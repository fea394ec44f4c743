import path from 'node:path'
import { fail } from '../../../core/errors.ts'

/** The database file: relative to the folder of the configuration, or absolute. */
export function duckdbPlace(options: Readonly<Record<string, unknown>>, configDir: string): string {
  const file = String(options['path'])
  if (file === '' || file.startsWith(':memory:')) {
    const problem = 'must name a file: what one run keeps, the next one reads'
    throw fail('OPTION_INVALID', { where: 'engine "duckdb"', option: 'path', problem })
  }
  return path.resolve(configDir, file)
}
