import { sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { lastRun } from '../../run/journal.ts'
import { readStopped } from '../../run/stopped.ts'
import { readStreamPlace } from '../../run/streams.ts'
import type { Engine } from '../../services/engine/contract.ts'
import type { Between, Turns } from '../live/turns.ts'
import type { OpenProject } from '../project.ts'
import { runOn } from '../run-project.ts'
import type { OpenStream } from '../stream/session.ts'
import { ToldOnce } from '../told-once.ts'
import { foundIn } from './found.ts'
import { runOf, type Resynced, type ResyncOptions } from './request.ts'

/** How often it is looked at whether the session has read the tables. */
const lookMs = 250

interface Given {
  readonly engine: Engine
  readonly tables: readonly SourceTableDef[]
  readonly options: ResyncOptions
  /** Newest load before: what is found is of those behind it. */
  readonly since: bigint
  /** `null` outside a server. */
  readonly turns: Turns | null
}

/**
 * Reads tables that have no place in their stream as a whole: by a run, or in a server by its session, beside the ticks of the
 * others. Throws why a stream of theirs stopped: once that is mended, they are read all the same.
 */
export async function readFirst(open: OpenProject, given: Given): Promise<Resynced> {
  const { engine, tables, options, since, turns } = given
  const { signal } = options
  if (turns === null) {
    const { run, stopped } = await runOn(open, engine, runOf(tables, options))
    const [first] = stopped
    if (first !== undefined && stopped.length === tables.length) throw first.error
    return { run, tables: await foundIn(engine, tables, sql`published_run = ${run}`, signal), gap: null }
  }
  await untilRead(open, { ...given, between: turns.between })
  const run = await engine.transaction(signal, tx => lastRun(tx, open.env.clock.nowMicros()))
  return { run: run.id, tables: await foundIn(engine, tables, sql`load > ${since}`, signal), gap: null }
}

/** Waits for the session to read the tables, or to stop them because of their shape, and tells what stands in its way. */
async function untilRead({ env }: OpenProject, given: Given & { readonly between: Between }): Promise<void> {
  const { tables, options } = given
  const names = tables.map(table => `${table.source}.${table.name}`).join(', ')
  const text = `the tables are read beside the changes of others, and naru status shows how far they are: ${names}`
  options.emit({ kind: 'note', level: 'info', text })
  const told = new ToldOnce()
  const tell = (level: 'info' | 'warn', text: string, code?: string): void => {
    if (told.isNew(text)) options.emit({ kind: 'note', level, text, ...(code === undefined ? {} : { code }) })
  }
  let unfit: readonly SourceTableDef[] = []
  while (!(await isRead(given, unfit))) {
    const streams = await given.between('naru resync', options.signal, async session => session?.streams ?? null)
    if (streams === null) tell('info', 'the server begins anew what it follows; naru status says why')
    const ours = (streams ?? []).filter(it => it.tables.some(({ config }) => tables.includes(config)))
    for (const stream of ours) tellTrouble(stream, tell)
    unfit = ours.flatMap(it => it.tables.flatMap(table => (table.stopped === null ? [] : [table.config])))
    told.endRound()
    await env.clock.sleep(lookMs, options.signal)
  }
}

/** What stopped is for a person to mend, and nothing to wait for. */
function tellTrouble(
  { def, reader }: OpenStream,
  tell: (level: 'info' | 'warn', text: string, code?: string) => void,
): void {
  const { state, error } = reader.status()
  if (error === null) return
  const { name } = def.source
  if (state === 'waiting') tell('warn', `the stream of ${name} waits: ${error.message}`, error.code)
  if (state !== 'stopped') return
  tell('warn', `${name}: its tables are read again once its stream goes on`, error.code)
  throw error
}

/** `unfit`: tables that stopped while they were read. */
async function isRead({ engine, tables, options }: Given, unfit: readonly SourceTableDef[]): Promise<boolean> {
  return engine.transaction(options.signal, async tx => {
    const stopped = (await readStopped(tx)).map(it => it.table)
    for (const table of tables) {
      if (stopped.includes(`${table.source}.${table.name}`) || unfit.includes(table)) continue
      if ((await readStreamPlace(tx, table))?.state !== 'live') return false
    }
    return true
  })
}
