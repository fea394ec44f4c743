import { fail } from '../../core/errors.ts'
import type { Emit, RunEvent } from '../../core/events.ts'
import { recycle } from '../../etl/cleansing/quarantine.ts'
import type { Engine } from '../../services/engine/contract.ts'
import type { Turns } from '../live/turns.ts'
import type { OpenProject } from '../project.ts'
import { fixIn, type FixedCell } from '../quarantine.ts'
import { resyncOn } from '../resync.ts'
import type { ResyncRequest } from '../resync/request.ts'
import { runOn, toldOutcome, type RunRequest } from '../run-project.ts'
import { undoOn, type UndoOptions } from '../undo.ts'
import type { Job } from './hand-over.ts'
import type { Duties } from './serve.ts'
import type { Channel, Message } from './wire.ts'

/** The duty of a server to do the work of other commands: their events go back to them, then the result. */
export function workDuty(
  open: OpenProject,
  engine: Engine,
  { turns, ending }: { readonly turns: Turns; readonly ending: AbortSignal },
): Duties[string] {
  return async (channel, request, asked) => {
    const signal = AbortSignal.any([asked, ending])
    const job = jobIn(request)
    let isSlow = false
    const emit: Emit = event => {
      // Progress is told to who keeps up; what is lost of it comes again in the next event.
      if (isSlow && event.kind === 'rows') return
      isSlow = true
      void sent(channel, event).finally(() => (isSlow = false))
    }
    const what = `${job.kind === 'fix' || job.kind === 'recycle' ? 'quarantine ' : ''}${job.kind}`
    const body = (): Promise<unknown> => doJob(open, engine, job, { emit, signal, turns })
    // One statement each, in a transaction of its own: nothing has to stand still for them. A resync asks for it when it has read.
    const isSmall = job.kind === 'fix' || job.kind === 'recycle' || job.kind === 'resync'
    const result = await (isSmall ? body() : turns.alone(`naru ${what}`, signal, body))
    await channel.send({ done: true, ...(result === undefined ? {} : { result }) })
  }
}

/** A peer that went away aborts the work by itself. */
async function sent(channel: Channel, event: RunEvent): Promise<void> {
  try {
    await channel.send({ event })
  } catch {
    return // nobody is there to be told
  }
}

function jobIn({ job }: Message): Job {
  const kinds = ['run', 'resync', 'undo', 'fix', 'recycle']
  if (typeof job === 'object' && job !== null && 'kind' in job && kinds.includes(String(job.kind))) return job as Job
  throw fail('SERVER_REQUEST', { problem: 'it holds no work that is known' })
}

function textsIn(value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every(it => typeof it === 'string')) return value
  throw fail('SERVER_REQUEST', { problem: '"selectors" is no list of names' })
}

async function doJob(
  open: OpenProject,
  engine: Engine,
  job: Job,
  given: { readonly emit: Emit; readonly signal: AbortSignal; readonly turns: Turns },
): Promise<unknown> {
  const { signal, emit, turns } = given
  switch (job.kind) {
    case 'run': {
      const { selectors, hashControls, chunkControls, range } = job as unknown as RunRequest
      return toldOutcome(
        await runOn(open, engine, {
          selectors: textsIn(selectors),
          hashControls: hashControls === true,
          chunkControls: chunkControls === true,
          ...(range === undefined ? {} : { range }),
          emit,
          signal,
        }),
      )
    }
    case 'resync': {
      const { selector, range, where, rejected } = job as unknown as ResyncRequest
      const part = { ...(range && { range }), ...(typeof where === 'string' && { where }), rejected: rejected === true }
      return resyncOn(open, engine, { selector: String(selector), ...part, emit, signal }, turns)
    }
    case 'undo': {
      const { load, cascade, keepPosition } = job as unknown as UndoOptions
      return undoOn(open, engine, {
        load: String(load),
        cascade: cascade === true,
        keepPosition: keepPosition === true,
        emit,
        signal,
      })
    }
    case 'fix':
      return engine.transaction(signal, tx => fixIn(tx, open, job['cell'] as FixedCell))
    case 'recycle': {
      const { entity, key } = job as { readonly entity?: string; readonly key?: string }
      return engine.transaction(signal, tx => recycle(tx, { entity, key }))
    }
  }
}
