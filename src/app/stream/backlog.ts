import type { OpenProject } from '../project.ts'
import type { Topic } from '../../services/bus/contract.ts'
import type { PublishedAll } from '../run-project.ts'
import { isLive, keepPlaces } from './session.ts'
import type { Pass } from './tick.ts'

/** About how many bytes of a topic one transaction of a run takes: what bounds its memory. */
const stepBytesDefault = 32 * 1024 * 1024
/** Bytes that are read at once to see how much waits. */
const readBytes = 4 * 1024 * 1024

/**
 * Takes what waits in the topics down to what one transaction holds: in steps of whole transactions of the source, for the tables
 * that are visible. The ODS follows step by step; the warehouse takes all of it with the publish that ends the run.
 */
export async function takeBacklog(
  passes: readonly Pass[],
  {
    open,
    signal,
    stepBytes = stepBytesDefault,
  }: { readonly open: OpenProject; readonly signal: AbortSignal; readonly stepBytes?: number | undefined },
  publish: (pass: Pass) => Promise<PublishedAll>,
): Promise<{ readonly rowsRead: number; readonly rowsStaged: number; readonly rowsMoved: number }> {
  const sum = { rowsRead: 0, rowsStaged: 0, rowsMoved: 0 }
  for (const pass of passes) {
    for (;;) {
      const tables = pass.tables.filter(isLive)
      if (!(await isMore({ ...pass, tables, bytes: stepBytes }, signal))) break
      const { taken, rowsStaged, rowsMoved } = await publish({ ...pass, tables, bytes: stepBytes })
      sum.rowsRead += taken.reduce((rows, { changes }) => rows + changes.rows, 0)
      sum.rowsStaged += rowsStaged
      sum.rowsMoved += rowsMoved
      await keepPlaces(pass.stream, open)
    }
  }
  return sum
}

/** True when more waits than the pass takes. */
async function isMore({ stream, tables, upTo, bytes }: Pass, signal: AbortSignal): Promise<boolean> {
  const { topic } = stream
  const places = tables.flatMap(({ at }) => (at === null ? [] : [at.place]))
  const [first] = places.toSorted((a, b) => topic.compare(a, b))
  return first !== undefined && topic.compare(first, upTo) < 0 && isBehind(topic, { first, upTo, bytes, signal })
}

async function isBehind(
  topic: Topic,
  given: { readonly first: string; readonly upTo: string; readonly bytes: number; readonly signal: AbortSignal },
): Promise<boolean> {
  const leaving = new AbortController()
  let found = 0
  try {
    const until = AbortSignal.any([given.signal, leaving.signal])
    for await (const messages of topic.read(given.first, { bytes: readBytes, signal: until })) {
      for (const { position, value } of messages) {
        found += value.byteLength
        if (topic.compare(position, given.upTo) >= 0) return found > given.bytes
      }
      if (found > given.bytes) return true
    }
  } finally {
    leaving.abort()
  }
  return false
}
