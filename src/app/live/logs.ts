import type { Env } from '../../core/env.ts'
import { fail } from '../../core/errors.ts'
import type { Bus } from '../../services/bus/contract.ts'
import type { OpenStream } from '../stream/session.ts'

/** How often it is looked whether the durable log is still there. */
const lookMs = 2_000

/**
 * Stops a stream whose durable log somebody removed: what is written into files that are gone is lost with them, and must not be
 * confirmed to the source. `onGone` is called after each. Ends with the signal; never throws.
 */
export async function keepLooking(given: {
  readonly env: Env
  readonly bus: Bus
  readonly signal: AbortSignal
  readonly streams: () => readonly OpenStream[]
  readonly onGone: () => void
}): Promise<void> {
  const { env, bus, signal, streams, onGone } = given
  while (!signal.aborted) {
    await env.clock.sleep(lookMs, signal).catch(() => {})
    // What cannot be looked at is met by who reads or writes it, and told there.
    const there = await bus.topics().catch(() => null)
    if (there === null || signal.aborted) continue
    for (const stream of streams()) {
      if (there.includes(stream.topic.name) || stream.reader.status().state === 'stopped') continue
      await stopFor(stream)
      onGone()
    }
  }
}

async function stopFor({ def, topic, tables, reader }: OpenStream): Promise<void> {
  const at = tables.find(it => it.at !== null)?.at
  const position = at?.sourcePosition ?? at?.place ?? 'its beginning'
  const error = fail('STREAM_LOG_GONE', { source: def.source.name, topic: topic.name, position, problem: 'is gone' })
  for (const table of tables) table.stopped = error
  await reader.stop(error)
}
