import { aboutOf, checkedName, checkedOptions, markProject, type About, type Handle } from './handle.ts'
import { hashOf } from './hash.ts'
import { mistake } from './mistake.ts'
import type { EngineDef, EntityDef, Project, SourceDef, TransferOptions } from './model.ts'
import { withMarks } from './personal.ts'
import { subscriberDefs, type SubscriberOptions } from './subscriber.ts'
import { transferDefs } from './transfer.ts'

export interface ConfigOptions {
  /** The project's name in reports; `project` unless given. */
  readonly name?: string
  readonly engine: EngineDef
  /**
   * What to build. What it is made from comes along, so naming the ends is enough. A table that nothing uses is staged
   * when it, or its whole source, is named here.
   */
  readonly models: readonly Handle[] | { readonly [name: string]: Handle | { readonly [name: string]: Handle } }
  /** Transfers that `naru transfer` runs by their name. */
  readonly transfers?: { readonly [name: string]: TransferOptions }
  /** Applications that take changes as they come, by the name under which each has its place: see `naru/changes`. */
  readonly subscribers?: { readonly [name: string]: SubscriberOptions }
  /**
   * Bytes that stay free on the disks of the database file and of `.naru`: with less, sources are not read until there is space
   * again. 256 MiB unless given; 0 is none.
   */
  readonly keepFreeBytes?: number
}

/** The default export of naru.config.ts. */
export function defineConfig(options: ConfigOptions): Project {
  checkedOptions('defineConfig', options, ['name', 'engine', 'models', 'transfers', 'subscribers', 'keepFreeBytes'])
  const { name = 'project', engine, keepFreeBytes } = options
  checkedName('project', name)
  if (typeof engine !== 'object' || !('kind' in engine))
    throw mistake("defineConfig: the engine is made by duckdb({ path: '...' })")
  if (keepFreeBytes !== undefined && !(Number.isSafeInteger(keepFreeBytes) && keepFreeBytes >= 0))
    throw mistake('defineConfig: keepFreeBytes is a number of bytes, 0 or more')
  const found = reachable(handlesOf(options.models))
  const of = <K extends About['kind']>(kind: K): DefOf<K>[] => definitions(found, kind)
  const entities = of('entity')
  const sources = withMarks(sourcesOf(found), entities)
  const project: Project = {
    name,
    engine,
    sources,
    entities,
    exports: of('export'),
    dimensions: of('dimension'),
    facts: of('fact'),
    summaries: of('summary'),
    transfers: transferDefs(options.transfers ?? {}),
    ...(keepFreeBytes === undefined ? {} : { keepFreeBytes }),
    ...(options.subscribers === undefined ? {} : { subscribers: subscriberDefs(options.subscribers, sources) }),
  }
  project.entities.forEach(assertComplete)
  return markProject(project)
}

type DefOf<K extends About['kind']> = Extract<About, { kind: K }>['def']

function handlesOf(models: unknown): readonly Handle[] {
  if (typeof models !== 'object' || models === null)
    throw mistake('defineConfig: models is a list or an object of what to build')
  return Object.entries(models).flatMap(([name, value]): readonly Handle[] => {
    if (aboutOf(value) !== null) return [value as Handle]
    if (typeof value === 'object' && value !== null) return handlesOf(value)
    throw mistake(`defineConfig: ${name} in models is nothing that a builder made`)
  })
}

/** Everything that `handles` are made from and themselves, each once, what is used before what uses it. */
function reachable(handles: readonly Handle[]): readonly About[] {
  const found = new Set<About>()
  const visit = (handle: Handle): void => {
    const it = aboutOf(handle) as About
    if (found.has(it)) return
    it.uses.forEach(visit)
    found.add(it)
  }
  handles.forEach(visit)
  return [...found]
}

function definitions<K extends About['kind']>(found: readonly About[], kind: K): DefOf<K>[] {
  const byName = new Map<string, DefOf<K>>()
  for (const it of found) {
    if (it.kind !== kind) continue
    const def = it.def as DefOf<K>
    const other = byName.get(def.name)
    if (other !== undefined && hashOf(other) !== hashOf(def)) throw mistake(clash(kind, def.name))
    byName.set(def.name, def)
  }
  return [...byName.values()]
}

function clash(kind: string, name: string): string {
  const hint = kind === 'entity' ? '; each method gives a new entity, so use the result of the last one everywhere' : ''
  return `there are two different ${kind === 'entity' ? 'entities' : `${kind}s`} called "${name}"${hint}`
}

/** The sources with those of their tables that are used, in the order of the schema. */
function sourcesOf(found: readonly About[]): readonly SourceDef[] {
  const sources = new Map<string, { readonly def: SourceDef; readonly used: Set<string> }>()
  for (const it of found) {
    if (it.kind !== 'table') continue
    const known = sources.get(it.source.name) ?? { def: it.source, used: new Set() }
    if (known.def !== it.source && hashOf(known.def) !== hashOf(it.source))
      throw mistake(clash('source', it.source.name))
    sources.set(it.source.name, known)
    known.used.add(it.def.name)
  }
  const made = [...sources.values()].map(({ def, used }) => ({
    ...def,
    tables: def.tables.filter(({ name }) => used.has(name)),
  }))
  assertStagingNames(made)
  assertKeys(made)
  return made
}

/** Staged tables are called `<source>_<table>`: `a` with `b_c` and `a_b` with `c` would be one. */
function assertStagingNames(sources: readonly SourceDef[]): void {
  const taken = new Map<string, string>()
  for (const table of sources.flatMap(source => source.tables)) {
    const staged = `${table.source}_${table.name}`
    const other = taken.get(staged)
    if (other !== undefined)
      throw mistake(`${other} and ${table.source}.${table.name} would both be staged as ${staged}; rename a source`)
    taken.set(staged, `${table.source}.${table.name}`)
  }
}

function assertKeys(sources: readonly SourceDef[]): void {
  const bare = sources.flatMap(source => source.tables).find(table => table.key.length === 0)
  if (bare !== undefined) {
    throw mistake(
      `table ${bare.source}.${bare.name} has no key; write the columns that tell its rows apart into its schema module, or key: 'append' there, with the technique log: each change is a row then`,
    )
  }
}

function assertComplete(entity: EntityDef): void {
  if (entity.contributions.length === 0)
    throw mistake(`entity ${entity.name} has no source; add .from(table, row => ...)`)
  if (entity.contributions.every(({ match }) => match !== null)) {
    throw mistake(
      `entity ${entity.name} has only matches, and a match never makes a record; add .from(table, row => ...)`,
    )
  }
}
