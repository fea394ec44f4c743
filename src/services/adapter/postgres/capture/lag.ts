import type { CaptureLag } from '../../contract-capture.ts'
import type { SlotState } from './slot.ts'

/** What the server keeps for a slot. */
export function lagOf(name: string, slot: SlotState | null): CaptureLag {
  return {
    bytes: slot?.behindBytes ?? null,
    bytesLeft: slot?.safeBytes ?? null,
    trouble: troubleOf(`the replication slot "${name}"`, slot),
    isLost: slot === null || slot.status === 'lost',
    kept: slot?.keptBytes ?? null,
  }
}

function troubleOf(name: string, slot: SlotState | null): string | null {
  if (slot === null) return `${name} is gone`
  if (slot.status === 'lost') return `${name} has lost log that it needs (wal_status lost)`
  if (slot.status === 'unreserved')
    return `${name} holds more log than the server allows and is about to be lost (wal_status unreserved)`
  return null
}
