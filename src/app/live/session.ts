import { fail, isNaruError } from '../../core/errors.ts'
import { withDeadline } from '../../core/env.ts'
import { knownError } from '../../core/known-error.ts'
import type { Emit } from '../../core/events.ts'
import { nodeId } from '../../plan/graph.ts'
import { stagedName } from '../../run/tables.ts'
import { beginRun, endRun } from '../../run/journal.ts'
import { noteStopped } from '../../run/stopped.ts'
import type { StageContext } from '../../run/context.ts'
import type { Bus } from '../../services/bus/contract.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { diskWatch, type DiskLevel, type DiskWatch } from '../disk.ts'
import type { OpenProject } from '../project.ts'
import { interfaceOf, publishAll, withoutStreams, type Publishing } from '../run-project.ts'
import type { InterfaceContext } from '../../etl/interface/index.ts'
import { keepComparing } from '../stream/compare-run.ts'
import { catchUp, loadTables } from '../stream/first-load.ts'
import { isLive, joinTables, keepPlaces, openStream, type OpenStream, type StreamsGiven } from '../stream/session.ts'
import { streamsOf } from '../stream/streams.ts'
import type { Pass } from '../stream/tick.ts'
import { streamFaults, troubleOf } from '../stream/trouble.ts'
import { ToldOnce } from '../told-once.ts'
import { livePace, type LivePace } from '../live-pace.ts'
import type { LiveOptions } from '../live.ts'
import type { LiveSource, LiveStatus, LiveTrouble } from '../live-status.ts'
import { Lags } from './lags.ts'
import { pollMemory, pollOf, type Poll, type Polled } from './polls.ts'
import { QuietPolls } from './prune.ts'
import { LiveCounts, pollSource, polledTables, streamSource, streamTables } from './status.ts'

/** Changes that come within it share a tick. */
const lingerMsDefault = 15
/** About how many bytes of each topic a tick takes: what bounds its memory and its time. */
const tickBytes = 8 * 1024 * 1024
/** How often what a tick takes is doubled when stages refused it: what corrects a row may lie far behind it. */
const widerMax = 6
/** Longest wait for what sources have changed since stages refused a tick. */
const readAheadMs = 5_000
/** How often the engine moves what is committed into its main file, and the topics let go of it. */
const checkpointMs = 30_000
/** Time after a checkpoint, in milliseconds, in which space is given back: the ticks wait for it. */
const compactMs = 200
/** Ticks share a run this long: control tables get rows for each run, not for each tick. */
const runMs = 3_600_000
/** How often it is looked whether there is space on the disk again. */
const diskMs = 1_000
/** Pause before tables that could not be loaded are tried again. */
const loadPauseMs = 10_000

interface SessionGiven {
  readonly open: OpenProject
  readonly engine: Engine
  readonly bus: Bus
  readonly options: LiveOptions
  readonly shared: Omit<StageContext, 'tx'>
}

/** The first loads of one stream, going on beside the ticks. */
interface Joining {
  readonly done: Promise<void>
  /** Ends them: what is read so far stays, and who opens the stream again goes on with it. */
  readonly ending: AbortController
}

/** One session of `runLive`: opened streams and polls, and the ticks that publish what they bring. */
export class LiveSession {
  readonly #given: SessionGiven
  readonly #streams: OpenStream[] = []
  readonly #polls: readonly Poll[]
  readonly #counts = new LiveCounts()
  readonly #quiet = new QuietPolls()
  readonly #lags = new Lags()
  readonly #disk: DiskWatch
  /** Why polls wait, while there is too little space. */
  #diskTrouble: LiveTrouble | null = null
  /** What goes on beside the ticks for as long as the session does. */
  readonly #watches: Promise<void>[] = []
  readonly #joining = new Map<OpenStream, Joining>()
  /** Streams that are to give columns which they were not opened with, or whose tables are to be read again. */
  readonly #wider = new Set<OpenStream>()
  /** Ends what goes on beside the ticks. */
  readonly #ending = new AbortController()
  #shared: Omit<StageContext, 'tx'>
  #wake: () => void = () => {}
  #isAwake = false
  #failed: unknown
  /** Sessions before this one that failed in a row; none once a tick with something of a source went well. */
  #failures: number
  #checkpointAt: number
  #rotateAt: number
  /** Something waits for the warehouse. */
  #isWaiting = true
  /** How each tick goes about it. */
  readonly #pace: LivePace
  #isDirty = false

  constructor(given: SessionGiven) {
    const { open, options, shared } = given
    this.#given = given
    this.#disk = diskWatch(open)
    this.#failures = options.failures ?? 0
    const signal = AbortSignal.any([options.signal, this.#ending.signal])
    this.#shared = { ...shared, signal }
    const now = open.env.clock.monotonicMs()
    this.#pace = livePace(open.env.clock)
    this.#checkpointAt = now + checkpointMs
    this.#rotateAt = now + runMs
    const memory = options.polls ?? pollMemory()
    const all = open.project.sources.map(source => ({ source, tables: source.tables }))
    this.#polls = withoutStreams(all).map(({ source, tables }) =>
      pollOf(open, { source, tables, memory, adapters: options.adapters, onDone: () => this.#awake() }),
    )
  }

  /** The run that ticks belong to now. */
  get shared(): Omit<StageContext, 'tx'> {
    return this.#shared
  }

  /** Follows the sources until the signal ends it. Throws what a stage failed with. */
  async follow(): Promise<void> {
    const { open, options } = this.#given
    for (const def of streamsOf(open.project.sources)) this.#start(await openStream(this.#streamsGiven(), def))
    this.#watch()
    this.#tell()
    if (this.#failures > 0) await this.#readAhead()
    const { signal } = options
    signal.addEventListener('abort', () => this.#awake(), { once: true })
    try {
      while (!signal.aborted) await this.#turn()
    } catch (error) {
      // It begins anew, for which it needs space; until then the streams stay, and answer who sends to them.
      if (knownError(error).code === 'DISK_FULL')
        while (!signal.aborted && (await this.#lookAtDisk()) !== 'well')
          await open.env.clock.sleep(diskMs, signal).catch(() => {})
      throw error
    }
  }

  async #turn(): Promise<void> {
    const { open, options } = this.#given
    const { signal } = options
    const level = await this.#lookAtDisk()
    if (level === 'well') this.#beginPolls()
    if (level !== 'full' && this.#hasWork()) {
      await open.env.clock.sleep(options.lingerMs ?? lingerMsDefault, signal).catch(() => {})
      if (!signal.aborted) await this.#tick()
    } else {
      await (level === 'well' ? this.#sleep() : open.env.clock.sleep(diskMs, signal).catch(() => {}))
    }
    if (this.#failed !== undefined) throw this.#failed
    if (level === 'full') return
    for (const stream of this.#wider) await this.#reopen(stream)
    await this.#housekeeping()
  }

  /** Ends readers and polls, the run unless it failed, and leaves a checkpoint. Never throws. */
  async close(failed: unknown): Promise<void> {
    const { engine, open } = this.#given
    this.#ending.abort(fail('CANCELLED', { what: 'the session' }))
    for (const stream of this.#streams) await stream.close()
    const joining = [...this.#joining.values()].map(({ done }) => done)
    await Promise.allSettled([...this.#watches, ...joining, ...this.#polls.map(poll => poll.idle())])
    try {
      const { run } = this.#shared
      const nowMicros = open.env.clock.nowMicros()
      if (failed === null) await engine.transaction(new AbortController().signal, tx => endRun(tx, run, nowMicros))
      await this.#checkpoint()
    } catch (error) {
      const text = `the end of run ${this.#shared.run.id} could not be recorded: ${knownError(error).message}`
      this.#given.options.emit({ kind: 'note', level: 'warn', text, code: 'RUN_NOT_RECORDED' })
    }
  }

  /** With too little space nothing is begun that needs some; it is tried again by itself. */
  async #lookAtDisk(): Promise<DiskLevel> {
    const { env } = this.#given.open
    const { level, error } = await this.#disk.look()
    const before = this.#diskTrouble
    this.#diskTrouble = error === null ? null : troubleOf(env, error, { before, pauseMs: diskMs })
    if ((before === null) !== (error === null)) this.#tell()
    return level
  }

  /** Looks after the sources, and whether the tables are what the sources have. */
  #watch(): void {
    const { open, engine, options } = this.#given
    const { signal } = this.#shared
    const [env, emit, streams] = [open.env, options.emit, () => this.#streams]
    const context = (): InterfaceContext => this.#reading()
    this.#watches.push(
      this.#lags.keepAsking({ env, emit, signal, streams, onFound: () => this.#tell() }),
      keepComparing({ env, engine, signal, context, streams }),
    )
  }

  /** What reads of tables are given: they wait while the guard pauses their source. */
  #reading(signal: AbortSignal = this.#shared.signal): InterfaceContext {
    const isPaused = (source: string): boolean => this.#lags.isPaused(source)
    return { ...interfaceOf(this.#given.engine, { ...this.#shared, signal }, false), isPaused }
  }

  #streamsGiven(): StreamsGiven {
    const { open, engine, bus, options } = this.#given
    const { signal } = this.#shared
    return { open, engine, bus, emit: options.emit, signal, adapters: options.adapters, disk: this.#disk }
  }

  /** What stages refused may be corrected in the source by now: without it the same tick would fail for ever. */
  async #readAhead(): Promise<void> {
    const { env } = this.#given.open
    const { signal } = this.#shared
    const ahead = this.#streams.map(async ({ captures, reader }) => {
      const limit = { what: 'a look at what the source has since', ms: readAheadMs, signal }
      await withDeadline(env, limit, async until => reader.reached(await captures.head(until), until))
    })
    // Who cannot be reached says so by its own state, and the tick is tried without it.
    await Promise.allSettled(ahead)
  }

  #start(stream: OpenStream): void {
    this.#streams.push(stream)
    this.#join(stream)
  }

  #join(stream: OpenStream): void {
    stream.reader.onChange(() => this.#awake())
    const ending = new AbortController()
    const signal = AbortSignal.any([this.#shared.signal, ending.signal])
    this.#joining.set(stream, { ending, done: this.#bringIn(stream, signal) })
  }

  /** Loads what the stream does not have yet, beside the ticks: the other tables go on. */
  async #bringIn(stream: OpenStream, signal: AbortSignal): Promise<void> {
    const { open } = this.#given
    const told = new ToldOnce()
    while (!signal.aborted) {
      try {
        await this.#load(stream, signal)
        // With the stream as it is they would meet the same again.
        if (this.#wider.has(stream)) return this.#awake()
        this.#awake()
        const isLeft = stream.tables.some(it => it.at?.state !== 'live' && it.extracted === null && it.stopped === null)
        if (!isLeft) return
      } catch (error) {
        if (signal.aborted) return
        const known = knownError(error)
        // Why a reader stopped is its own state, and no reason for others to stop.
        if (stream.reader.status().error === known) return this.#awake()
        if (known.retry !== 'later') {
          this.#failed = error
          return this.#awake()
        }
        const text = `source "${stream.def.source.name}": ${known.message}; its tables are loaded again every ${loadPauseMs / 1000} s`
        if (told.isNew(known.code)) this.#given.options.emit({ kind: 'note', level: 'warn', text, code: known.code })
      }
      told.endRound()
      await open.env.clock.sleep(loadPauseMs, signal).catch(() => {})
    }
  }

  async #load(stream: OpenStream, signal: AbortSignal): Promise<void> {
    const ctx = this.#reading(signal)
    await joinTables({ ...this.#streamsGiven(), signal }, stream, { tables: stream.tables, run: ctx.run })
    const loaded = await loadTables(ctx, stream, stream.tables)
    const stopped = loaded?.stopped ?? []
    if (stopped.length > 0) {
      const { project } = this.#given.open
      await ctx.commit(tx => noteStopped(tx, { project, run: ctx.run }, { loads: [], stopped }))
    }
    for (const table of stream.tables) {
      if (table.extracted === null || table.isCaughtUp || loaded === null) continue
      await catchUp(ctx, stream, { table, upTo: loaded.upTo })
      if (table.at === null) this.#wider.add(stream)
      else table.isCaughtUp = true
    }
  }

  #awake(): void {
    this.#isAwake = true
    this.#wake()
    this.#tell()
  }

  /** Until something comes, or is due. */
  async #sleep(): Promise<void> {
    if (this.#isAwake) {
      this.#isAwake = false
      return
    }
    const { clock } = this.#given.open.env
    const warehouseMsLeft = this.#isWaiting ? this.#pace.warehouseInMs() : checkpointMs
    const dueMs = Math.min(checkpointMs, warehouseMsLeft, ...this.#polls.map(poll => poll.dueMs()))
    await new Promise<void>(resolve => {
      const cancel = clock.after(dueMs, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
    this.#wake = () => {}
    this.#isAwake = false
  }

  #beginPolls(): void {
    const ctx = this.#reading()
    for (const poll of this.#polls) poll.begin(ctx)
  }

  #hasWork(): boolean {
    const isWarehouseDue = this.#isWaiting && this.#pace.warehouseInMs() === 0
    return isWarehouseDue || this.#passes().length > 0 || this.#polls.some(poll => poll.isDone())
  }

  /** What waits in the topics behind the tables that are live, and tables that become visible with it. */
  #passes(): readonly Pass[] {
    return this.#streams.flatMap(stream => {
      const { complete, changed } = stream.reader.status()
      if (complete === null || changed === null) return []
      const ready = (table: OpenStream['tables'][number]): boolean => table.extracted !== null && table.isCaughtUp
      const tables = stream.tables.filter(table => table.stopped === null && (isLive(table) || ready(table)))
      // Signs of life move the places when there is something else to do, and before the topic is to let go.
      const wanted = this.#isDue() ? complete : changed
      const isBehind = tables.some(table => ready(table) || stream.topic.compare(table.at?.place ?? wanted, wanted) < 0)
      const bytes = tickBytes * 2 ** Math.min(this.#failures, widerMax)
      return isBehind ? [{ stream, tables, upTo: complete, bytes }] : []
    })
  }

  #isDue(): boolean {
    return this.#given.open.env.clock.monotonicMs() >= this.#checkpointAt
  }

  async #tick(): Promise<void> {
    const done = this.#polls.flatMap(poll => {
      const found = poll.take()
      return found === null ? [] : [{ poll, found }]
    })
    // Each time the tables of at least one stream are left out; what was polled goes with what is left.
    while (!(await this.#publish(done))) {
      this.#pace.failed()
      this.#tell()
    }
  }

  /** False when the tables of a stream cannot be told any more: they are stopped, and nothing is published. */
  async #publish(done: readonly { readonly poll: Poll; readonly found: Polled }[]): Promise<boolean> {
    const { open, engine, options } = this.#given
    const { env } = open
    const polled: readonly Polled[] = done.map(it => it.found)
    const loads = polled.flatMap(it => it.loads)
    const publishing: Publishing = {
      loads,
      stopped: polled.flatMap(it => it.stopped),
      passes: this.#passes(),
      isLast: false,
      before: tx => this.#quiet.prune(tx, loads),
    }
    const changed = new Set<string>()
    const pace = this.#pace.next(loads.length > 0)
    const shared = { ...this.#shared, ...pace, run: { ...this.#shared.run, asOfMicros: env.clock.nowMicros() } }
    const emit = noting(shared.emit, changed)
    const published = await publishAll(engine, { ...shared, emit }, publishing).catch((error: unknown) => {
      // The others go on.
      if (isNaruError(error) && streamFaults.includes(error.code) && publishing.passes.some(isStopped)) return null
      throw error
    })
    if (published === null) return false
    const { taken, firstLoads } = published
    env.crash('stream.tick.commit.after')
    this.#isDirty = true
    if (loads.length > 0 || publishing.passes.length > 0) {
      this.#failures = 0
      options.onPublished?.()
    }
    this.#isWaiting = pace.warehouse === 'later'
    this.#pace.done()
    for (const { poll } of done) poll.published()
    if (firstLoads.length > 0 || taken.some(it => it.changes.isWider)) this.#pace.failed()
    this.#counts.note(taken, env.clock.nowMicros())
    for (const it of polled) this.#counts.notePoll(it, env.clock.nowMicros())
    this.#quiet.note(
      loads,
      new Set(
        loads
          .map(({ table }) => table)
          .filter(it => changed.has(nodeId('staging', it.source, it.name)))
          .map(stagedName),
      ),
    )
    const wider = new Set(taken.flatMap(({ table, changes }) => (changes.isWider ? [table] : [])))
    for (const stream of this.#streams) if (stream.tables.some(it => wider.has(it))) this.#wider.add(stream)
    // The figures of a first load are those of its run, and stay.
    if (firstLoads.length > 0) this.#rotateAt = 0
    this.#tell()
    return true
  }

  /** A stream gives the columns that it was opened with: one that is to give more is opened anew. */
  async #reopen(stream: OpenStream): Promise<void> {
    const joining = this.#joining.get(stream)
    joining?.ending.abort(fail('CANCELLED', { what: `the first loads of source "${stream.def.source.name}"` }))
    await stream.close()
    await joining?.done
    this.#joining.delete(stream)
    this.#wider.delete(stream)
    const again = await openStream(this.#streamsGiven(), stream.def)
    this.#streams[this.#streams.indexOf(stream)] = again
    this.#join(again)
  }

  async #housekeeping(): Promise<void> {
    const { clock } = this.#given.open.env
    if (clock.monotonicMs() >= this.#rotateAt) await this.#rotate()
    if (this.#isDue()) await this.#checkpoint()
  }

  async #rotate(): Promise<void> {
    const { engine, open } = this.#given
    const { env } = open
    this.#rotateAt = env.clock.monotonicMs() + runMs
    const began = { nowMicros: env.clock.nowMicros(), host: env.processes.host, pid: env.processes.pid, isLive: true }
    const run = await engine.transaction(this.#shared.signal, async tx => {
      await endRun(tx, this.#shared.run, began.nowMicros)
      return beginRun(tx, began)
    })
    this.#shared = { ...this.#shared, run }
  }

  /** What the main file holds may be forgotten by the topics. */
  async #checkpoint(): Promise<void> {
    this.#checkpointAt = this.#given.open.env.clock.monotonicMs() + checkpointMs
    if (!this.#isDirty) return
    this.#isDirty = false
    this.#isDirty = (await this.#given.engine.checkpoint(compactMs)) === 'held'
    this.#given.open.env.crash('run.checkpoint.after')
    if (this.#isDirty) return // readers of this process keep it from the file: with the next one
    for (const stream of this.#streams) await keepPlaces(stream, this.#given.open)
  }

  #tell(): void {
    this.#given.options.onStatus?.(this.status())
  }

  #pollSource(poll: Poll): LiveSource {
    return pollSource(poll, { isPaused: this.#lags.isPaused(poll.source.name), disk: this.#diskTrouble })
  }

  status(): LiveStatus {
    return {
      sources: [
        ...this.#streams.map(stream => streamSource(stream, this.#lags)),
        ...this.#polls.map(poll => this.#pollSource(poll)),
      ],
      tables: [
        ...this.#streams.flatMap(stream => streamTables(stream, this.#counts, this.#lags)),
        ...this.#polls.flatMap(poll => polledTables(poll, this.#counts)),
      ],
    }
  }
}

function isStopped({ tables }: Pass): boolean {
  return tables.some(table => table.stopped !== null)
}

/** Notes the nodes of which a row came, changed or went. */
function noting(emit: Emit, changed: Set<string>): Emit {
  return event => {
    if (event.kind === 'step' && event.state === 'end' && (event.rows ?? 0) > 0) changed.add(event.step)
    emit(event)
  }
}
