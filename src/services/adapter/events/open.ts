import { rejectMessage } from '../../../core/change-reject.ts'
import type { ChangeSlice } from '../../../core/change-slice.ts'
import type { Env } from '../../../core/env.ts'
import { fail, messageOf } from '../../../core/errors.ts'
import { EventChanges } from '../../../systems/cells/json-change.ts'
import { eventCan } from '../change-events.ts'
import type { OpenAdapter } from '../contract.ts'
import { captureDefaults, type Captures, type CaptureRequest, type ChangeStream } from '../contract-capture.ts'
import { Keys, lastNumber, type EventNumber } from './keys.ts'
import { Receiver, Refusals, type Arrived, type Taken } from './receiver.ts'
import { targetOf, type Target } from './target.ts'

/** A sign of life comes after so long without an event. */
const QUIET_MS = 5_000
/** Bounds of a slice. */
const SLICE_EVENTS = 1_000

/** Opens the adapter; it listens once its stream is opened. */
export const openAdapter: OpenAdapter = async given => {
  const target = targetOf(given)
  return { kind: 'events', captures: { event: capturesOf(given.env, target) }, close: async () => {} }
}

function capturesOf(env: Env, target: Target): Captures {
  const refusals = new Refusals()
  return {
    can: eventCan,
    inspect: async tables =>
      tables
        .filter(it => it.key.length === 0)
        .map(it => ({
          table: it.name,
          text: 'it has no key, which every event names',
          fix: 'Name a key in the schema module.',
          isFatal: true,
        })),
    install: async () => positionOf(0),
    script: () => ({ install: [], remove: [] }),
    remove: () => env.files.rm(target.keysFile, { force: true }),
    head: async () => positionOf(await lastNumber(env, target.keysFile)),
    compare: (a, b) => (a < b ? -1 : a > b ? 1 : 0),
    refused: () => refusals.all(),
    open: (request, signal) => openStream(env, target, { request, signal, refusals }),
  }
}

async function openStream(
  env: Env,
  target: Target,
  {
    request,
    signal,
    refusals,
  }: { readonly request: CaptureRequest; readonly signal: AbortSignal; readonly refusals: Refusals },
): Promise<ChangeStream> {
  const keys = await Keys.open(env, target.keysFile, Number(request.from))
  const receiver = new Receiver(env, { target, tables: request.tables, keys, refusals })
  const events = new EventChanges(request.tables, target.maxEventBytes)
  const ending = new AbortController()
  const until = AbortSignal.any([signal, ending.signal])
  /** What was given in slices, by its last number, and waits to be in the log. */
  const given: { readonly last: EventNumber; readonly taken: readonly Taken[] }[] = []
  let number = keys.last
  // The place in the log is brought up to the newest number at once.
  let waitMs = 0

  try {
    await receiver.listen()
  } catch (error) {
    const address = `${target.host}:${target.port}`
    throw fail('SOURCE_UNREACHABLE', { source: target.source, address, problem: messageOf(error) }, { cause: error })
  }

  /** False when the keys could not be written: then nothing was taken. */
  const remember = async (taken: readonly Taken[]): Promise<boolean> => {
    const nowMs = Number(env.clock.nowMicros() / 1000n)
    try {
      await keys.expire(nowMs)
      if (taken.length === 0) return true
      await keys.add(
        taken.map(({ key }, i) => ({ key, number: number + i + 1 })),
        nowMs + target.rememberMs,
      )
      return true
    } catch {
      // Whoever sent them is told, and sends them again: the disk may have space by then.
      receiver.settle(taken, false)
      return false
    }
  }

  return {
    next: async () => {
      await receiver.arrival(waitMs, until)
      until.throwIfAborted()
      waitMs = request.lingerMs === undefined ? QUIET_MS : Math.max(QUIET_MS, request.lingerMs)
      const arrived = receiver.take({ events: SLICE_EVENTS, bytes: request.sliceBytes ?? captureDefaults.sliceBytes })
      // Also without them, so that whoever writes the log meets the same disk and says so.
      const taken = (await remember(arrived.taken)) ? arrived.taken : []
      number += taken.length
      given.push({ last: number, taken })
      return sliceOf({ ...arrived, taken }, { events, number, atMicros: env.clock.nowMicros() })
    },
    confirm: async position => {
      while (given[0] !== undefined && given[0].last <= Number(position))
        receiver.settle(given.shift()?.taken ?? [], true)
    },
    hold: isHeld => receiver.hold(isHeld),
    lag: async () => ({ bytes: null, bytesLeft: null, trouble: null }),
    close: async () => {
      ending.abort(fail('CANCELLED', { what: `the receiver of source "${target.source}"` }))
      await receiver.close()
    },
  }
}

/** Events in the order in which they were taken, each a transaction of its own. */
function sliceOf(
  { taken, refused }: Arrived,
  given: { readonly events: EventChanges; readonly number: EventNumber; readonly atMicros: bigint },
): ChangeSlice {
  const ends = taken.map(({ event }) => {
    given.events.add(event)
    return given.events.count
  })
  const { tables, messages } = given.events.take()
  const told = refused.map(({ table, detail, content }) =>
    rejectMessage(0, table, {
      reason: 'LINE_FIELD_MISSING',
      detail: `an event over HTTP that was refused: ${detail}`,
      key: null,
      line: null,
      bytes: content.length,
      content: content.toString('utf8', 0, 1000),
    }),
  )
  return {
    position: positionOf(given.number),
    committedMicros: taken.at(-1)?.atMicros ?? given.atMicros,
    tables,
    transactions: {
      ids: BigInt64Array.from(taken, () => 0n),
      ends: Uint32Array.from(ends),
      committedMicros: BigInt64Array.from(taken, it => it.atMicros),
    },
    messages: [...told, ...messages],
  }
}

function positionOf(number: EventNumber): string {
  return String(number).padStart(16, '0')
}
