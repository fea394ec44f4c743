import { realEnv } from '../core/env.ts'
import { ident, sql } from '../core/sql.ts'
import { Secret } from '../core/secret.ts'
import type { Project } from '../config/model.ts'
import type { StageContext } from '../run/context.ts'
import { schemas } from '../run/tables.ts'
import type { Engine, EngineOpening, Transaction } from '../services/engine/contract.ts'
import { duckdb } from '../services/engine/duckdb/index.ts'

/** A signal that never aborts. */
export const never: AbortSignal = new AbortController().signal

/** What a DuckDB file is opened with in a test. */
export function testOpening(file: string): EngineOpening {
  return {
    options: { path: file },
    configDir: process.cwd(),
    secret: ref => new Secret(ref.name),
    access: 'write',
    env: realEnv(),
  }
}

/** An empty engine in memory, with the schemas of a project. */
export async function openTestEngine(): Promise<Engine> {
  const { openEngine } = await duckdb.open()
  return withSchemas(await openEngine(testOpening(':memory:')))
}

/** The engine with the schemas of a project. */
export async function withSchemas(engine: Engine): Promise<Engine> {
  await engine.transaction(never, async tx => {
    for (const schema of schemas) await tx.execute(sql`create schema ${ident(schema)}`)
  })
  return engine
}

/** Runs `body` in a transaction that is taken back, so that every use of an engine begins with nothing. */
export async function scratch<T>(engine: Engine, body: (tx: Transaction) => Promise<T>): Promise<T> {
  const undo = new Error('undo')
  let value: T | undefined
  try {
    await engine.transaction(never, async tx => {
      value = await body(tx)
      throw undo
    })
  } catch (error) {
    if (error !== undo) throw error
  }
  return value as T
}

/** What a stage is given in a test: run 1 at 2001-01-01 00:00:00 UTC, secrets that are their own name. */
export function stageContext(tx: Transaction, overrides: Partial<StageContext> = {}): StageContext {
  return {
    env: realEnv(),
    project: emptyProject,
    tx,
    run: { id: 1n, asOfMicros: 978_307_200_000_000n },
    signal: never,
    emit: () => {},
    secret: ref => new Secret(ref.name),
    ...overrides,
  }
}

const emptyProject: Project = {
  name: 'test',
  engine: { kind: 'duckdb', options: { path: ':memory:' } },
  sources: [],
  entities: [],
  exports: [],
  dimensions: [],
  facts: [],
  summaries: [],
  transfers: [],
}
