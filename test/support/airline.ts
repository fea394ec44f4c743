import { testOpening } from '../../src/testing/engine.ts'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { CrashPoint } from '../../src/core/env.ts'
import { Client } from 'pg'
import type { Transaction } from '../../src/services/engine/contract.ts'
import { openEngine } from '../../src/services/engine/duckdb/open.ts'
import { openEngine as openPostgresEngine } from '../../src/services/engine/postgres/open.ts'
import { postgresOpening } from '../../src/testing/postgres/engine.ts'
import { changeFlights, dropPartnerFiles, loadOps, writeSafety } from '../../src/testing/servers/airline.ts'
import { removePostgres, startPostgres } from '../../src/testing/servers/embedded-postgres.ts'
import { startFtp } from '../../src/testing/servers/ftp.ts'
import { fingerprint } from '../../src/testing/snapshot.ts'
import { processesOf, type Ended } from '../crash/processes.ts'

const root = path.resolve(import.meta.dirname, '../..')

/** Flights of the small copy, and the rows of a chunk: several chunks, so that a run can be broken between them. */
const flights = 3_000
/** Few: every run of a child reads them all. */
const strikes = 1_500
const chunkRows = 800

/** How a run of a child ended, and which crash points it passed. */
export interface ChildRun {
  readonly killed: boolean
  readonly passed: readonly CrashPoint[]
  readonly rowsStaged: number
  readonly stderr: string
}

/** What child.mjs is asked for. */
interface Job {
  readonly config: string
  readonly clock: string
  readonly variables: Readonly<Record<string, string>>
  readonly point?: CrashPoint
  readonly visit?: number
}

function childRun({ result, stderr }: Ended<Omit<ChildRun, 'killed' | 'stderr'>>): ChildRun {
  return { killed: result === null, stderr, ...(result ?? { passed: [], rowsStaged: 0 }) }
}

/** The airline example on small sources of its own. */
export interface SmallAirline {
  /** A fresh project folder with the example's config on an engine; a copy of `from` with its database when given. */
  project(from?: string, engine?: 'duckdb' | 'postgres'): Promise<string>
  /** Runs the project in a child process, which may be killed at a crash point. */
  run(
    folder: string,
    clockMicros: bigint,
    at?: { readonly point: CrashPoint; readonly visit: number },
  ): Promise<ChildRun>
  /** Runs it and kills it after some milliseconds. */
  runAndKillAfter(folder: string, clockMicros: bigint, ms: number): Promise<ChildRun>
  fingerprint(folder: string): Promise<Readonly<Record<string, string>>>
  /** Reads the database of a project. */
  reading<T>(folder: string, body: (tx: Transaction) => Promise<T>): Promise<T>
  /** The environment that a command of the project needs. */
  variables(folder: string): Readonly<Record<string, string>>
  /** Changes flights, adds and deletes some, renames an airport, and changes a strike. */
  changeSources(): Promise<void>
  /** Removes a project folder. */
  remove(folder: string): Promise<void>
  stop(): Promise<void>
}

export async function smallAirline(): Promise<SmallAirline> {
  const base = await mkdtemp(path.join(os.tmpdir(), 'naru-airline-'))
  const postgres = await startPostgres({ dir: path.join(base, 'ops'), settings: { fsync: 'off' } })
  await loadOps(postgres.url, { flights })
  const drop = path.join(base, 'partner')
  await dropPartnerFiles(drop)
  const ftp = await startFtp({ root: drop, user: 'partner', password: 'ferry' })
  const safety = path.join(base, 'safety.sqlite')
  await writeSafety(safety, { strikes })
  const variables = {
    OPS_URL: postgres.url,
    PARTNER_URL: ftp.url.replace('ftp://', 'ftp://partner:ferry@'),
    MASK_KEY: 'the same key in every run',
  }
  let projects = 0
  /** The addresses of the warehouses that are in PostgreSQL, by project folder. */
  const warehouses = new Map<string, string>()
  const admin = async (statement: string): Promise<void> => {
    const client = new Client(postgres.url)
    await client.connect()
    try {
      await client.query(statement)
    } finally {
      await client.end()
    }
  }
  const warehouseOf = async (name: string, template: string): Promise<string> => {
    const fits = template === 'template0' ? ` encoding 'UTF8' locale_provider builtin builtin_locale 'C.UTF-8'` : ''
    await admin(`create database ${name} template ${template}${fits}`)
    const url = new URL(postgres.url)
    url.pathname = `/${name}`
    return url.href
  }
  const variablesOf = (folder: string): Readonly<Record<string, string>> => {
    const url = warehouses.get(folder)
    return { ...variables, ...(url === undefined ? {} : { WAREHOUSE_URL: url }) }
  }
  const reading = async <T>(folder: string, body: (tx: Transaction) => Promise<T>): Promise<T> => {
    const url = warehouses.get(folder)
    const engine = await (url === undefined
      ? openEngine({ ...testOpening(path.join(folder, 'airline.duckdb')), access: 'read' })
      : openPostgresEngine({ ...postgresOpening(url), access: 'read' }))
    try {
      return await engine.transaction(new AbortController().signal, body)
    } finally {
      await engine.close()
    }
  }

  const processes = processesOf<Job, Omit<ChildRun, 'killed' | 'stderr'>>('child.mjs')
  const job = (folder: string, clockMicros: bigint): Job => ({
    config: path.join(folder, 'naru.config.ts'),
    clock: String(clockMicros),
    variables: variablesOf(folder),
  })

  return {
    project: async (from, engine = 'duckdb') => {
      projects += 1
      const folder = path.join(base, `project-${projects}`)
      await cp(from ?? path.join(root, 'examples', 'airline'), folder, { recursive: true })
      const config = path.join(folder, 'naru.config.ts')
      const text = await readFile(config, 'utf8')
      const small = text
        .replace("path: 'sources/safety.sqlite'", `path: ${JSON.stringify(safety)}`)
        .replace("sweep: '1d'", "sweep: '0s'")
        .replace("url: env('OPS_URL'),", `url: env('OPS_URL'),\n  chunkRows: ${chunkRows},`)
      const asked =
        engine === 'duckdb'
          ? small
          : small.replace(/duckdb\b(\(.*\))?/g, (_, call?: string) =>
              call === undefined ? 'postgres' : `postgres({ url: env('WAREHOUSE_URL') })`,
            )
      await writeFile(config, from === undefined ? asked : text)
      const before = from === undefined ? undefined : warehouses.get(from)
      if (engine === 'postgres' || before !== undefined) {
        const template = before === undefined ? 'template0' : new URL(before).pathname.slice(1)
        warehouses.set(folder, await warehouseOf(`warehouse_${projects}`, template))
      }
      return folder
    },
    run: async (folder, clockMicros, at) => childRun(await processes.run({ ...job(folder, clockMicros), ...at })),
    runAndKillAfter: async (folder, clockMicros, ms) =>
      childRun(await processes.runAndKillAfter(job(folder, clockMicros), ms)),
    fingerprint: folder => reading(folder, fingerprint),
    reading,
    variables: variablesOf,
    changeSources: async () => {
      await changeFlights(postgres.url, { count: 50, seed: 7, inserts: 5, deletes: 5 })
      await renameAirport(drop)
    },
    remove: folder => rm(folder, { recursive: true, force: true }),
    stop: async () => {
      processes.stop()
      await ftp.stop()
      await removePostgres(path.join(base, 'ops'))
      await rm(base, { recursive: true, force: true })
    },
  }
}

/** The partner sends a new list: one airport has another name, one is gone, one is new. */
async function renameAirport(drop: string): Promise<void> {
  const { createHash } = await import('node:crypto')
  const lines = (await readFile(path.join(drop, 'airports.csv'), 'utf8')).trimEnd().split('\n')
  const changed = lines
    .filter(line => !line.startsWith('00M,'))
    .map(line => (line.startsWith('ORD,') ? line.replace('International', 'World') : line))
  const text = `${[...changed, 'ZZ9,Naru Landing,Ferry,AK,USA,60,-150'].join('\n')}\n`
  const md5 = createHash('md5').update(text).digest('hex')
  await writeFile(path.join(drop, 'airports_new.csv'), text)
  await writeFile(path.join(drop, 'airports_new.csv.md5'), `${md5}  airports_new.csv\n`)
}
