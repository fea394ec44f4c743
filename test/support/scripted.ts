import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { inspect } from 'node:util'
import { realEnv, type Env } from '../../src/core/env.ts'
import type { RunEvent } from '../../src/core/events.ts'
import { Secret } from '../../src/core/secret.ts'
import { rawSql } from '../../src/core/sql.ts'
import type { ColumnDef, ColumnType } from '../../src/core/types.ts'
import type { Project, SourceDef, SourceTableDef } from '../../src/config/model.ts'
import { defineConfig, duckdb, ods, source, t } from '../../src/index.ts'
import { runLive } from '../../src/app/live/run-live.ts'
import type { LiveStatus } from '../../src/app/live/status-types.ts'
import type { OpenProject } from '../../src/app/project.ts'
import { openEngine } from '../../src/app/project.ts'
import { runProject, type RunOutcome } from '../../src/app/run-project.ts'
import { never } from '../../src/testing/engine.ts'
import { openProjectBus } from '../../src/app/bus.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import type { Captures } from '../../src/services/adapter/contract-capture.ts'
import type { Bus, Topic } from '../../src/services/bus/contract.ts'
import type { Engine, Row } from '../../src/services/engine/contract.ts'
import { scriptedCaptures } from '../../src/testing/scripted/index.ts'
import { beginStory, continueStory, type StoryChange, type StoryLine } from '../../src/testing/scripted/story.ts'
import { instead, opening } from './instead.ts'
import { placeIn } from './place.ts'

export function col(name: string, type: ColumnType = { kind: 'text' }): ColumnDef {
  return { name, type, nullable: name !== 'id', personal: false }
}

const int: ColumnType = { kind: 'int', bits: 32 }

export const itemColumns = [col('id', int), col('label'), col('amount', int)]
export const placeColumns = [col('id', int), col('name')]

/** Now and a little later, in the source's clock. */
let clock = 1_800_000_000_000_000

/** A transaction of the story. */
export function commit(...changes: readonly StoryChange[]): StoryLine {
  clock += 1_000
  return { at: clock, changes }
}

type Row3 = Partial<{ id: number; label: string | null; amount: number | null; name: string | null }>

export const item = (op: StoryChange['op'], row?: Row3): StoryChange => ({ table: 'item', op, ...(row && { row }) })
export const place = (op: StoryChange['op'], row?: Row3): StoryChange => ({ table: 'place', op, ...(row && { row }) })

export interface ScriptedProject {
  readonly folder: string
  readonly open: OpenProject
  readonly events: RunEvent[]
  happen(...lines: readonly StoryLine[]): Promise<void>
  run(selectors?: readonly string[]): Promise<RunOutcome>
  /** Happens while the next read goes on: not in its view. */
  meanwhile(...lines: readonly StoryLine[]): Promise<void>
  /** Another past of the source, with as many transactions: nothing tells of the difference. */
  rewrite(line: number, to: StoryLine): Promise<void>
  rows(query: string): Promise<readonly Row[]>
  /** Positions that the source was told it may forget. */
  confirmed(): Promise<readonly string[]>
  /** The source is another one from now on: its log is not the one that was read. */
  renew(id: string): Promise<void>
  /** Somebody removes the durable log. */
  loseLog(): Promise<void>
  remove(): Promise<void>
}

export interface ScriptedOptions {
  readonly env?: Env
  readonly tables?: Partial<Record<'item' | 'place', Partial<SourceTableDef>>>
  /** How the source is looked after. */
  readonly care?: Pick<SourceDef, 'compareMs' | 'lagAlarmBytes' | 'everyMs'>
  readonly options?: Partial<
    Record<'sliceLines' | 'sliceRows' | 'chunkRows' | 'breaksAfter' | 'loses' | 'lateViews', number>
  >
  /** An existing folder with its story. */
  readonly folder?: string
}

/** A project with one scripted source of two tables, `item` and `place`, and an entity of each. */
export async function scriptedProject(given: ScriptedOptions = {}): Promise<ScriptedProject> {
  const env = given.env ?? realEnv()
  const folder = given.folder ?? (await mkdtemp(path.join(os.tmpdir(), 'naru-stream-')))
  const story = path.join(folder, 'story.ndjson')
  const confirmed = path.join(folder, 'confirmed')
  if (given.folder === undefined) {
    const tables = { item: { columns: itemColumns, key: ['id'] }, place: { columns: placeColumns, key: ['id'] } }
    await beginStory(story, { id: 'story-1', tables })
  }
  const project = streamed(
    projectOf({ story, confirmed, meanwhile: path.join(folder, 'meanwhile'), ...given.options }),
    given,
  )
  const open: OpenProject = {
    project,
    ...placeIn(folder, env),
    secret: ref => new Secret(ref.name),
  }
  const events: RunEvent[] = []
  return {
    folder,
    open,
    events,
    happen: (...lines) => continueStory(story, ...lines),
    meanwhile: (...lines) =>
      writeFile(path.join(folder, 'meanwhile'), lines.map(line => `${JSON.stringify(line)}\n`).join('')),
    rewrite: async (line, to) => {
      const lines = (await readFile(story, 'utf8')).split('\n')
      lines[line + 1] = JSON.stringify(to)
      await writeFile(story, lines.join('\n'))
    },
    run: (selectors = []) =>
      runProject(open, { selectors, hashControls: false, emit: event => void events.push(event), signal: never }),
    rows: async query => {
      const engine = await openEngine(open, 'read')
      try {
        return await engine.transaction(never, tx => tx.rows(rawSql(query)))
      } finally {
        await engine.close()
      }
    },
    confirmed: async () => (await readFile(confirmed, 'utf8').catch(() => '')).split('\n').filter(line => line !== ''),
    renew: async id => writeFile(story, (await readFile(story, 'utf8')).replace(/"id":"[^"]+"/, `"id":"${id}"`)),
    loseLog: () => rm(path.join(open.stateDir, 'bus'), { recursive: true }),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

function projectOf(
  options: Parameters<typeof source<'shop', typeof scriptedCaptures.options, never>>[2] | object,
): Project {
  const shop = source('shop', scriptedCaptures, {
    ...(options as { story: string }),
    schema: {
      item: { key: ['id'], columns: { id: t.int(), label: t.text().null(), amount: t.int().null() } },
      place: { key: ['id'], columns: { id: t.int(), name: t.text().null() } },
    },
  })
  const item = ods
    .entity('item', { key: 'id', columns: { id: t.int(), label: t.text().null(), amount: t.int().null() } })
    .from(shop.item, r => ({ ...r }))
  const place = ods
    .entity('place', { key: 'id', columns: { id: t.int(), name: t.text().null() } })
    .from(shop.place, r => ({ ...r }))
  return defineConfig({
    name: 'streamed',
    engine: duckdb({ path: 'data.duckdb' }),
    models: { item: ods.export('item', item), place: ods.export('place', place) },
  })
}

function streamed(project: Project, { tables = {}, care }: ScriptedOptions): Project {
  return {
    ...project,
    sources: project.sources.map(it => ({
      ...it,
      ...care,
      tables: it.tables.map(table => ({
        ...table,
        change: { technique: 'log' },
        ...tables[table.name as 'item' | 'place'],
      })),
    })),
  }
}

/** The same project, with captures of its source that behave in another way. */
export function withCaptures(given: ScriptedProject, change: (captures: Captures) => Captures): ScriptedProject {
  return withAdapter(given, adapter => ({ ...adapter, captures: { log: change(adapter.captures?.log as Captures) } }))
}

/** The same project, with an adapter of its source that behaves in another way. */
export function withAdapter(given: ScriptedProject, change: (adapter: Adapter) => Adapter): ScriptedProject {
  const { open } = given
  const sources = open.project.sources.map(it => {
    const own = it.own as NonNullable<SourceDef['own']>
    return { ...it, own: { ...own, open: opening(own, change) } }
  })
  return { ...given, open: { ...open, project: { ...open.project, sources } } }
}

/** The same project, with a durable log in which `before` is awaited before each read of a topic; who asks closes its `bus`. */
export async function withReads(given: ScriptedProject, before: () => Promise<void>): Promise<ScriptedProject> {
  const bus = await openProjectBus(given.open, () => {})
  const openTopic: Bus['openTopic'] = async (name, settings) => {
    const topic = await bus.openTopic(name, settings)
    const read: Topic['read'] = async function* (after, options) {
      await before()
      yield* topic.read(after, options)
    }
    return instead(topic, { read })
  }
  return { ...given, open: { ...given.open, bus: instead(bus, { openTopic }) } }
}

/** A live session that a test watches. */
export interface Following {
  status(): LiveStatus | null
  rows(query: string): Promise<readonly Row[]>
  /** Waits until the check holds; at most two minutes, for a loaded machine. */
  until(check: () => Promise<boolean> | boolean, what: string): Promise<void>
  /** Waits until a query gives these rows. */
  untilRows(query: string, expected: readonly (readonly unknown[])[]): Promise<void>
  /** How the session ended, without waiting to be told. */
  readonly ended: Promise<unknown>
  stop(): Promise<void>
}

/** Follows the sources of a project in this process, as `naru start` does; on an engine that behaves in another way. */
export async function follow(
  project: ScriptedProject,
  change: (engine: Engine) => Partial<Engine> = () => ({}),
): Promise<Following> {
  const opened = await openEngine(project.open, 'write')
  const engine = instead(opened, change(opened))
  const ending = new AbortController()
  let status: LiveStatus | null = null
  const ended = runLive(project.open, engine, {
    emit: event => void project.events.push(event),
    signal: ending.signal,
    onStatus: now => (status = now),
    lingerMs: 1,
  }).then(
    () => null,
    (error: unknown) => error,
  )
  let isOver = false
  void ended.then(() => (isOver = true))
  const rows = (query: string): Promise<readonly Row[]> => engine.transaction(never, tx => tx.rows(rawSql(query)))
  const until: Following['until'] = async (check, what) => {
    const end = performance.now() + 120_000
    while (!(await check())) {
      if (isOver) throw new Error(`the session ended before ${what}: ${String(await ended)}`)
      if (performance.now() > end) throw new Error(`waited for ${what}: ${inspect(status, { depth: 6 })}`)
      await project.open.env.clock.sleep(20)
    }
  }
  return {
    status: () => status,
    rows,
    until,
    untilRows: async (query, expected) => {
      const text = JSON.stringify(expected)
      let last = ''
      const same = async (): Promise<boolean> => {
        last = JSON.stringify((await rows(query).catch(() => [])).map(row => Object.values(row)))
        return last === text
      }
      await until(same, `${query} to give ${text}`).catch((error: unknown) => {
        throw new Error(`${String(error)}\nlast: ${last}`)
      })
    },
    ended,
    stop: async () => {
      ending.abort(new Error('stopped by the test'))
      await ended
      await engine.close()
    },
  }
}
