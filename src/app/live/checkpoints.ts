import type { Emit } from '../../core/events.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { giveSpaceBack } from '../give-space-back.ts'
import type { OpenProject } from '../project.ts'
import { releaseTopic, type OpenStream } from '../stream/session.ts'
import { telling, ToldOnce } from '../told-once.ts'

/** How often the engine moves what is committed into its main file, and the topics let go of it. */
export const checkpointMs = 30_000
/** When it is tried again while readers keep it from the file, and are put aside. */
const heldMs = 2_000
/** Time after a checkpoint, in milliseconds, in which space is given back: the ticks wait for it. */
const compactMs = 200

/** The checkpoints of a session: only what the main file of the engine holds may be forgotten by the topics. */
export class Checkpoints {
  readonly #open: OpenProject
  readonly #engine: Engine
  readonly #given: { readonly emit: Emit; readonly signal: AbortSignal }
  #dueAt: number
  /** Something is committed that the main file may not hold. */
  #isDirty = false
  /** Why space was not given back: it is tried again with each checkpoint. */
  readonly #told = new ToldOnce()

  /** An end by the signal cuts short how long space is given back, and no checkpoint. */
  constructor(open: OpenProject, engine: Engine, given: { readonly emit: Emit; readonly signal: AbortSignal }) {
    this.#open = open
    this.#engine = engine
    this.#given = given
    this.#dueAt = this.#nowMs() + checkpointMs
  }

  /** Something was committed. */
  noteCommitted(): void {
    this.#isDirty = true
  }

  isDue(): boolean {
    return this.#nowMs() >= this.#dueAt
  }

  /** Makes one, unless nothing was committed since the last; the topics of the streams let go, and space is given back. */
  async make(streams: readonly OpenStream[]): Promise<void> {
    this.#dueAt = this.#nowMs() + checkpointMs
    if (!this.#isDirty) return
    this.#isDirty = false
    this.#isDirty = (await this.#engine.checkpoint(0)) === 'held'
    this.#open.env.crash('run.checkpoint.after')
    if (this.#isDirty) {
      this.#dueAt = this.#nowMs() + heldMs
      return
    }
    for (const stream of streams) await releaseTopic(stream, this.#open)
    const { emit, signal } = this.#given
    await giveSpaceBack(this.#engine, { emit: telling(emit, this.#told), signal, withinMs: compactMs })
    this.#told.endRound()
  }

  #nowMs(): number {
    return this.#open.env.clock.monotonicMs()
  }
}
