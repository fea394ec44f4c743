import { withDeadline, type Env } from '../../core/env.ts'
import type { OpenStream } from '../stream/session.ts'

/** Longest wait for what sources have changed since stages refused a tick. */
const readAheadMs = 5_000

/**
 * Waits until streams are read to where their sources are now: what stages refused may be corrected there, and without that the
 * same tick would fail for ever. Who cannot be reached says so by its own state, and is not waited for. Never throws.
 */
export async function readAhead(env: Env, streams: readonly OpenStream[], signal: AbortSignal): Promise<void> {
  const ahead = streams.map(async ({ captures, reader }) => {
    const limit = { what: 'a look at what the source has since', ms: readAheadMs, signal }
    await withDeadline(env, limit, async until => reader.reached(await captures.head(until), until))
  })
  await Promise.allSettled(ahead)
}
