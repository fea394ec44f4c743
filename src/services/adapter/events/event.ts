import { isUtf8 } from 'node:buffer'
import { createHmac, timingSafeEqual } from 'node:crypto'
import { rejectOf, unknownOf } from '../../../core/change-reject.ts'
import { EventChanges, type JsonEvent } from '../../../systems/cells/json-change.ts'
import { eachMember, JsonFault, kindOf, textBytes, wholeValue, type Slice } from '../../../systems/cells/json-scan.ts'
import type { CapturedTable } from '../contract-capture.ts'

/** Why a request is not taken: a status of HTTP, and what the sender is told. Never a secret. */
export class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** What is signed: time in seconds, idempotency key and body, each on a line of its own. */
export function signatureOf(secret: string, seconds: string, key: string, body: Uint8Array): Buffer {
  return createHmac('sha256', secret).update(`${seconds}\n${key}\n`).update(body).digest()
}

/** What stands around the body of a request. */
export interface Signed {
  readonly signature: string | undefined
  readonly key: string | undefined
  readonly body: Uint8Array
}

/** The idempotency key of a request whose signature is right and of now. Throws `Refusal`. */
export function checkSigned(
  { signature, key, body }: Signed,
  given: { readonly secret: string; readonly replayMs: number; readonly nowMs: number },
): string {
  const [, seconds, hex] = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(signature ?? '') ?? []
  if (seconds === undefined || hex === undefined)
    throw new Refusal(401, 'the header naru-signature is t=SECONDS,v1=HEX of HMAC-SHA256')
  if (key === undefined || !/^[!-~]{1,200}$/.test(key))
    throw new Refusal(400, 'the header idempotency-key is 1 to 200 printable characters of ASCII')
  if (!timingSafeEqual(signatureOf(given.secret, seconds, key, body), Buffer.from(hex, 'hex')))
    throw new Refusal(401, 'the signature is not that of time, idempotency key and body')
  if (Math.abs(given.nowMs - Number(seconds) * 1000) > given.replayMs)
    throw new Refusal(401, `the signature is not of the last ${given.replayMs / 1000} s`)
  return key
}

const members: readonly string[] = ['table', 'op', 'key', 'row']

/** The event in a body: its key and row stay the bytes that came. Throws `Refusal`. */
export function eventIn(body: Uint8Array, place: string): JsonEvent {
  try {
    if (!isUtf8(body)) throw new Refusal(422, 'the body is no UTF-8')
    const whole = wholeValue(body)
    if (kindOf(body, whole) !== 'object') throw new Refusal(422, 'the body is no JSON object')
    const found = new Map<string, Slice>()
    eachMember(body, whole.start, (name, value) => {
      const text = Buffer.from(textBytes(body, name) ?? []).toString('utf8')
      if (!members.includes(text))
        throw new Refusal(422, `the event has a member that is none of ${members.join(', ')}`)
      if (found.has(text)) throw new Refusal(422, `the event has two members "${text}"`)
      found.set(text, value)
    })
    return {
      table: textIn(body, found, 'table'),
      op: textIn(body, found, 'op'),
      key: bytesIn(body, found.get('key')),
      row: bytesIn(body, found.get('row')),
      place,
    }
  } catch (error) {
    if (error instanceof JsonFault) throw new Refusal(422, `the body is no JSON: ${error.message}`)
    throw error
  }
}

/** Why the declared columns do not take an event; `null` when they do. */
export function misfitOf(
  event: JsonEvent,
  tables: readonly CapturedTable[],
  bytesMax: number,
): { readonly table: string | null; readonly detail: string } | null {
  // One of its own, so that what is wrong is this event and what is unknown is told each time.
  const trial = new EventChanges(
    tables.filter(({ name, remote }) => name === event.table || remote === event.table),
    bytesMax,
  )
  trial.add(event)
  for (const message of trial.take().messages) {
    const reject = rejectOf(message)
    if (reject !== null) return { table: reject.table, detail: reject.reject.detail }
    const unknown = unknownOf(message)
    if (unknown === null) continue
    if (unknown.column === null) return { table: null, detail: 'no table of this name is received' }
    return {
      table: unknown.table,
      detail: `it has a member ${JSON.stringify(unknown.column.slice(0, 100))} that is no column`,
    }
  }
  return null
}

function textIn(body: Uint8Array, found: ReadonlyMap<string, Slice>, name: string): string {
  const value = found.get(name)
  if (value === undefined || kindOf(body, value) !== 'text') throw new Refusal(422, `the event has no text "${name}"`)
  return Buffer.from(textBytes(body, value) ?? []).toString('utf8')
}

function bytesIn(body: Uint8Array, value: Slice | undefined): Uint8Array | null {
  if (value === undefined || kindOf(body, value) === 'null') return null
  return body.subarray(value.start, value.end)
}
