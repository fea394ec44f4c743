import type { Emit } from '../../core/events.ts'
import type { Engine } from '../../services/engine/contract.ts'
import type { OpenProject } from '../project.ts'
import type { Pace, PublishedAll } from '../publish.ts'
import { releaseTopic } from './session.ts'
import type { Pass } from './tick.ts'

/** What the steps of a run came to. */
export interface StepSums {
  rowsRead: number
  rowsStaged: number
  rowsMoved: number
  /** From the first statement of each step until the engine had it in its main file. */
  ms: number
}

/** The publishes of a run before the one that ends it. */
export interface RunSteps {
  readonly sums: Readonly<StepSums>
  /** Publishes what the pass takes, and lets the topic go of it where the main file has it. */
  take(pass: Pass): Promise<void>
  /** Tells each step of the graph once, with what it did in all publishes of the run: for the last of them. */
  adding(emit: Emit): Emit
}

/** Publishes the backlog of a run piece by piece: see `drainStream`. */
export function stepsOf(
  open: OpenProject,
  engine: Engine,
  given: {
    readonly emit: Emit
    readonly publish: (pass: Pass, pace: Pace & { readonly emit: Emit }) => Promise<PublishedAll>
  },
): RunSteps {
  const { env } = open
  const sums = { rowsRead: 0, rowsStaged: 0, rowsMoved: 0, ms: 0 }
  const told = new Map<string, { ms: number; rows: number }>()
  const checked = new Set<string>()
  const rowsOf = new Map<string, number>()
  const emit: Emit = event => {
    if (event.kind !== 'step' || event.state === 'begin' || event.rows === undefined) return given.emit(event)
    const before = told.get(event.step) ?? { ms: 0, rows: 0 }
    told.set(event.step, { ms: before.ms + (event.ms ?? 0), rows: before.rows + event.rows })
    given.emit({ ...event, rows: 0 })
  }
  const pace = { checked, controls: 'changes', warehouse: 'later', figures: 'sum', emit } as const
  return {
    sums,
    take: async pass => {
      const beganMs = env.clock.monotonicMs()
      const { taken, rowsStaged, rowsMoved } = await given.publish(pass, pace)
      env.crash('stream.tick.commit.after')
      const name = pass.stream.def.source.name
      const came = taken.reduce((rows, { changes }) => rows + changes.rows, 0)
      const done = (rowsOf.get(name) ?? 0) + came
      rowsOf.set(name, done)
      sums.rowsRead += came
      sums.rowsStaged += rowsStaged
      sums.rowsMoved += rowsMoved
      // Space of deleted rows is given back once, at the end.
      if ((await engine.checkpoint(0)) === 'done') await releaseTopic(pass.stream, open)
      sums.ms += env.clock.monotonicMs() - beganMs
      given.emit({ kind: 'rows', step: `changes of ${name}`, done, total: null, bytes: 0 })
    },
    adding: to => event => {
      const before = event.kind === 'step' && event.state === 'end' ? told.get(event.step) : undefined
      if (event.kind !== 'step' || before === undefined) return to(event)
      to({ ...event, ms: (event.ms ?? 0) + before.ms, rows: (event.rows ?? 0) + before.rows })
    },
  }
}
