import path from 'node:path'
import { isNaruError } from '../../../core/errors.ts'
import { loadDriver, readOptions } from '../../../core/implementation.ts'
import { makeSpool, removeSpool } from '../../../core/spool.ts'
import type { Adapter, AdapterOpening, OpenAdapter } from '../contract.ts'
import { describeAll } from './catalog.ts'
import { copyDatabase } from './copy.ts'
import { Database, type Driver } from './database.ts'
import { keptOpen, type Closing } from '../kept-open.ts'
import { limitsOf } from '../options.ts'
import { fileError, readError, type SourceFile } from './errors.ts'
import { sqlite } from './index.ts'
import { SqliteSnapshot, type OpenCopy } from './snapshot.ts'
import { declaredType } from './values.ts'
import { SqliteWriter } from './writer.ts'

/** Opens the adapter; the file is first looked at by its first method. */
export const openAdapter: OpenAdapter = async given => {
  const options = readOptions(sqlite.options, given.options, `source "${given.source}"`)
  const at: SourceFile = { source: given.source, file: path.resolve(given.configDir, options.path) }
  const driver = await loadSqlite(given.configDir)
  const open = new Set<Closing>()
  const openSnapshot = async (signal: AbortSignal): Promise<SqliteSnapshot> => {
    return keptOpen(open, new SqliteSnapshot(await openCopy(given, driver, at, options.maxValueBytes, signal)))
  }
  const adapter: Adapter = {
    kind: 'sqlite',
    describes: {
      describe: async signal => {
        const copy = await openCopy(given, driver, at, options.maxValueBytes, signal)
        try {
          return describeAll(copy.database)
        } catch (error) {
          throw readError(error, given.source, 'the catalog')
        } finally {
          await new SqliteSnapshot(copy).close()
        }
      },
    },
    tables: {
      can: { snapshot: true, chunks: true, range: true, totals: true },
      limits: limitsOf(options, given.source),
      openSnapshot,
    },
    writes: {
      can: { modes: ['insert', 'update', 'upsert', 'delete', 'replace'], totals: true },
      typeName: declaredType,
      openWriter: target => SqliteWriter.open({ env: given.env, driver, at, target }),
    },
    close: async () => {
      for (const snapshot of open) await snapshot.close()
    },
  }
  return adapter
}

async function loadSqlite(configDir: string): Promise<Driver> {
  // The package is CommonJS: its names stand below `default` when it is imported.
  const module = await loadDriver<{ readonly default: Driver }>('node-sqlite3-wasm', {
    service: 'adapter',
    kind: 'sqlite',
    from: configDir,
    own: () => import('node-sqlite3-wasm') as unknown as Promise<{ readonly default: Driver }>,
  })
  return module.default
}

async function openCopy(
  { env, source, stateDir }: AdapterOpening,
  driver: Driver,
  at: SourceFile,
  maxValueBytes: number,
  signal: AbortSignal,
): Promise<OpenCopy> {
  const spool = await makeSpool(env, stateDir)
  try {
    const takenAtMicros = env.clock.nowMicros()
    const copy = await copyDatabase(env, at, spool, signal)
    return { env, source, spool, takenAtMicros, maxValueBytes, database: Database.open(driver, copy, at) }
  } catch (error) {
    await removeSpool(env, spool)
    throw isNaruError(error) ? error : fileError(error, at)
  }
}
