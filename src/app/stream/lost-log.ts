import { fail, isNaruError, type NaruError } from '../../core/errors.ts'
import type { StreamPlace } from '../../run/streams.ts'
import type { Topic } from '../../services/bus/contract.ts'
import { decodeHead } from './message.ts'
import { topicOf, type StreamDef } from './streams.ts'

/** A table with its place, as it is compared with the durable log. */
interface Placed {
  readonly at: StreamPlace | null
}

/**
 * Why tables cannot be read on from the durable log of their stream; `null` when they can. It is another one, or an older
 * copy that ends before where they are: new messages would get numbers that they passed long ago. Or it lacks what comes next.
 */
export async function lostLog(
  topic: Pick<Topic, 'last' | 'compare'> | null,
  { def, tables }: { readonly def: StreamDef; readonly tables: readonly Placed[] },
): Promise<NaruError | null> {
  const last = (await topic?.last()) ?? null
  const problemOf = ({ log, place }: StreamPlace): string | null => {
    if (topic === null || last === null) return 'is gone'
    const head = decodeHead(last.value)
    if (log !== head.log) return 'is another one'
    return isAhead(topic, place, last.position) ? `is an older copy: it ends at ${head.goesOn}` : null
  }
  for (const at of tables.flatMap(it => it.at ?? [])) {
    const problem = problemOf(at)
    if (problem === null) continue
    const position = at.sourcePosition ?? at.place
    return fail('STREAM_LOG_GONE', { source: def.source.name, topic: topicOf(def), position, problem })
  }
  return null
}

function isAhead(topic: Pick<Topic, 'compare'>, place: string, last: string): boolean {
  try {
    return topic.compare(place, last) > 0
  } catch (error) {
    if (isNaruError(error, 'BUS_POSITION')) return true
    throw error
  }
}
