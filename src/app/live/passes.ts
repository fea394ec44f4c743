import { isLive, type OpenStream, type StreamTable } from '../stream/session.ts'
import type { Pass } from '../stream/tick.ts'

/** About how many bytes of each topic a tick takes: what bounds its memory and its time. */
const tickBytes = 8 * 1024 * 1024
/** How often what a tick takes is doubled when stages refused it: what corrects a row may lie far behind it. */
const widerMax = 6

/**
 * What waits in the topics behind the tables that are live, and tables that become visible with it. Signs of life move the
 * places when there is something else to take, and with `takesAll`. `failures`: how often in a row stages refused what came.
 */
export function passesOf(
  streams: readonly OpenStream[],
  { takesAll, failures }: { readonly takesAll: boolean; readonly failures: number },
): readonly Pass[] {
  return streams.flatMap(stream => {
    const { complete, changed } = stream.reader.status()
    if (complete === null || changed === null) return []
    const tables = stream.tables.filter(table => table.stopped === null && (isLive(table) || isReady(table)))
    const wanted = takesAll ? complete : changed
    const isBehind = tables.some(table => isReady(table) || stream.topic.compare(table.at?.place ?? wanted, wanted) < 0)
    const bytes = tickBytes * 2 ** Math.min(failures, widerMax)
    return isBehind ? [{ stream, tables, upTo: complete, bytes }] : []
  })
}

/** It was read as a whole, and nobody sees it yet. */
function isReady({ extracted, isCaughtUp }: StreamTable): boolean {
  return extracted !== null && isCaughtUp
}
