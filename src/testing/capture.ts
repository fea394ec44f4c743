import os from 'node:os'
import type { ChangeSlice } from '../core/change-slice.ts'
import type {
  CapturedTable,
  CaptureRequest,
  Captures,
  ChangeStream,
  SchemaChange,
} from '../services/adapter/contract-capture.ts'
import { changesIn, type ChangeSeen } from './suite/changes.ts'

/** What a reading of a stream gave, up to a head. */
export interface ReadChanges {
  readonly changes: readonly ChangeSeen[]
  readonly schemas: readonly SchemaChange[]
  readonly slices: readonly Pick<ChangeSlice, 'position' | 'messages'>[]
  readonly position: string
}

/** Reads from a position up to a head, each time the newest unless given, and keeps nothing open. */
export async function readChanges(
  captures: Captures,
  tables: readonly CapturedTable[],
  from: string,
  more: Partial<CaptureRequest> & { readonly confirm?: boolean; readonly to?: string } = {},
): Promise<ReadChanges> {
  const signal = AbortSignal.timeout(60_000)
  const to = more.to ?? (await captures.head(signal))
  const stream = await captures.open({ tables, from, spillDir: os.tmpdir(), ...more }, signal)
  try {
    const read = await readUpTo(captures, stream, from, to)
    if (more.confirm === true) await stream.confirm(read.position)
    return read
  } finally {
    await stream.close()
  }
}

/** Reads an open stream up to a head. */
export async function readUpTo(
  captures: Captures,
  stream: ChangeStream,
  from: string,
  to: string,
): Promise<ReadChanges> {
  const [changes, schemas, slices] = [[] as ChangeSeen[], [] as SchemaChange[], [] as ReadChanges['slices'][number][]]
  let position = from
  while (captures.compare(position, to) < 0) {
    const next = await stream.next()
    if ('kind' in next) {
      schemas.push(next)
      continue
    }
    changes.push(...changesIn(next))
    slices.push({ position: next.position, messages: next.messages })
    position = next.position ?? position
  }
  return { changes, schemas, slices, position }
}
