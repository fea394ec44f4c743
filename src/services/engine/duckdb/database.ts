import native from '@duckdb/node-bindings'
import { fail } from '../../../core/errors.ts'
import { readOptions } from '../../../core/implementation.ts'
import { ident, renderSql, sql, type Sql } from '../../../core/sql.ts'
import type { EngineOpening } from '../contract.ts'
import { duckdbDialect } from '../../../systems/duckdb/dialect.ts'
import { maskTables } from './masked.ts'
import { openError } from './errors.ts'
import { duckdb } from './index.ts'

/**
 * Name under which the file is attached. Opened directly, its catalog would have the name of the file, and with a
 * file `staging.duckdb` the name `staging.x` would be ambiguous.
 */
export const CATALOG = '_naru'

/** The engine in errors about its options. */
export const WHERE = 'engine "duckdb"'

/** Starts the engine, without a file yet. */
export async function openDatabase(given: EngineOpening, file: string): Promise<native.Database> {
  const { memory, threads } = readOptions(duckdb.options, given.options, WHERE)
  const config = native.create_config()
  native.set_config(config, 'memory_limit', checkedMemory(memory))
  if (threads > 0) native.set_config(config, 'threads', String(threads))
  // Its extensions are not on npm, and nobody gets a download that was not asked for.
  native.set_config(config, 'autoinstall_known_extensions', 'false')
  native.set_config(config, 'autoload_known_extensions', 'false')
  // Without it the engine keeps appended rows uncompressed in memory until the checkpoint: 1.4 GB at 24 million flights.
  native.set_config(config, 'preserve_insertion_order', 'true')
  // It holds this many row groups before it writes them, five unless told: 200 MB of a table of 16 texts, at the same speed.
  native.set_config(config, 'write_buffer_row_group_count', '1')
  // Row groups that a checkpoint merges of each table, a third of them: it writes them anew before the old are free (`compact`).
  native.set_config(config, 'max_vacuum_tasks', '1')
  native.set_config(config, 'temp_directory', file === ':memory:' ? '' : `${file}.tmp`)
  return native.open(':memory:', config)
}

function checkedMemory(memory: string | undefined): string {
  if (memory !== undefined && /^\d+(\.\d+)? ?[KMGT]i?B$/i.test(memory)) return memory
  throw fail('OPTION_INVALID', { where: WHERE, option: 'memory', problem: "must be a size such as '2GB'" })
}

/** Attaches the file, then closes every other way to the outside: from here on SQL reads and writes this file only. */
export async function attach(connection: native.Connection, given: EngineOpening, file: string): Promise<void> {
  const mode = given.access === 'write' ? sql`` : sql`(read_only)`
  try {
    await send(connection, sql`attach ${file} as ${ident(CATALOG)} ${mode}`)
  } catch (error) {
    throw openError(error, file)
  }
  if (given.access === 'people') await maskTables(connection, CATALOG, 'memory', given)
  else await useDatabase(connection)
  await send(connection, sql`set global TimeZone = 'UTC'`)
  await send(connection, sql`set global enable_external_access = false`)
  await send(connection, sql`set global lock_configuration = true`)
}

/** A connection that sees one state of the file and cannot change it. */
export async function openReader(database: native.Database, given: EngineOpening): Promise<native.Connection> {
  const connection = await native.connect(database)
  if (given.access !== 'people') await useDatabase(connection)
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
