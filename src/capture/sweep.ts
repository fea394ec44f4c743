import type { DeletesDef } from '../config/model.ts'
import type { SourceView, TablePosition } from '../run/technique.ts'

/** True when the last comparison with the source is as long ago as the config allows, or there was none. */
export function sweepIsDue(deletes: DeletesDef, view: SourceView, position: TablePosition): boolean {
  if (deletes.kind === 'keep') return false
  if (position.sweptMicros === null) return true
  const agoMicros = view.takenAtMicros - position.sweptMicros
  // A clock that was put back would put off the next one for as long.
  return agoMicros < 0n || agoMicros >= BigInt(deletes.everyMs) * 1000n
}
