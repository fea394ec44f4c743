import { createRequire } from 'node:module'
import type * as api from '@duckdb/node-api'

/**
 * The package `@duckdb/node-api`, loaded by `require`: an `import` parses each of its hundred files for names first, which
 * is a tenth of a second of every command.
 */
export const duckdbApi = createRequire(import.meta.url)('@duckdb/node-api') as typeof api
