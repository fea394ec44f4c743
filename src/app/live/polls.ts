import { knownError } from '../../core/known-error.ts'
import type { SourceDef, SourceTableDef } from '../../config/model.ts'
import type { Extracted, InterfaceContext } from '../../etl/interface/index.ts'
import { endsPollAlone } from '../faults.ts'
import { extractSource, openSource, type StoppedTable } from '../extract.ts'
import type { OpenProject } from '../project.ts'
import type { LiveSource } from './status-types.ts'
import type { AdapterImplementation } from '../registry.ts'
import { pauseOf } from '../retry.ts'
import { troubleOf } from '../stream/trouble.ts'
import { telling, ToldOnce } from '../told-once.ts'

/** How often a source is read that does not say. */
const everyMsDefault = 60_000

/** What polls have read and nobody has published yet. */
export interface Polled {
  readonly loads: readonly Extracted[]
  readonly stopped: readonly StoppedTable[]
  readonly source: string
  /** Tables that were read to their end, and when that began. */
  readonly tables: readonly string[]
  readonly beganMicros: bigint
}

/** Reads the tables of a source from time to time, one poll after the other. */
export interface Poll {
  readonly source: SourceDef
  readonly tables: readonly SourceTableDef[]
  readonly everyMs: number
  /** When it was last read to its end, and what goes wrong with it until it goes well again. */
  status(): Pick<LiveSource, 'readMicros' | 'trouble'>
  /** Tables that the last one left as they are staged. */
  stopped(): readonly StoppedTable[]
  /** Begins a poll when one is due, what the last one read is published, and none is going. */
  begin(ctx: InterfaceContext): void
  /** Something waits to be taken. */
  isDone(): boolean
  /** What was read since; empties it. Throws what a poll failed with for good. */
  take(): Polled | null
  /** What was taken is published: the next one comes when it is due, whatever interrupts the session. */
  published(): void
  /** Milliseconds until the next one. */
  dueMs(): number
  /** Resolves when none is going. */
  idle(): Promise<void>
}

/** What polls of one process remember over its sessions, by the name of their source. */
export interface PollMemory {
  /** When the next one is due: what another command interrupts begins no poll before its time. */
  readonly dueAt: Map<string, number>
  readonly told: Map<string, ToldOnce>
}

export function pollMemory(): PollMemory {
  return { dueAt: new Map(), told: new Map() }
}

/** `onDone` is called when a poll has ended. */
export function pollOf(
  open: OpenProject,
  given: {
    readonly source: SourceDef
    readonly tables: readonly SourceTableDef[]
    readonly adapters: Readonly<Record<string, AdapterImplementation>> | undefined
    readonly memory: PollMemory
    readonly onDone: () => void
  },
): Poll {
  const { source, tables, memory } = given
  const { clock } = open.env
  const told = memory.told.get(source.name) ?? new ToldOnce()
  memory.told.set(source.name, told)
  const everyMs = source.everyMs ?? everyMsDefault
  let dueAt = memory.dueAt.get(source.name) ?? clock.monotonicMs()
  let going: Promise<void> | null = null
  let found: Polled | null = null
  let failed: unknown
  let stopped: readonly StoppedTable[] = []
  let status: Pick<LiveSource, 'readMicros' | 'trouble'> = { readMicros: null, trouble: null }

  const read = async (ctx: InterfaceContext): Promise<void> => {
    const beganMicros = clock.nowMicros()
    const adapter = await openSource(open, source, given.adapters)
    try {
      const got = await extractSource({ ...ctx, emit: telling(ctx.emit, told) }, adapter, source, {
        tables,
        range: null,
        chunkControls: false,
      })
      const left = [...got.waiting, ...got.stopped.map(it => `${source.name}.${it.table.name}`)]
      const read = tables.map(it => it.name).filter(name => !left.includes(`${source.name}.${name}`))
      found = { ...got, source: source.name, tables: read, beganMicros }
      told.endRound()
      stopped = found.stopped
      status = { readMicros: beganMicros, trouble: null }
    } finally {
      await adapter.close()
    }
  }
  const settle = (error: unknown, ctx: InterfaceContext): void => {
    const known = knownError(error)
    if (ctx.signal.aborted) return
    if (!endsPollAlone(known)) {
      failed = error
      return
    }
    const failures = (status.trouble?.failures ?? 0) + 1
    // Often asked with a password that is refused, an account would be locked.
    const pauseMs = known.code === 'SOURCE_LOGIN' ? everyMs : Math.min(everyMs, pauseOf(open.env, failures - 1))
    dueAt = clock.monotonicMs() + pauseMs
    status = { ...status, trouble: troubleOf(open.env, known, { before: status.trouble, pauseMs }) }
  }

  return {
    source,
    tables,
    everyMs,
    status: () => status,
    stopped: () => stopped,
    begin: ctx => {
      if (going !== null || found !== null || failed !== undefined || clock.monotonicMs() < dueAt) return
      dueAt = clock.monotonicMs() + everyMs
      going = read(ctx)
        .catch((error: unknown) => settle(error, ctx))
        .finally(() => {
          going = null
          given.onDone()
        })
    },
    isDone: () => found !== null || failed !== undefined,
    published: () => void memory.dueAt.set(source.name, dueAt),
    take: () => {
      if (failed !== undefined) throw failed
      const taken = found
      found = null
      return taken
    },
    dueMs: () => (going !== null || found !== null ? everyMs : Math.max(0, dueAt - clock.monotonicMs())),
    idle: async () => void (await going),
  }
}
