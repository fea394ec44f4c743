import { testOpening } from '../../src/testing/engine.ts'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect } from 'vitest'
import { codes } from '../../src/core/codes.ts'
import type { Code } from '../../src/core/errors.ts'
import { rawSql } from '../../src/core/sql.ts'
import type { Row } from '../../src/services/engine/contract.ts'
import { openEngine } from '../../src/services/engine/duckdb/open.ts'
import { fingerprint } from '../../src/testing/snapshot.ts'
import { startNaru, type Ended, type Going, type StartOptions } from './command.ts'

/** The database of every project of these tests: `engine: duckdb({ path: 'data.duckdb' })`. */
const databaseFile = 'data.duckdb'

export interface ProjectOptions {
  /** Text of naru.config.ts. */
  readonly config: string
  readonly variables?: Readonly<Record<string, string>>
  /** An existing folder; a new temporary one unless given. */
  readonly folder?: string
}

/** A project folder of a user, and the commands that a user runs in it. */
export interface TestProject {
  readonly folder: string
  readonly configFile: string
  readonly variables: Readonly<Record<string, string>>
  /** Replaces the config. */
  configure(config: string): Promise<void>
  /** Runs a command to its end; `variables` go over those of the project. */
  naru(args: readonly string[], variables?: Readonly<Record<string, string>>): Promise<Ended>
  start(args: readonly string[], options?: StartOptions): Going
  /** `naru run --json`, which must succeed; its result. */
  run(...args: readonly string[]): Promise<RunResult>
  /** Rows of a query, read beside the command line. */
  rows(query: string): Promise<readonly Row[]>
  /** A fingerprint of every table that people rely on. */
  visible(): Promise<Readonly<Record<string, string>>>
  /** The same for every row of every stage with its control columns: which run and load wrote it. */
  moved(): Promise<readonly Row[]>
  remove(): Promise<void>
}

/** What `naru run --json` prints. */
export interface RunResult {
  readonly ok: boolean
  readonly run: number
  readonly rowsRead: number
  readonly rowsStaged: number
  readonly staged: Readonly<Record<string, number>>
  readonly rejected: Readonly<Record<string, number>>
  readonly ods: Readonly<Record<string, number>>
  readonly exported: Readonly<Record<string, number>>
  readonly warehouse: Readonly<Record<string, number>>
  readonly controls: Readonly<Record<string, { source: number; staged: number; equal: boolean }>>
  readonly stderr: string
}

export async function makeProject({ config, variables = {}, folder: given }: ProjectOptions): Promise<TestProject> {
  const folder = given ?? (await mkdtemp(path.join(os.tmpdir(), 'naru-journey-')))
  const configFile = path.join(folder, 'naru.config.ts')
  await writeFile(configFile, config)
  const start: TestProject['start'] = (args, options = {}) =>
    startNaru(folder, args, { ...options, variables: { ...variables, ...options.variables } })
  const reading = async <T>(body: (engine: Awaited<ReturnType<typeof openEngine>>) => Promise<T>): Promise<T> => {
    const engine = await openEngine({ ...testOpening(path.join(folder, databaseFile)), access: 'read' })
    try {
      return await body(engine)
    } finally {
      await engine.close()
    }
  }
  const { signal } = new AbortController()
  const rows = (query: string): Promise<readonly Row[]> =>
    reading(engine => engine.transaction(signal, tx => tx.rows(rawSql(query))))
  return {
    folder,
    configFile,
    variables,
    configure: text => writeFile(configFile, text),
    naru: (args, more = {}) => start(args, { variables: more }).ended,
    start,
    run: async (...args) => {
      const ended = await start(['run', '--json', ...args]).ended
      expect(ended.status, ended.stderr).toBe(0)
      return { ...(jsonOf(ended) as Omit<RunResult, 'stderr'>), stderr: ended.stderr }
    },
    rows,
    moved: async () => rows(await movedQuery(rows)),
    visible: async () => withoutControl(await reading(engine => engine.transaction(signal, fingerprint))),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

async function movedQuery(rows: TestProject['rows']): Promise<string> {
  const tables = await rows(`
    select table_schema as s, table_name as t from information_schema.tables
    where table_schema in ('staging', 'cleansed', 'ods', 'export', 'dw', 'mart') order by all`)
  const prints = tables.map(
    ({ s, t }) =>
      `select '${String(s)}.${String(t)}' as name, count(*) as n, cast(sum(hash(t)) as varchar) as h from "${String(s)}"."${String(t)}" t`,
  )
  return prints.join(' union all ')
}

/** What people look at: evidence in `naru` may be added by a run that failed. */
function withoutControl(prints: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(prints).filter(([name]) => !name.startsWith('naru.')))
}

/** The result of a command with `--json`: the last line of its standard output. */
export function jsonOf(ended: Ended): unknown {
  return JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '')
}

export interface Refusal {
  readonly status: 1 | 2 | 3
  readonly code: Code
  /** What the message must name: the object, and what is wrong with it. */
  readonly says: readonly string[]
}

/**
 * Checks how a command was refused: status, stable code, a message that names the object and the cause, what to do, and
 * the next command to give, in the words of the fix or on a line of its own. Wrong use says what to correct instead.
 */
export function expectRefused(ended: Ended, { status, code, says }: Refusal): void {
  const { stderr } = ended
  expect(ended.status, stderr).toBe(status)
  expect(stderr).toContain(`[${code}]`)
  const message = stderr.slice(stderr.indexOf('naru: '))
  for (const part of says) expect(message).toContain(part)
  const [, fix = ''] = message.split('\n')
  const { fix: known } = codes[code]
  if (typeof known === 'string') expect(fix.trim()).toBe(known)
  else expect(fix.trim().length).toBeGreaterThan(10)
  if (status !== 2) expect(message).toMatch(/\bnaru [a-z]+/)
  expect(stderr).not.toMatch(/^\s+at /m)
}

/** No word of a secret may be in what a command says. */
export function expectNoSecret(ended: Ended, secrets: readonly string[]): void {
  for (const secret of secrets) {
    expect(secret.length).toBeGreaterThan(5)
    expect(`${ended.stdout}\n${ended.stderr}`).not.toContain(secret)
  }
}
