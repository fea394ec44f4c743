import { createHash } from 'node:crypto'
import path from 'node:path'
import { fail, messageOf, systemCodeOf } from '../../core/errors.ts'
import { durableWrite } from '../../core/files.ts'
import { shortened } from '../../core/sql.ts'
import type { CapturedTable, Captures, CaptureTechnique } from '../../services/adapter/contract-capture.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import type { OpenProject } from '../project.ts'
import type { StreamDef } from './streams.ts'

/** What a stream made at its source: remembered by this project, so that it is told once nothing uses it any more. */
export interface Installed {
  readonly source: string
  /** Kind of its adapter. */
  readonly kind: string
  readonly technique: CaptureTechnique
  /** Where it was made: `Captures.place`. */
  readonly place: string
  /** What `install` gave last: it says which server and which log there. */
  readonly position: string
  /** Names in the config and at the source, also of tables that were left out since. */
  readonly tables: readonly { readonly name: string; readonly remote: string }[]
  /** What removes all of it. */
  readonly remove: readonly string[]
}

/** What is remembered, with the file that remembers it: whoever deletes that is told no more. */
export interface Remembered extends Installed {
  readonly file: string
}

type Place = Pick<OpenProject, 'env' | 'stateDir'>

/** Longest name of a file, in bytes. */
const nameMax = 200

/** One file for each stream and place below `.naru/installed`; only who holds the lease of the project writes there. */
function folderOf(stateDir: string): string {
  return path.join(stateDir, 'installed')
}

/** Remembers what a stream installed at its source, where its technique leaves anything there. */
export async function rememberStream(
  at: Place,
  given: {
    readonly def: Pick<StreamDef, 'source' | 'technique'>
    readonly adapter: Pick<Adapter, 'kind'>
    readonly captures: Captures
    readonly tables: readonly CapturedTable[]
  },
  position: string,
): Promise<void> {
  const { def, adapter, captures, tables } = given
  if (captures.leftovers === undefined) return
  await rememberInstalled(at, {
    source: def.source.name,
    kind: adapter.kind,
    technique: def.technique,
    place: captures.place ?? '',
    position,
    tables: tables.map(({ name, remote }) => ({ name, remote })),
    remove: captures.script(tables).remove.map(line => line.replace(/;?$/, ';')),
  })
}

/** Tables of the same stream that were left out before stay remembered. */
function rememberInstalled(at: Place, installed: Installed): Promise<void> {
  return oneByOne(() => addInstalled(at, installed))
}

async function addInstalled(at: Place, installed: Installed): Promise<void> {
  const file = fileOf(at, installed)
  const before = await readOne(at, file).catch(() => null)
  const remotes = new Set(installed.tables.map(it => it.remote))
  const left = before?.tables.filter(it => !remotes.has(it.remote)) ?? []
  await write(at, file, {
    ...installed,
    tables: [...installed.tables, ...left],
    remove: [...new Set([...(before?.remove ?? []), ...installed.remove])],
  })
}

/** The hash tells places apart of which only letters are legible here that a file's name may not have. */
function fileOf({ stateDir }: Place, { source, technique, place }: Installed): string {
  const hash = createHash('sha256').update(place).digest('hex').slice(0, 12)
  const legible = shortened(`${source}.${technique}.${place.replaceAll(/[^\w.-]+/g, '_')}`, nameMax)
  return path.join(folderOf(stateDir), `${legible}.${hash}.json`)
}

/** What this project may remove of a stream at its source: its tables, and those that were left out since. */
export async function installedRemotes(
  at: Place,
  { source, technique, tables }: StreamDef,
): Promise<readonly string[]> {
  const known = (await readInstalled(at)).filter(it => it.source === source.name && it.technique === technique)
  const left = known.flatMap(it => it.tables.map(table => table.remote))
  return [...new Set([...tables.map(table => table.remote), ...left])]
}

/** Whose the streams of a source are: text that this folder of state has for ever, once it was asked for. */
export async function ownerOf(at: Place & Pick<OpenProject, 'project'>, source: string): Promise<string> {
  const known = await readOwner(at, source)
  if (known !== null) return known
  const owner = `source "${source}" of the project "${at.project.name}" (${at.env.random.uuid()})`
  await durableWrite(at.env, ownerFile(at, source), owner)
  return owner
}

/** `null` before a stream of the source was installed from here. */
export async function readOwner(at: Place, source: string): Promise<string | null> {
  const read = at.env.files.readFile(ownerFile(at, source), 'utf8')
  return read.catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return null
    throw error
  })
}

function ownerFile({ stateDir }: Place, source: string): string {
  return path.join(stateDir, 'owners', shortened(source, nameMax))
}

/** Everything that is remembered. Throws `CAPTURE_MEMORY` for a file that somebody changed. */
export async function readInstalled(at: Place): Promise<readonly Remembered[]> {
  const folder = folderOf(at.stateDir)
  const names = await at.env.files.readdir(folder).catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return []
    throw error
  })
  const files = names.filter(name => name.endsWith('.json')).toSorted()
  const found = await Promise.all(files.map(name => readOne(at, path.join(folder, name))))
  return found.flatMap(it => it ?? [])
}

/** Goes on without the tables that are gone at the source; without any of them the file goes. What was added since it was read stays. */
export function forgetInstalled(at: Place, { file }: Remembered, gone: readonly string[]): Promise<void> {
  return oneByOne(async () => {
    const now = await readOne(at, file)
    if (now === null) return
    const tables = now.tables.filter(({ remote }) => !gone.includes(remote))
    if (tables.length === 0) return at.env.files.rm(file, { force: true })
    const { file: _, ...installed } = now
    if (tables.length < now.tables.length) await write(at, file, { ...installed, tables })
  })
}

let writing: Promise<unknown> = Promise.resolve()

/** One after the other: a server forgets what is gone while its streams remember what they make. */
function oneByOne(task: () => Promise<void>): Promise<void> {
  const done = writing.then(task)
  writing = done.catch(() => {})
  return done
}

async function write({ env }: Place, file: string, installed: Installed): Promise<void> {
  await durableWrite(env, file, `${JSON.stringify(installed, null, 2)}\n`)
}

async function readOne({ env }: Place, file: string): Promise<Remembered | null> {
  try {
    const text = await env.files.readFile(file, 'utf8')
    const it = JSON.parse(text) as Partial<Installed>
    const { source, kind, technique, place, position } = it
    const texts = [source, kind, technique, place, position]
    if (!texts.every(text => typeof text === 'string') || !Array.isArray(it.tables) || !Array.isArray(it.remove))
      throw new Error('something is missing in it')
    return { ...(it as Installed), file }
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return null
    throw fail('CAPTURE_MEMORY', { file, problem: messageOf(error) })
  }
}
