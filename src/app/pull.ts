import path from 'node:path'
import { loadConfig, sourcesBeforeBreak } from '../config/load.ts'
import { readSchemaModule, writeSchemaModule } from '../config/schema-module.ts'
import type { Schema } from '../config/source.ts'
import type { SourceDef } from '../config/model.ts'
import type { Env } from '../core/env.ts'
import { fail, isNaruError } from '../core/errors.ts'
import { noteDiskFull } from '../core/spool.ts'
import type { TableDescription } from '../services/adapter/contract.ts'
import { openSource } from './extract.ts'
import type { OpenProject } from './project.ts'
import { secretRefsIn, secretResolver } from './secrets.ts'

/** What is to be pulled. */
export interface PullRequest {
  /** The configuration; its folder also holds the modules. */
  readonly configFile: string
  /** `ops` renews the module of a source, `ops.flight` also takes a table that it does not have. All sources when empty. */
  readonly names: readonly string[]
  /** Folder of the modules, from the folder of the configuration. */
  readonly out: string
  /** Takes every table, also those that a module does not have. */
  readonly all: boolean
  /** A system that the configuration does not name yet: the configuration is not read then. */
  readonly from: Pick<SourceDef, 'adapter' | 'options'> | null
}

/** What became of the module of one source. */
export interface Pulled {
  readonly source: string
  readonly file: string
  readonly tables: readonly string[]
  /** Tables that the module does not have: it keeps to those that it was asked for. */
  readonly left: readonly string[]
  /** Tables that the module had and the source has no more, or hides from this account. */
  readonly gone: readonly string[]
  /** What was seen there and is not described, and why. */
  readonly notes: readonly string[]
  /** False when the module said the same before. */
  readonly changed: boolean
}

/** Reads the catalogs of sources, and folders of files that are named, and writes their schema modules. */
export async function pull(env: Env, request: PullRequest, signal: AbortSignal): Promise<readonly Pulled[]> {
  const configDir = path.dirname(request.configFile)
  const { sources, broken } = await sourcesOf(env, request)
  const place: Place = {
    env,
    configDir,
    stateDir: path.join(configDir, '.naru'),
    secret: await secretResolver(env, configDir, secretRefsIn(sources)),
  }
  const pulled: Pulled[] = []
  for (const source of sources) {
    const notes: string[] =
      broken === null
        ? []
        : [`the configuration breaks: ${broken}; correct that next, sources behind that place are not pulled`]
    const found = await describe(place, source, { signal, tell: text => void notes.push(text) })
    // Without a name given, a source whose columns only the config knows is passed over.
    if (found !== null) pulled.push({ ...(await pullSource(place, source, found, request)), notes })
    else if (request.names.length > 0) {
      throw fail('SOURCE_NO_CATALOG', { source: source.name, adapter: source.adapter })
    }
  }
  return pulled
}

type Place = Pick<OpenProject, 'env' | 'configDir' | 'stateDir' | 'secret'>

async function sourcesOf(env: Env, { configFile, names, from }: PullRequest): Promise<ConfiguredSources> {
  const asked = [...new Set(names.map(name => splitName(name).source))]
  if (from !== null) return { sources: asked.map(name => ({ name, ...from, tables: [] })), broken: null }
  const { sources, broken } = await readConfig(env, configFile)
  if (asked.length === 0) return { sources: sources.filter(isDatabase), broken }
  const named = asked.map(name => {
    const source = sources.find(it => it.name === name)
    if (source === undefined && broken !== null) throw fail('PULL_CONFIG', { problem: broken })
    if (source === undefined) {
      throw fail('SOURCE_UNKNOWN', { source: name, known: sources.map(it => it.name).join(', ') })
    }
    return source
  })
  return { sources: named, broken }
}

interface ConfiguredSources {
  readonly sources: readonly SourceDef[]
  /** Where and why the configuration breaks behind its sources; `null` when it does not. */
  readonly broken: string | null
}

/**
 * A configuration imports the modules that a pull writes, so it may be impossible to evaluate before the first one; and
 * it may name what the last one took away, and then what it makes before it breaks is enough.
 */
async function readConfig(env: Env, file: string): Promise<ConfiguredSources> {
  try {
    const { sources } = await loadConfig(env, file)
    return { sources, broken: null }
  } catch (error) {
    if (!isNaruError(error, 'CONFIG_INVALID') && !isNaruError(error, 'CONFIG_NOT_FOUND')) throw error
    const sources = error.code === 'CONFIG_INVALID' ? await sourcesBeforeBreak(env, file) : []
    if (sources.length > 0) return { sources, broken: error.message }
    throw fail('PULL_CONFIG', { problem: error.message }, { cause: error })
  }
}

function isDatabase(source: SourceDef): boolean {
  return source.tables.every(table => table.change.technique !== 'files')
}

async function pullSource(
  place: Place,
  source: SourceDef,
  found: readonly TableDescription[],
  request: PullRequest,
): Promise<Omit<Pulled, 'notes'>> {
  const file = path.resolve(place.configDir, request.out, `${source.name}.ts`)
  const previous = await readSchemaModule(place.env, file)
  const chosen = chooseTables(source.name, found, previous, request)
  const text = writeSchemaModule(source.name, chosen, previous)
  const changed = await writeIfNew(place.env, file, text)
  const names = found.map(table => table.name)
  const tables = chosen.map(table => table.name)
  return {
    source: source.name,
    file,
    tables,
    left: names.filter(name => !tables.includes(name)),
    gone: remotesOf(previous).filter(name => !names.includes(name)),
    changed,
  }
}

/** What the source says of its tables; `null` when it has no catalog. */
async function describe(
  place: Place,
  source: SourceDef,
  { signal, tell }: { readonly signal: AbortSignal; readonly tell: (text: string) => void },
): Promise<readonly TableDescription[] | null> {
  const adapter = await openSource(place, source)
  try {
    if (adapter.describes === undefined) return null
    const tables = await adapter.describes.describe(signal, tell)
    if (tables.length === 0) throw fail('SOURCE_CATALOG_EMPTY', { source: source.name })
    return tables
  } finally {
    await adapter.close()
  }
}

/**
 * A new module takes the tables that were named, or all. An old one keeps its set, so that a database with hundreds of
 * tables does not flood the module of a project that needs five; named tables join it.
 */
function chooseTables(
  source: string,
  found: readonly TableDescription[],
  previous: Schema,
  { names, all }: PullRequest,
): readonly TableDescription[] {
  const known = found.map(table => table.name)
  const named = names.map(splitName).flatMap(it => (it.source === source && it.table !== null ? [it.table] : []))
  for (const table of named) {
    if (!known.includes(table)) throw fail('SOURCE_TABLE_UNKNOWN', { source, table, known: known.join(', ') })
  }
  const wanted = [...remotesOf(previous), ...named]
  return all || wanted.length === 0 ? found : found.filter(table => wanted.includes(table.name))
}

function remotesOf(schema: Schema): readonly string[] {
  return Object.entries(schema).map(([name, { remote }]) => remote ?? name)
}

/** `ops.sales.order` is the table `sales.order` of `ops`: the name of a source has no dot. */
function splitName(name: string): { readonly source: string; readonly table: string | null } {
  const dot = name.indexOf('.')
  return dot === -1 ? { source: name, table: null } : { source: name.slice(0, dot), table: name.slice(dot + 1) }
}

/** Leaves a file alone that already says the same: a build that watches it stays quiet. */
async function writeIfNew(env: Env, file: string, text: string): Promise<boolean> {
  const before = await env.files.readFile(file, 'utf8').catch(() => null)
  if (before === text) return false
  await env.files.mkdir(path.dirname(file), { recursive: true })
  // Renamed into place: a pull that is broken off leaves the old module, with what a user wrote into it. Two pulls at
  // once have a file each.
  const temporary = `${file}.${env.processes.pid}.tmp`
  try {
    await noteDiskFull(file, () => env.files.writeFile(temporary, text))
    await env.files.rename(temporary, file)
  } catch (error) {
    await env.files.rm(temporary, { force: true })
    throw error
  }
  return true
}
