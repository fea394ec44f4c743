/** The bytes of the client/server protocol that MySQL and MariaDB share, once a session is logged in. */

/** Commands that we send. */
export const COMMAND = {
  quit: 0x01,
  query: 0x03,
  binlogDump: 0x12,
  registerSlave: 0x15,
  prepare: 0x16,
  execute: 0x17,
  closeStatement: 0x19,
} as const

/** First bytes of a packet that is no row. */
export const HEADER = { ok: 0x00, localInfile: 0xfb, end: 0xfe, error: 0xff } as const

/** Length and sequence number before each packet. */
export const FRAME_BYTES = 4
/** A packet of this length goes on in the next one. */
export const FRAME_BYTES_MAX = 0xff_ffff

/** How a column stands on the wire, as the server names the types. */
export const WIRE = {
  decimal: 0,
  tiny: 1,
  short: 2,
  long: 3,
  float: 4,
  double: 5,
  null: 6,
  timestamp: 7,
  longlong: 8,
  int24: 9,
  date: 10,
  time: 11,
  datetime: 12,
  year: 13,
  bit: 16,
  json: 245,
  geometry: 255,
  newDecimal: 246,
} as const

/** Bytes of a value of the wire type in a binary row; 0 when a length stands before it. */
export function wireBytes(type: number): 0 | 1 | 2 | 4 | 8 {
  switch (type) {
    case WIRE.tiny:
      return 1
    case WIRE.short:
    case WIRE.year:
      return 2
    case WIRE.long:
    case WIRE.int24:
    case WIRE.float:
      return 4
    case WIRE.longlong:
    case WIRE.double:
      return 8
    default:
      return 0
  }
}

/** What came is not what the protocol allows. `code` tells it from an error that the server sent in good order. */
export class ProtocolError extends Error {
  readonly code = 'NARU_PROTOCOL'
}

/** What a column definition of a result says. */
export interface WireColumn {
  readonly type: number
  readonly unsigned: boolean
}

const UNSIGNED = 0x20

/** All that a column definition says. */
export interface ResultColumn extends WireColumn {
  readonly name: string
  /** Number of the collation of a text; that of `binary` for everything else. */
  readonly charset: number
  /** Longest text of the value. */
  readonly length: number
  readonly flags: number
  readonly decimals: number
}

/** Reads a whole column definition. */
export function resultColumn(body: Buffer): ResultColumn {
  const wire = wireColumn(body)
  let at = 0
  // Catalog, database, table and its real name stand before the name.
  for (let i = 0; i < 4; i++) at = endOfText(body, at)
  const end = endOfText(body, at)
  const { next } = lengthAt(body, at)
  const fixed = body.length - 12
  return {
    ...wire,
    name: body.toString('utf8', next, end),
    charset: body.readUInt16LE(fixed),
    length: body.readUInt32LE(fixed + 2),
    flags: body.readUInt16LE(fixed + 7),
    decimals: body[fixed + 9] as number,
  }
}

function endOfText(body: Buffer, at: number): number {
  const { value, next } = lengthAt(body, at)
  const end = next + Number(value)
  if (end > body.length) throw new ProtocolError('the server sent a column definition that is none')
  return end
}

/** Reads a column definition from its end: what stands before differs with what client and server agreed on. */
export function wireColumn(body: Buffer): WireColumn {
  const at = body.length - 12
  if (at < 1 || body[at - 1] !== 0x0c) throw new ProtocolError('the server sent a column definition that is none')
  return { type: body[at + 6] as number, unsigned: (body.readUInt16LE(at + 7) & UNSIGNED) !== 0 }
}

/** An error as the server words it. */
export interface ServerError {
  readonly number: number
  readonly state: string
  readonly message: string
}

/** Parses an ERR packet: number, `#` and five characters of state, text. */
export function serverError(body: Buffer): ServerError {
  if (body.length < 3) return { number: 0, state: '', message: 'the server gave no reason' }
  const number = body.readUInt16LE(1)
  const hasState = body[3] === 0x23
  return {
    number,
    state: hasState ? body.toString('latin1', 4, 9) : '',
    message: body.toString('utf8', hasState ? 9 : 3),
  }
}

/** What a statement without rows did. */
export interface Done {
  readonly affected: bigint
  readonly warnings: number
}

/** Parses an OK packet. */
export function okPacket(body: Buffer): Done {
  const affected = lengthAt(body, 1)
  const insertId = lengthAt(body, affected.next)
  const at = insertId.next
  return { affected: affected.value, warnings: body.length >= at + 4 ? body.readUInt16LE(at + 2) : 0 }
}

/** A number in one, three, four or nine bytes. */
export function lengthAt(bytes: Buffer, at: number): { readonly value: bigint; readonly next: number } {
  const first = bytes[at] ?? 0xff
  if (first < 0xfb) return { value: BigInt(first), next: at + 1 }
  const next = at + 1 + (first === 0xfc ? 2 : first === 0xfd ? 3 : 8)
  if (first === 0xfb || first === 0xff || next > bytes.length) {
    throw new ProtocolError('the server sent a length that is none')
  }
  const value = first === 0xfe ? bytes.readBigUInt64LE(at + 1) : BigInt(bytes.readUIntLE(at + 1, next - at - 1))
  return { value, next }
}

/** A command as packets: those over 16 MiB go in pieces. */
export function commandPackets(command: number, body: Buffer): readonly Buffer[] {
  const payload = Buffer.concat([Buffer.from([command]), body])
  const packets: Buffer[] = []
  for (let at = 0, number = 0; ; at += FRAME_BYTES_MAX, number++) {
    const piece = payload.subarray(at, at + FRAME_BYTES_MAX)
    const frame = Buffer.alloc(FRAME_BYTES)
    frame.writeUIntLE(piece.length, 0, 3)
    frame[3] = number & 0xff
    packets.push(frame, piece)
    if (piece.length < FRAME_BYTES_MAX) return packets
  }
}
