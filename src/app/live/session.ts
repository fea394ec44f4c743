import { fail } from '../../core/errors.ts'
import { knownError } from '../../core/known-error.ts'
import type { RunContext } from '../../run/context.ts'
import type { Bus } from '../../services/bus/contract.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { noteStopped } from '../../run/stopped.ts'
import { diskWatch, type DiskLevel, type DiskWatch } from '../disk.ts'
import type { StoppedTable } from '../extract.ts'
import type { OpenProject } from '../project.ts'
import { publishAll, type Pace, type PublishedAll, type Publishing } from '../publish.ts'
import { interfaceOf } from '../run-frame.ts'
import { withoutStreams } from '../selection.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { InterfaceContext } from '../../etl/interface/index.ts'
import { keepComparing } from '../stream/compare-run.ts'
import { isLive, lostTables, openStream, type OpenStream, type StreamsGiven } from '../stream/session.ts'
import { streamsOf } from '../stream/streams.ts'
import { lostBy, type Pass } from '../stream/tick.ts'
import { troubleOf, type LiveTrouble } from '../stream/trouble.ts'
import { livePace, type LivePace } from './pace.ts'
import type { LiveOptions } from './run-live.ts'
import type { LiveSource, LiveStatus } from './status-types.ts'
import { checkpointMs, Checkpoints } from './checkpoints.ts'
import { FirstLoads } from './first-loads.ts'
import { Lags } from '../stream/lags.ts'
import { keepLooking } from './logs.ts'
import { passesOf } from './passes.ts'
import { pollMemory, pollOf, type Poll, type Polled } from './polls.ts'
import { noting, QuietPolls } from './prune.ts'
import { readAhead } from './read-ahead.ts'
import { RejectNotes, rejectsOf, type TickRejects } from './rejects.ts'
import { LiveRun } from './run.ts'
import type { SessionAtRest } from './turns.ts'
import { leftOf, LiveCounts, pollSource, polledTables, streamSource, streamedTables } from './status.ts'

/** Changes that come within it share a tick. */
const lingerMsDefault = 15
/** How often it is looked whether there is space on the disk again. */
const diskMs = 1_000

interface SessionGiven {
  readonly open: OpenProject
  readonly engine: Engine
  readonly bus: Bus
  readonly options: LiveOptions
  readonly shared: RunContext
}

/** What one tick carries, and what is found out in its transaction. */
interface Tick {
  readonly done: readonly { readonly poll: Poll; readonly found: Polled }[]
  readonly publishing: Publishing
  /** Of the transaction as it is, just before it commits. */
  rejects: readonly TickRejects[]
  /** Nodes of the graph of which a row came, changed or went. */
  readonly changed: Set<string>
}

/** One session of `runLive`: opened streams and polls, and the ticks that publish what they bring. */
export class LiveSession {
  readonly #given: SessionGiven
  readonly #streams: OpenStream[] = []
  readonly #polls: readonly Poll[]
  readonly #counts: LiveCounts
  readonly #quiet = new QuietPolls()
  readonly #lags = new Lags()
  readonly #disk: DiskWatch
  /** Why polls wait, while there is too little space. */
  #diskTrouble: LiveTrouble | null = null
  /** What goes on beside the ticks for as long as the session does. */
  readonly #watches: Promise<void>[] = []
  readonly #firstLoads: FirstLoads
  /** Streams that are to give columns which they were not opened with, or whose tables are to be read again. */
  readonly #wider = new Set<OpenStream>()
  /** Ends what goes on beside the ticks. */
  readonly #ending = new AbortController()
  readonly #run: LiveRun
  #wake: () => void = () => {}
  #isAwake = false
  #failed: unknown
  /** Sessions before this one that failed in a row; none once a tick with something of a source went well. */
  #failures: number
  readonly #checkpoints: Checkpoints
  /** Something waits for the warehouse. */
  #isWaiting = true
  /** How each tick goes about it. */
  readonly #pace: LivePace
  readonly #toldLost = new Set<SourceTableDef>()
  /** Ticks take signs of life as well, as they do before the topics are to let go. */
  #takesAll = false
  readonly #rejectNotes: RejectNotes

  constructor(given: SessionGiven) {
    const { open, engine, options, shared } = given
    this.#given = given
    this.#disk = diskWatch(open)
    this.#failures = options.failures ?? 0
    this.#counts = options.counts ?? new LiveCounts()
    const signal = AbortSignal.any([options.signal, this.#ending.signal])
    this.#run = new LiveRun(engine, { ...shared, signal })
    this.#pace = livePace(open.env.clock)
    this.#rejectNotes = new RejectNotes(open.env.clock)
    this.#checkpoints = new Checkpoints(open, engine, { emit: options.emit, signal })
    this.#firstLoads = new FirstLoads({
      streams: this.#streamsGiven(),
      reading: until => this.#reading(until),
      wider: this.#wider,
      onProgress: () => this.#awake(),
      onFailed: error => {
        this.#failed = error
        this.#awake()
      },
    })
    const memory = options.polls ?? pollMemory()
    const all = open.project.sources.map(source => ({ source, tables: source.tables }))
    this.#polls = withoutStreams(all).map(({ source, tables }) =>
      pollOf(open, { source, tables, memory, adapters: options.adapters, onDone: () => this.#awake() }),
    )
  }

  /** The run that ticks belong to now. */
  get shared(): RunContext {
    return this.#run.shared
  }

  /** Follows the sources until the signal ends it. Throws what a stage failed with. */
  async follow(): Promise<void> {
    const { open, options } = this.#given
    for (const def of streamsOf(open.project.sources)) this.#start(await openStream(this.#streamsGiven(), def))
    this.#watch()
    this.#tell()
    if (this.#failures > 0) await readAhead(open.env, this.#streams, this.shared.signal)
    const { signal } = options
    signal.addEventListener('abort', () => this.#awake(), { once: true })
    const leave = options.waiting?.onCome(() => this.#awake())
    try {
      while (!signal.aborted) await this.#turn()
    } catch (error) {
      // It begins anew, for which it needs space; until then the streams stay, and answer who sends to them.
      if (knownError(error).code === 'DISK_FULL')
        while (!signal.aborted && (await this.#lookAtDisk()) !== 'well')
          await open.env.clock.sleep(diskMs, signal).catch(() => {})
      throw error
    } finally {
      leave?.()
    }
  }

  async #turn(): Promise<void> {
    const { open, options } = this.#given
    const { signal } = options
    const level = await this.#lookAtDisk()
    if (level === 'well') this.#beginPolls()
    if (level !== 'full') await options.waiting?.work(this.#atRest)
    this.#throwFailure()
    if (level !== 'full' && this.#hasWork()) {
      await open.env.clock.sleep(options.lingerMs ?? lingerMsDefault, signal).catch(() => {})
      if (!signal.aborted) await this.#tick()
    } else {
      await (level === 'well' ? this.#sleep() : open.env.clock.sleep(diskMs, signal).catch(() => {}))
    }
    this.#throwFailure()
    if (level === 'full') return
    for (const stream of this.#wider) await this.#reopen(stream)
    await this.#housekeeping()
  }

  #throwFailure(): void {
    if (this.#failed !== undefined) throw this.#failed
  }

  /** Ends readers and polls, the run unless it failed, and leaves a checkpoint. Never throws. */
  async close(failed: unknown): Promise<void> {
    const { project } = this.#given.open
    const left = leftOf(this.#streams)
    this.#ending.abort(fail('CANCELLED', { what: 'the session' }))
    for (const stream of this.#streams) await stream.close()
    await Promise.allSettled([...this.#watches, this.#firstLoads.idle(), ...this.#polls.map(poll => poll.idle())])
    try {
      const { run } = this.shared
      if (failed === null) await this.#run.end(tx => noteStopped(tx, { project, run }, left))
      await this.#checkpoints.make(this.#streams)
    } catch (error) {
      const text = `the end of run ${this.shared.run.id} could not be recorded: ${knownError(error).message}`
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
    const { open, engine, bus, options } = this.#given
    const { signal } = this.shared
    const [env, emit, streams] = [open.env, options.emit, () => this.#streams]
    const context = (): InterfaceContext => this.#reading()
    this.#watches.push(
      this.#lags.keepAsking({ env, emit, signal, streams, onFound: () => this.#tell() }),
      keepLooking({ env, bus, signal, streams, onGone: () => this.#tell() }),
      keepComparing({ env, engine, signal, context, streams }),
    )
  }

  /** What reads of tables are given: they wait while the guard pauses their source. */
  #reading(signal: AbortSignal = this.shared.signal): InterfaceContext {
    const isPaused = (source: string): boolean => this.#lags.isPaused(source)
    return { ...interfaceOf(this.#given.engine, { ...this.shared, signal }, false), isPaused }
  }

  #streamsGiven(): StreamsGiven {
    const { open, engine, bus, options } = this.#given
    const { signal } = this.shared
    return { open, engine, bus, emit: options.emit, signal, adapters: options.adapters, disk: this.#disk }
  }

  #start(stream: OpenStream): void {
    this.#streams.push(stream)
    this.#join(stream)
  }

  #join(stream: OpenStream): void {
    stream.reader.onChange(() => this.#awake())
    this.#firstLoads.begin(stream)
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
    return (
      isWarehouseDue ||
      this.#passes().length > 0 ||
      this.#untold().length > 0 ||
      this.#polls.some(poll => poll.isDone())
    )
  }

  /** Tables that their source gives no changes of any more, until a tick has noted them. */
  #untold(): readonly StoppedTable[] {
    return this.#streams.flatMap(lostTables).filter(({ table }) => !this.#toldLost.has(table))
  }

  #passes(): readonly Pass[] {
    return passesOf(this.#streams, { takesAll: this.#takesAll || this.#checkpoints.isDue(), failures: this.#failures })
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
  async #publish(done: Tick['done']): Promise<boolean> {
    const { open, engine } = this.#given
    const tick = this.#tickOf(done)
    const pace = this.#pace.next(tick.publishing.loads.length > 0)
    const run = { ...this.shared.run, asOfMicros: open.env.clock.nowMicros() }
    const shared = { ...this.shared, ...pace, run, emit: noting(this.shared.emit, tick.changed) }
    const published = await publishAll(engine, shared, tick.publishing).catch((error: unknown) => {
      // The others go on.
      if (lostBy(error, tick.publishing.passes).length > 0) return null
      throw error
    })
    if (published === null) return false
    this.#noteCommitted(tick, published, pace)
    return true
  }

  /** What a tick that begins now carries, of the streams as they are at this moment. */
  #tickOf(done: Tick['done']): Tick {
    const polled = done.map(it => it.found)
    const loads = polled.flatMap(it => it.loads)
    const publishing: Publishing = {
      loads,
      stopped: [...polled.flatMap(it => it.stopped), ...this.#untold()],
      passes: this.#passes(),
      isLast: false,
      before: tx => this.#quiet.prune(tx, loads),
      after: async (tx, taken) => {
        tick.rejects = await rejectsOf(tx, { run: this.shared.run.id, loads, taken })
      },
    }
    const tick: Tick = { done, publishing, rejects: [], changed: new Set() }
    return tick
  }

  /**
   * What the session knows follows the commit, and waits for nothing: no end from outside comes in between. Whatever a crash here
   * loses is found again in the engine and in the topics.
   */
  #noteCommitted(tick: Tick, published: PublishedAll, pace: Pace): void {
    const { open, options } = this.#given
    const { publishing, rejects } = tick
    this.#rejectNotes.tell(rejects, options.emit)
    for (const { table } of publishing.stopped) this.#toldLost.add(table)
    open.env.crash('stream.tick.commit.after')
    this.#checkpoints.noteCommitted()
    if (publishing.loads.length > 0 || publishing.passes.length > 0) {
      this.#failures = 0
      options.onPublished?.()
    }
    this.#notePace(published, pace)
    this.#noteTables(tick, published)
    this.#tell()
  }

  #notePace({ taken, firstLoads }: PublishedAll, pace: Pace): void {
    this.#isWaiting = pace.warehouse === 'later'
    this.#pace.done()
    if (firstLoads.length > 0 || taken.some(it => it.changes.needsReload)) this.#pace.failed()
    if (firstLoads.length > 0) this.#run.keepFigures()
  }

  #noteTables({ done, publishing, changed }: Tick, { taken }: PublishedAll): void {
    const nowMicros = this.#given.open.env.clock.nowMicros()
    this.#counts.note(taken, nowMicros)
    for (const { poll, found } of done) {
      poll.published()
      this.#counts.notePoll(found, nowMicros)
    }
    this.#quiet.note(publishing.loads, changed)
    const wider = new Set(taken.flatMap(({ table, changes }) => (changes.needsReload ? [table] : [])))
    for (const stream of this.#streams) if (stream.tables.some(it => wider.has(it))) this.#wider.add(stream)
  }

  /** A stream gives the columns that it was opened with: one that is to give more is opened anew. */
  async #reopen(stream: OpenStream): Promise<void> {
    const loadsEnded = this.#firstLoads.end(stream)
    await stream.close()
    await loadsEnded()
    this.#wider.delete(stream)
    const again = await openStream(this.#streamsGiven(), stream.def)
    this.#streams[this.#streams.indexOf(stream)] = again
    this.#join(again)
  }

  /** As the work of other commands finds it between two ticks. */
  get #atRest(): SessionAtRest {
    return {
      streams: this.#streams,
      reach: (stream, to) => this.#reach(stream, to),
      betweenRuns: async work => {
        await this.#run.end()
        try {
          return await work()
        } finally {
          // What was done is done, whatever becomes of the session.
          await this.#run.renew().catch((error: unknown) => (this.#failed = error))
          this.#pace.changed()
          this.#checkpoints.noteCommitted()
        }
      },
    }
  }

  async #reach({ topic }: OpenStream, { table, place }: Parameters<SessionAtRest['reach']>[1]): Promise<boolean> {
    const isThere = (): boolean => table.at !== null && topic.compare(table.at.place, place) >= 0
    this.#takesAll = true
    try {
      while (isLive(table) && !isThere()) await this.#tick()
    } catch (error) {
      this.#failed = error
      if (!this.shared.signal.aborted) throw error
    } finally {
      this.#takesAll = false
    }
    return isThere()
  }

  async #housekeeping(): Promise<void> {
    await this.#run.rotate()
    if (this.#checkpoints.isDue()) await this.#checkpoints.make(this.#streams)
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
        ...this.#streams.flatMap(stream => streamedTables(stream, this.#counts, this.#lags)),
        ...this.#polls.flatMap(poll => polledTables(poll, this.#counts)),
      ],
    }
  }
}
