import type { TopicMessage } from '../contract.ts'
import { HEAD_BYTES } from './format.ts'
import type { Mark } from './marks.ts'
import { recentRecords, type Recent, type Segment, type SegmentReader } from './segment.ts'

/** What a reader reads: the files of a topic as they are at this moment. */
export interface ReadableLog {
  /** In order. */
  readonly segments: readonly Segment[]
  /** Number of the newest message that is on disk; -1 when there was none. */
  readonly newest: number
  /** What was written last, while it is in memory. */
  readonly recent: Recent | null
  openSegment(segment: Segment): Promise<SegmentReader | null>
  /** Called for each damage that a reader meets. */
  foundDamage(segment: Segment, at: number): Promise<void>
}

/** Messages that are not there any more. */
export interface Gap {
  readonly from: number
  readonly until: number
  readonly why: string
}

/** What a step of a reader met. */
export type Step =
  | { readonly kind: 'messages'; readonly messages: readonly TopicMessage[] }
  | { readonly kind: 'gap'; readonly gap: Gap }
  /** The place that it was to read from was never given by this log. */
  | { readonly kind: 'stranger' }
  /** Nothing more for now. */
  | { readonly kind: 'end' }

/** Reads a log in order from a message on. Belongs to one task. */
export class LogReader {
  readonly #log: ReadableLog
  /** The number that comes next. */
  #wanted: number
  #open: { readonly segment: Segment; readonly reader: SegmentReader } | null = null
  #at = HEAD_BYTES
  #why = 'its files are gone'
  #start: { readonly segment: Segment; readonly at: number } | null

  /** `start` spares the search for a message whose place is known. */
  constructor(log: ReadableLog, wanted: number, start: { readonly segment: Segment; readonly at: number } | null) {
    this.#log = log
    this.#wanted = wanted
    this.#start = start
  }

  /** Number of the message that comes next. */
  get wanted(): number {
    return this.#wanted
  }

  /** Where that message lies, when it follows in the file that is open. */
  get mark(): Mark | null {
    return this.#open === null ? null : { number: this.#wanted, segment: this.#open.segment, at: this.#at }
  }

  /** The next messages, of at most `bytes` unless the first is larger; never waits for one. After a gap it stands behind it. */
  async step(bytes: number): Promise<Step> {
    for (;;) {
      if (this.#wanted > this.#log.newest) return { kind: 'end' }
      const segment = this.#open?.segment ?? (await this.#enter(this.#first()))
      if (segment === null) return this.#gapUntil(this.#log.newest)
      const step = await this.#stepIn(segment, bytes)
      if (step !== null) return step
    }
  }

  async close(): Promise<void> {
    const open = this.#open
    this.#open = null
    await open?.reader.close()
  }

  async #stepIn(segment: Segment, bytes: number): Promise<Step | null> {
    const { reader } = this.#open as { readonly reader: SegmentReader }
    // Read once: the writer moves it.
    const end = segment.bytes
    if (this.#at >= end) return this.#leave(segment)
    const { recent } = this.#log
    const inMemory = recent?.segment === segment ? recentRecords(recent, this.#at, bytes) : null
    const { found, next } = inMemory ?? (await reader.read(this.#at, end, bytes))
    if (found.length === 0) {
      await this.#passDamage(segment, reader, end, next)
      return null
    }
    this.#at = next
    const from = found.findIndex(({ head }) => head.number >= this.#wanted)
    if (from < 0) return null
    const first = (found[from] as (typeof found)[0]).head.number
    if (first > this.#wanted) {
      // Read again behind the gap: the caller may not want to pass it.
      this.#at = (found[from] as (typeof found)[0]).at
      const strange = this.#isStranger(reader, first)
      if (strange) return { kind: 'stranger' }
      if (reader.head?.first !== first || reader.head.follows !== this.#wanted - 1) return this.#gapUntil(first - 1)
      this.#wanted = first
      return null
    }
    return this.#give(found.slice(from))
  }

  /** Numbers between `follows` and `first` were never given out: who stands there read another log. */
  #isStranger(reader: SegmentReader, first: number): boolean {
    const { head } = reader
    return head !== null && head.first === first && head.follows < this.#wanted - 1
  }

  #give(found: readonly { readonly head: { readonly number: number }; readonly message: TopicMessage }[]): Step {
    // Numbers are without a hole within a write, but damage may lie between two of the found only as a separate step.
    this.#wanted = (found.at(-1) as (typeof found)[0]).head.number + 1
    return { kind: 'messages', messages: found.map(it => it.message) }
  }

  #gapUntil(until: number): Step {
    const gap = { from: this.#wanted, until, why: this.#why }
    this.#wanted = until + 1
    this.#why = 'its files are gone'
    return { kind: 'gap', gap }
  }

  async #passDamage(segment: Segment, reader: SegmentReader, end: number, next: number): Promise<void> {
    this.#why = `${segment.file.replace(/^.*[\\/]/, '')} is damaged at byte ${this.#at}`
    await this.#log.foundDamage(segment, this.#at)
    // A sound head says where its record ends; otherwise the next one is searched.
    const from = next > this.#at ? next : this.#at + 8
    this.#at = await reader.search(from, end, { from: this.#wanted, until: this.#log.newest })
  }

  /** Goes to the next segment; `end` when there is none. */
  async #leave(segment: Segment): Promise<Step | null> {
    const after = this.#log.segments.find(it => it.first > segment.first)
    if (after === undefined)
      return this.#wanted <= this.#log.newest ? this.#gapUntil(this.#log.newest) : { kind: 'end' }
    await this.#enter(after)
    return null
  }

  async #enter(segment: Segment | undefined): Promise<Segment | null> {
    await this.close()
    if (segment === undefined) return null
    const reader = await this.#log.openSegment(segment)
    // Removed this moment: what comes behind it tells the gap.
    if (reader === null) return this.#enter(this.#log.segments.find(it => it.first > segment.first))
    this.#open = { segment, reader }
    this.#at = this.#start?.segment === segment ? this.#start.at : HEAD_BYTES
    this.#start = null
    return segment
  }

  /** The segment that has the wanted message, or would have it. */
  #first(): Segment | undefined {
    const { segments } = this.#log
    return segments.findLast(it => it.first <= this.#wanted) ?? segments[0]
  }
}
