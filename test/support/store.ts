import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import wasm from 'node-sqlite3-wasm'
import { openEngine, type OpenProject } from '../../src/app/project.ts'
import { runProject, type RunOptions, type RunOutcome } from '../../src/app/run-project.ts'
import { realEnv, type Env } from '../../src/core/env.ts'
import { rawSql } from '../../src/core/sql.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Project } from '../../src/config/model.ts'
import { duckdb, postgres } from '../../src/config/engine.ts'
import { defineConfig } from '../../src/config/project.ts'
import { env as fromEnv } from '../../src/config/source.ts'
import type { Handle } from '../../src/config/handle.ts'
import type { Row } from '../../src/services/engine/contract.ts'
import { placeIn } from './place.ts'

/** A project in this process that reads a SQLite file: no server and no child, so that clocks and adapters can be others. */
export interface Store {
  readonly folder: string
  /** The source file. */
  readonly source: string
  /** The project as a command opens it. */
  open(env?: Env): OpenProject
  /** Changes the source. */
  execute(statement: string): void
  /** Gives the project another config. */
  configure(models: Record<string, Handle>): void
  run(options?: Partial<RunOptions> & { readonly env?: Env }): Promise<StoreRun>
  /** Rows of a query. */
  rows(query: string): Promise<readonly Row[]>
  /** Every row of every table from staging to mart, without control columns: equal for equal states. */
  state(): Promise<Readonly<Record<string, readonly string[]>>>
  remove(): Promise<void>
}

export interface StoreRun extends RunOutcome {
  readonly notes: readonly string[]
}

/** `warehouse` is the address of a database for the engine postgres; without it the engine is a DuckDB file. */
export async function makeStore(
  setup: string,
  models: (source: string) => Record<string, Handle>,
  warehouse?: string,
): Promise<Store> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-store-'))
  await mkdir(path.join(folder, 'source'))
  const source = path.join(folder, 'source', 'store.db')
  const execute = (statement: string): void => {
    const database = new wasm.Database(source)
    try {
      database.exec(statement)
    } finally {
      database.close()
    }
  }
  execute(setup)
  const engine = warehouse === undefined ? duckdb({ path: 'data.duckdb' }) : postgres({ url: fromEnv('WAREHOUSE_URL') })
  const projectOf = (given: Record<string, Handle>): Project =>
    defineConfig({ name: 'store', engine, models: given }) as unknown as Project
  let project = projectOf(models(source))
  const open = (env: Env = realEnv()): OpenProject => ({
    project,
    ...placeIn(folder, env),
    secret: ref => new Secret(ref.name === 'WAREHOUSE_URL' ? (warehouse ?? '') : ref.name),
  })
  const reading = async <T>(body: (ask: Store['rows']) => Promise<T>): Promise<T> => {
    const reader = await openEngine(open(), 'read')
    try {
      return await reader.transaction(new AbortController().signal, tx => body(query => tx.rows(rawSql(query))))
    } finally {
      await reader.close()
    }
  }
  const rows: Store['rows'] = query => reading(ask => ask(query))
  return {
    folder,
    source,
    open,
    execute,
    configure: given => void (project = projectOf(given)),
    run: async ({ env, ...options } = {}) => {
      const notes: string[] = []
      const outcome = await runProject(open(env), {
        selectors: [],
        hashControls: false,
        signal: new AbortController().signal,
        ...options,
        emit: event => {
          if (event.kind === 'note') notes.push(event.text)
          options.emit?.(event)
        },
      })
      return { ...outcome, notes }
    },
    rows,
    state: () => reading(stateOf),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

async function stateOf(rows: Store['rows']): Promise<Readonly<Record<string, readonly string[]>>> {
  const columns = await rows(`
    select table_schema || '."' || table_name || '"' as t, list(column_name order by column_name) as c
    from information_schema.columns
    where table_schema in ('staging', 'cleansed', 'ods', 'export', 'dw', 'mart') and column_name not like '\\_%' escape '\\'
    group by all order by all`)
  const state: Record<string, readonly string[]> = {}
  for (const { t, c } of columns) {
    const names = (c as readonly string[]).map(name => `"${name}"`).join(', ')
    const found = await rows(`select cast(row(${names}) as varchar) as r from ${String(t)} order by 1`)
    state[String(t)] = found.map(row => String(row['r']))
  }
  return state
}
