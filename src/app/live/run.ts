import { beginRun, endRun } from '../../run/journal.ts'
import type { RunContext } from '../../run/context.ts'
import type { Engine, Transaction } from '../../services/engine/contract.ts'

/** Ticks share a run this long: control tables get rows for each run, not for each tick. */
const runMs = 3_600_000

/** The run that the ticks of a session belong to: another one every hour. */
export class LiveRun {
  readonly #engine: Engine
  #shared: RunContext
  #rotateAt: number
  #isEnded = false

  constructor(engine: Engine, shared: RunContext) {
    this.#engine = engine
    this.#shared = shared
    this.#rotateAt = shared.env.clock.monotonicMs() + runMs
  }

  /** What stages are given in it. */
  get shared(): RunContext {
    return this.#shared
  }

  /** The figures of what was published last are those of the run, and stay: the next tick is of another one. */
  keepFigures(): void {
    this.#rotateAt = 0
  }

  /** Begins another one when it is time. */
  async rotate(): Promise<void> {
    if (this.#shared.env.clock.monotonicMs() >= this.#rotateAt) await this.renew()
  }

  /** Ends it where it goes on, and begins another one. */
  async renew(): Promise<void> {
    const { env, signal } = this.#shared
    this.#rotateAt = env.clock.monotonicMs() + runMs
    const began = { nowMicros: env.clock.nowMicros(), host: env.processes.host, pid: env.processes.pid, isLive: true }
    await this.end()
    const run = await this.#engine.transaction(signal, tx => beginRun(tx, began))
    this.#shared = { ...this.#shared, run }
    this.#isEnded = false
  }

  /** Ends it: the session does, or another run comes in between. */
  async end(before?: (tx: Transaction) => Promise<void>): Promise<void> {
    if (this.#isEnded) return
    const { env, run } = this.#shared
    await this.#engine.transaction(new AbortController().signal, async tx => {
      await before?.(tx)
      await endRun(tx, run, env.clock.nowMicros())
    })
    this.#isEnded = true
  }
}
