import native from '@duckdb/node-bindings'
import { fail } from '../../../core/errors.ts'
import { ident, renderSql, sql, type Sql } from '../../../core/sql.ts'
import { duckdbDialect } from './dialect.ts'
import { maskTables, type MaskedTable } from './masked.ts'
import { openError } from './errors.ts'

/** How the engine is opened; the first three stand in the config. */
export interface EngineOptions {
  /** The file, or `:memory:`. */
  readonly path: string
  readonly memory?: string | undefined
  /** 0: all processors. */
  readonly threads?: number | undefined
  /** Opened for people: nothing can be written. */
  readonly readOnly?: boolean | undefined
  /** Only for queries of people, read-only: what they may not see. Names in a query then mean masked views. */
  readonly masked?: readonly MaskedTable[] | undefined
}

/**
 * Name under which the file is attached. Opened directly, its catalog would have the name of the file, and with a
 * file `staging.duckdb` the name `staging.x` would be ambiguous.
 */
export const CATALOG = '_naru'

/** Starts the engine, without a file yet. */
export async function openDatabase(options: EngineOptions, file: string): Promise<native.Database> {
  const config = native.create_config()
  native.set_config(config, 'memory_limit', memoryOf(options))
  if (options.threads !== undefined && options.threads > 0)
    native.set_config(config, 'threads', String(options.threads))
  // Its extensions are not on npm, and nobody gets a download that was not asked for.
  native.set_config(config, 'autoinstall_known_extensions', 'false')
  native.set_config(config, 'autoload_known_extensions', 'false')
  native.set_config(config, 'preserve_insertion_order', 'false')
  native.set_config(config, 'temp_directory', file === ':memory:' ? '' : `${file}.tmp`)
  return native.open(':memory:', config)
}

function memoryOf({ memory = '2GB' }: EngineOptions): string {
  if (/^\d+(\.\d+)? ?[KMGT]i?B$/i.test(memory)) return memory
  throw fail('OPTION_INVALID', { where: 'engine "duckdb"', option: 'memory', problem: "must be a size such as '2GB'" })
}

/** Attaches the file, then closes every other way to the outside: from here on SQL reads and writes this file only. */
export async function attach(connection: native.Connection, options: EngineOptions, file: string): Promise<void> {
  const mode = options.readOnly === true ? sql`(read_only)` : sql``
  try {
    await send(connection, sql`attach ${file} as ${ident(CATALOG)} ${mode}`)
  } catch (error) {
    throw openError(error, file)
  }
  if (options.masked === undefined) await useDatabase(connection)
  else await maskTables(connection, CATALOG, options.masked)
  await send(connection, sql`set enable_progress_bar = true`)
  await send(connection, sql`set enable_progress_bar_print = false`)
  await send(connection, sql`set global TimeZone = 'UTC'`)
  await send(connection, sql`set global enable_external_access = false`)
  await send(connection, sql`set global lock_configuration = true`)
}

/** A connection that sees one state of the file and cannot change it. */
export async function openReader(database: native.Database, options: EngineOptions): Promise<native.Connection> {
  const connection = await native.connect(database)
  if (options.masked === undefined) await useDatabase(connection)
  await send(connection, sql`begin transaction read only`)
  return connection
}

/** Makes the file the place of unqualified names; each connection needs it once. */
async function useDatabase(connection: native.Connection): Promise<void> {
  await send(connection, sql`use ${ident(CATALOG)}`)
}

async function send(connection: native.Connection, statement: Sql): Promise<void> {
  await native.query(connection, renderSql(statement, duckdbDialect).text)
}
