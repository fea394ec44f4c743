import { follow, type Followed } from '../services/adapter/conformance-capture-support.ts'
import type { CapturedTable, CaptureRequest, Captures } from '../services/adapter/contract-capture.ts'
import { never } from './engine.ts'
import { makeSpillDir } from './spill.ts'

/** A stream that is opened to be read up to a head: the newest one, unless `to` is given. */
export type ReadRequest = Partial<CaptureRequest> & {
  readonly tables: readonly CapturedTable[]
  readonly from: string
  readonly to?: string
  readonly confirms?: boolean
}

/** Opens a stream, reads it up to a head, confirms nothing unless told to, and keeps nothing open. Only tests use it. */
export async function readFrom(
  captures: Captures,
  { to, confirms = false, ...request }: ReadRequest,
): Promise<Followed & { readonly position: string }> {
  const head = to ?? (await captures.head(never))
  const none = { slices: [], schemas: [], events: [], rejects: [], position: request.from }
  const stream = await captures.open({ spillDir: await makeSpillDir(), ...request }, never)
  try {
    if (captures.compare(request.from, head) >= 0) return none
    const came = await follow(captures, stream, head, { confirms })
    return { ...came, position: came.position ?? request.from }
  } finally {
    await stream.close()
  }
}
