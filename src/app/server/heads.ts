import type { Adapter } from '../../services/adapter/contract.ts'
import type { Captures } from '../../services/adapter/contract-capture.ts'
import { withDeadline } from '../../core/env.ts'
import { openSource } from '../extract.ts'
import type { OpenProject } from '../project.ts'
import { streamsOf, type StreamDef } from '../stream/streams.ts'
import type { SourceHead } from './watchdog.ts'

/** Longest wait for a source to say where it is. */
const HEAD_MS_MAX = 10_000

/** Asks the sources of streams where they are, over connections that the loop knows nothing of. */
export interface Heads {
  /** Of the sources that answer: one that does not is no stall, and the loop tells of it. */
  now(): Promise<readonly SourceHead[]>
  close(): Promise<void>
}

/** Connects at the first question, and again after a source was away. */
export function openHeads(open: OpenProject, signal: AbortSignal): Heads {
  const adapters = new Map<string, Adapter>()
  const streams = streamsOf(open.project.sources)
  const headOf = async ({ source, technique }: StreamDef): Promise<SourceHead | null> => {
    try {
      const adapter = adapters.get(source.name) ?? (await openSource(open, source))
      adapters.set(source.name, adapter)
      const captures: Captures | undefined = adapter.captures?.[technique]
      if (captures === undefined) return null
      const limit = { what: `source "${source.name}"`, ms: HEAD_MS_MAX, signal }
      const head = await withDeadline(open.env, limit, until => captures.head(until))
      return { source: source.name, technique, head, compare: (a, b) => captures.compare(a, b) }
    } catch {
      // The loop meets the same and tells of it; here it only means that nothing is known.
      const adapter = adapters.get(source.name)
      adapters.delete(source.name)
      await adapter?.close().catch(() => {})
      return null
    }
  }
  return {
    now: async () => {
      const heads: SourceHead[] = []
      for (const stream of streams) {
        const head = await headOf(stream)
        if (head !== null) heads.push(head)
      }
      return heads
    },
    close: async () => {
      for (const adapter of adapters.values()) await adapter.close().catch(() => {})
    },
  }
}
