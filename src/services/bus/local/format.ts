import zlib from 'node:zlib'
import type { TopicMessage } from '../contract.ts'

/**
 * A segment is one file of a topic, `<number of its first message, 20 digits>.log`: twice the same head, so that one flipped
 * bit costs nothing, then records, each at a multiple of 8 bytes. Numbers are little-endian.
 *
 *     head    magic 8 | first u64 | follows i64 | salt u32 | CRC-32 of the 28 bytes before
 *     record  CRC-32 of the 36 bytes behind it | CRC-32 of value and key | number u64 | microseconds i64
 *             | key bytes u32 (all ones: no key) | value bytes u32 | bytes since the write began u32 | 0 u32
 *             then the value, the key, and zeros up to a multiple of 8
 *
 * The salt begins every checksum of a record: bytes within a value never pass for a record of this file.
 */
export const HEAD_BYTES = 64
export const RECORD_BYTES = 40

const HALF_BYTES = 32
const MAGIC = 0x31474f4c_5552414en // "NARULOG1"
const NO_KEY = 0xffff_ffff

export interface SegmentHead {
  /** Number of the first message. */
  readonly first: number
  /** Number of the message before it, with nothing lost between; -1 for the first of a topic. */
  readonly follows: number
  readonly salt: number
}

/** A message that waits to be written. */
export interface Pending {
  readonly key: Buffer | null
  readonly value: Uint8Array
}

/** The head of one record, its checksum proven. */
export interface RecordHead {
  readonly number: number
  readonly micros: bigint
  readonly keyBytes: number | null
  readonly valueBytes: number
  /** Bytes of the file between the begin of its write and the record: what lies before was on disk when it was written. */
  readonly sinceWrite: number
  /** Of the whole record. */
  readonly bytes: number
  readonly bodySum: number
}

/** Both halves of the head of a segment. */
export function encodeHead({ first, follows, salt }: SegmentHead): Buffer {
  const half = Buffer.alloc(HALF_BYTES)
  half.writeBigUInt64LE(MAGIC, 0)
  half.writeBigUInt64LE(BigInt(first), 8)
  half.writeBigInt64LE(BigInt(follows), 16)
  half.writeUInt32LE(salt, 24)
  half.writeUInt32LE(zlib.crc32(half.subarray(0, 28)), 28)
  return Buffer.concat([half, half])
}

/** The head, from whichever half is whole; `null` when none is. */
export function decodeHead(bytes: Buffer): SegmentHead | null {
  for (const at of [0, HALF_BYTES]) {
    const half = bytes.subarray(at, at + HALF_BYTES)
    if (half.length < HALF_BYTES || half.readBigUInt64LE(0) !== MAGIC) continue
    if (half.readUInt32LE(28) !== zlib.crc32(half.subarray(0, 28))) continue
    return {
      first: Number(half.readBigUInt64LE(8)),
      follows: Number(half.readBigInt64LE(16)),
      salt: half.readUInt32LE(24),
    }
  }
  return null
}

/** Bytes that a message takes in a segment. */
export function recordBytes({ key, value }: Pending): number {
  return aligned(RECORD_BYTES + value.byteLength + (key?.length ?? 0))
}

/** Writes a record into `into` at `at` and gives its end. The write began at byte 0 of `into`. */
export function encodeRecord(
  into: Buffer,
  at: number,
  { key, value }: Pending,
  stamp: { readonly number: number; readonly micros: bigint; readonly salt: number },
): number {
  const body = at + RECORD_BYTES
  into.set(value, body)
  let end = body + value.byteLength
  if (key !== null) {
    into.set(key, end)
    end += key.length
  }
  const next = aligned(end)
  into.fill(0, end, next)
  into.writeUInt32LE(zlib.crc32(into.subarray(body, end), stamp.salt), at + 4)
  into.writeBigUInt64LE(BigInt(stamp.number), at + 8)
  into.writeBigInt64LE(stamp.micros, at + 16)
  into.writeUInt32LE(key === null ? NO_KEY : key.length, at + 24)
  into.writeUInt32LE(value.byteLength, at + 28)
  into.writeUInt32LE(at, at + 32)
  into.writeUInt32LE(0, at + 36)
  into.writeUInt32LE(zlib.crc32(into.subarray(at + 4, body), stamp.salt), at)
  return next
}

/** The head of the record at `at`; `null` when these are not the bytes of one. At least `RECORD_BYTES` must be there. */
export function decodeRecord(bytes: Buffer, at: number, salt: number): RecordHead | null {
  if (bytes.readUInt32LE(at) !== zlib.crc32(bytes.subarray(at + 4, at + RECORD_BYTES), salt)) return null
  const keyLength = bytes.readUInt32LE(at + 24)
  const keyBytes = keyLength === NO_KEY ? null : keyLength
  const valueBytes = bytes.readUInt32LE(at + 28)
  return {
    number: numberAt(bytes, at),
    micros: bytes.readBigInt64LE(at + 16),
    keyBytes,
    valueBytes,
    sinceWrite: bytes.readUInt32LE(at + 32),
    bytes: aligned(RECORD_BYTES + valueBytes + (keyBytes ?? 0)),
    bodySum: bytes.readUInt32LE(at + 4),
  }
}

/** The message of a record whose bytes are all there, as a view on them; `null` when they are not what was written. */
export function messageAt(bytes: Buffer, at: number, record: RecordHead, salt: number): TopicMessage | null {
  const body = at + RECORD_BYTES
  const keyAt = body + record.valueBytes
  const end = keyAt + (record.keyBytes ?? 0)
  if (zlib.crc32(bytes.subarray(body, end), salt) !== record.bodySum) return null
  return {
    position: positionOf(record.number),
    appendedMicros: record.micros,
    key: record.keyBytes === null ? null : bytes.toString('utf8', keyAt, end),
    value: new Uint8Array(bytes.buffer, bytes.byteOffset + body, record.valueBytes),
  }
}

/** The text of a number: texts order as numbers do. */
export function positionOf(number: number): string {
  return String(number).padStart(20, '0')
}

/** The name of the segment that begins with a message. */
export function segmentName(first: number): string {
  return `${positionOf(first)}.log`
}

/** True when the record at `at` may be one with a number of these: what is cheaper than its checksum, for searching. */
export function mayBeRecord(bytes: Buffer, at: number, from: number, until: number): boolean {
  const number = numberAt(bytes, at)
  return number >= from && number <= until && bytes.readUInt32LE(at + 36) === 0
}

function numberAt(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 8) + bytes.readUInt32LE(at + 12) * 2 ** 32
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 8) * 8
}
