import { constants, crc32, inflateSync } from 'node:zlib'
import { ProtocolError } from '../protocol.ts'

/** Kinds of events in the log of MySQL and MariaDB that a reader of rows meets. The others are passed over. */
export const EVENT = {
  query: 2,
  stop: 3,
  rotate: 4,
  format: 15,
  xid: 16,
  beginLoad: 17,
  executeLoad: 18,
  tableMap: 19,
  writeRows1: 23,
  updateRows1: 24,
  deleteRows1: 25,
  incident: 26,
  heartbeat: 27,
  writeRows2: 30,
  updateRows2: 31,
  deleteRows2: 32,
  xaPrepare: 38,
  gtid: 162,
  encryption: 164,
  queryCompressed: 165,
  writeRowsCompressed1: 166,
  updateRowsCompressed1: 167,
  deleteRowsCompressed1: 168,
  writeRowsCompressed2: 169,
  updateRowsCompressed2: 170,
  deleteRowsCompressed2: 171,
} as const

/** Bytes before the content of every event. */
export const HEADER_BYTES = 19
const CHECKSUM_BYTES = 4
/** The server made it for us: it lies in no file. */
const ARTIFICIAL = 0x20

/** An event with what stands before it. */
export interface LogEvent {
  readonly type: number
  /** The server's clock when its statement began: seconds since 1970-01-01 UTC. */
  readonly seconds: number
  readonly serverId: number
  /** Where the next event begins in the file, below 2^32; 0 for an event that lies in no file. */
  readonly end: number
  readonly isArtificial: boolean
  /** What follows the header, without the checksum. */
  readonly body: Buffer
}

/** How the events of one file end. */
export type Checksum = 'none' | 'crc32' | 'unknown'

/**
 * Takes an event apart and compares its checksum. Before the first format event it is not known whether there is one
 * (`unknown`): then the event says so itself.
 */
export function logEvent(bytes: Buffer, checksum: Checksum): LogEvent {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(9) !== bytes.length) {
    throw new ProtocolError(`the server sent an event of ${bytes.length} bytes that says another length`)
  }
  const type = bytes[4] as number
  const body = bytes.subarray(HEADER_BYTES, bytes.length - checksumBytes(bytes, type, checksum))
  const flags = bytes.readUInt16LE(17)
  return {
    type,
    seconds: bytes.readUInt32LE(0),
    serverId: bytes.readUInt32LE(5),
    end: bytes.readUInt32LE(13),
    isArtificial: (flags & ARTIFICIAL) !== 0,
    body,
  }
}

function checksumBytes(bytes: Buffer, type: number, checksum: Checksum): number {
  // A format event has room for a checksum whatever its file is like, and says itself what follows.
  const expected = type === EVENT.format ? 'unknown' : checksum
  if (expected === 'none') return 0
  if (bytes.length < HEADER_BYTES + CHECKSUM_BYTES) {
    if (expected === 'unknown') return 0
    throw new ProtocolError('the server sent an event without its checksum')
  }
  const at = bytes.length - CHECKSUM_BYTES
  const isRight = crc32(bytes.subarray(0, at)) === bytes.readUInt32LE(at)
  if (isRight) return CHECKSUM_BYTES
  if (type === EVENT.format) {
    if (checksumOfFormat(bytes) !== 'crc32') return CHECKSUM_BYTES
  } else if (expected === 'unknown') return 0
  throw new ProtocolError('the checksum of an event does not agree with its bytes')
}

function checksumOfFormat(bytes: Buffer): Checksum {
  const algorithm = bytes[bytes.length - CHECKSUM_BYTES - 1]
  if (algorithm === 0) return 'none'
  if (algorithm === 1) return 'crc32'
  throw new ProtocolError(`the log has checksums of kind ${algorithm}, which are not known`)
}

/** What a format event says of its file. */
export interface LogFormat {
  readonly checksum: Checksum
  /** When the file was begun: seconds since 1970-01-01 UTC. */
  readonly born: number
  /** The server began anew with this file: what the file before left unfinished never took effect. */
  readonly isRestart: boolean
}

/** Version, name of the server's version, when it was made, length of the header, and a byte for each kind of event. */
const FORMAT_LENGTHS_AT = 2 + 50 + 4 + 1
const POST_HEADERS: readonly (readonly [type: number, bytes: number])[] = [
  [EVENT.query, 13],
  [EVENT.rotate, 8],
  [EVENT.tableMap, 8],
  [EVENT.writeRows1, 8],
  [EVENT.updateRows1, 8],
  [EVENT.deleteRows1, 8],
]

/** Reads a format event. Throws when its events are laid out in a way that we do not read. */
export function formatOf({ body, seconds }: LogEvent): LogFormat {
  if (body.length < FORMAT_LENGTHS_AT + 33 || body.readUInt16LE(0) !== 4 || body[56] !== HEADER_BYTES) {
    throw new ProtocolError('the log is of a version that is not known')
  }
  for (const [type, bytes] of POST_HEADERS) {
    if (body[FORMAT_LENGTHS_AT + type - 1] !== bytes)
      throw new ProtocolError(`events of kind ${type} are laid out in a way that is not known`)
  }
  const algorithm = body[body.length - 1]
  return {
    checksum: algorithm === 0 ? 'none' : 'crc32',
    born: seconds,
    isRestart: body.readUInt32LE(52) !== 0,
  }
}

/** Where a rotate event goes on. */
export function rotateOf({ body }: LogEvent): { readonly file: string; readonly offset: number } {
  if (body.length < 9) throw new ProtocolError('the server sent a change of files that is none')
  return { file: body.toString('utf8', 8), offset: Number(body.readBigUInt64LE(0)) }
}

/** The number of a transaction, as MariaDB gives it: domain, server, place in the domain. */
export interface Gtid {
  readonly domain: number
  readonly server: number
  readonly sequence: bigint
  /** The group is this one statement, and no event ends it. */
  readonly isAlone: boolean
  /** The transaction is only prepared: another group commits it or takes it back. */
  readonly isPrepared: boolean
  /** The group ends a transaction that was prepared before. */
  readonly endsPrepared: boolean
  /** Name of the prepared transaction, in hexadecimal, for `isPrepared` and `endsPrepared`. */
  readonly xid: string
}

const STANDALONE = 1
const GROUP_COMMIT_ID = 2
const PREPARED_XA = 64
const COMPLETED_XA = 128

/** Reads the event of MariaDB that begins every group. */
export function gtidOf({ body, serverId }: LogEvent): Gtid {
  if (body.length < 13) throw new ProtocolError('the server sent a transaction number that is none')
  const flags = body[12] as number
  const isXa = (flags & (PREPARED_XA | COMPLETED_XA)) !== 0
  const at = 13 + ((flags & GROUP_COMMIT_ID) === 0 ? 0 : 8)
  return {
    domain: body.readUInt32LE(8),
    server: serverId,
    sequence: body.readBigUInt64LE(0),
    isAlone: (flags & STANDALONE) !== 0,
    isPrepared: (flags & PREPARED_XA) !== 0,
    endsPrepared: (flags & COMPLETED_XA) !== 0,
    xid: isXa ? body.toString('hex', at, at + 6 + (body[at + 4] ?? 0) + (body[at + 5] ?? 0)) : '',
  }
}

/** A statement in the log: what changes tables themselves, and what begins and ends a group. */
export interface LoggedQuery {
  readonly database: string
  readonly text: string
  /** How its session spelled text and names; absent: as a server does that was told nothing. */
  readonly modes?: SqlModes
}

/** What `sql_mode` changes in how a statement is read. */
export interface SqlModes {
  /** What stands between double quotes is a name, and no text. */
  readonly ansiQuotes: boolean
  /** A backslash within text is a letter like the others. */
  readonly noBackslash: boolean
}

/** Longest statement that is looked at. */
const QUERY_BYTES_MAX = 16 * 1024 * 1024

export function queryOf({ type, body }: LogEvent): LoggedQuery {
  if (body.length < 14) throw new ProtocolError('the server sent a statement that is none')
  const databaseAt = 13 + body.readUInt16LE(11)
  const textAt = databaseAt + (body[8] as number) + 1
  if (textAt > body.length) throw new ProtocolError('the server sent a statement that is none')
  const rest = body.subarray(textAt)
  const text = type === EVENT.queryCompressed ? inflated(rest, QUERY_BYTES_MAX) : rest
  const modes = modesOf(body.subarray(13, databaseAt))
  return { database: body.toString('utf8', databaseAt, textAt - 1), text: text.toString('utf8'), modes }
}

const STATUS_FLAGS = 0
const STATUS_SQL_MODE = 1
const ANSI_QUOTES = 1n << 2n
const NO_BACKSLASH_ESCAPES = 1n << 20n

/** The server writes the settings of a session in the order of their numbers: flags of four bytes, then `sql_mode`. */
function modesOf(status: Buffer): SqlModes {
  const at = status[0] === STATUS_FLAGS ? 5 : 0
  const mode = status[at] === STATUS_SQL_MODE && status.length >= at + 9 ? status.readBigUInt64LE(at + 1) : 0n
  return { ansiQuotes: (mode & ANSI_QUOTES) !== 0n, noBackslash: (mode & NO_BACKSLASH_ESCAPES) !== 0n }
}

/** The packed part of a compressed event: how long it was in up to four bytes, and zlib. */
function packedPart(packed: Buffer): { readonly length: number; readonly zlib: Buffer } {
  const head = packed[0] ?? 0
  const lengthBytes = head & 0x07
  if ((head & 0xf0) !== 0x80 || lengthBytes < 1 || lengthBytes > 4 || packed.length < 1 + lengthBytes) {
    throw new ProtocolError('the server sent a compressed event that is none')
  }
  return { length: packed.readUIntBE(1, lengthBytes), zlib: packed.subarray(1 + lengthBytes) }
}

/** How many bytes a compressed event has when it is unpacked. */
export function inflatedBytes(packed: Buffer): number {
  return packedPart(packed).length
}

/** So much of what is packed is unpacked for a look at its beginning: 1 to 2,000 times as many bytes. */
const LOOKED_AT_BYTES = 2048

/** The beginning of a compressed event that is too large, or not all there. */
export function inflatedHead(packed: Buffer): Buffer {
  const { zlib } = packedPart(packed)
  try {
    return inflateSync(zlib.subarray(0, LOOKED_AT_BYTES), { finishFlush: constants.Z_SYNC_FLUSH })
  } catch (error) {
    throw Object.assign(new ProtocolError('the server sent a compressed event that cannot be unpacked'), {
      cause: error,
    })
  }
}

/** A compressed event as it was. Never more than `bytesMax`. */
export function inflated(packed: Buffer, bytesMax: number): Buffer {
  const { length, zlib } = packedPart(packed)
  if (length > bytesMax) throw new ProtocolError(`a compressed event has ${length} bytes; the limit is ${bytesMax}`)
  try {
    const bytes = inflateSync(zlib, { maxOutputLength: Math.max(length, 1) })
    if (bytes.length === length) return bytes
  } catch (error) {
    throw Object.assign(new ProtocolError('the server sent a compressed event that cannot be unpacked'), {
      cause: error,
    })
  }
  throw new ProtocolError('the server sent a compressed event of another length')
}
