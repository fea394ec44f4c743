import assert from 'node:assert/strict'
import { test } from 'vitest'
import { bufferPool } from './buffer-pool.ts'

const KiB = 1024
const MiB = 1024 * 1024

test('a buffer that came back is used again for what fits into it', () => {
  const pool = bufferPool()
  const buffer = pool.take(10 * KiB)
  pool.give([buffer])
  assert.equal(pool.take(5 * KiB).byteLength, 8 * KiB)
  assert.notEqual(pool.take(20 * KiB), buffer)
  assert.equal(pool.take(9 * KiB), buffer)
  assert.notEqual(pool.take(9 * KiB), buffer)
})

test('what waits is bounded: large buffers are not kept, and the oldest make room', () => {
  const pool = bufferPool()
  const large = new ArrayBuffer(9 * MiB)
  const many = Array.from({ length: 10 }, () => new ArrayBuffer(8 * MiB))
  pool.give([large, ...many])
  assert.notEqual(pool.take(9 * MiB), large)
  const taken = Array.from({ length: 10 }, () => pool.take(8 * MiB))
  assert.deepEqual(
    many.map(buffer => taken.includes(buffer)),
    [...Array<boolean>(6).fill(false), ...Array<boolean>(4).fill(true)],
  )
})

test('those of a size that nobody asks for any more make room first', () => {
  const pool = bufferPool()
  const before = Array.from({ length: 4 }, () => pool.take(8 * MiB))
  const now = Array.from({ length: 64 }, () => pool.take(256 * KiB))
  pool.give(before)
  pool.give(now)
  assert.equal(now.filter(buffer => now.includes(pool.take(buffer.byteLength))).length, 64)
  assert.equal(before.filter(buffer => before.includes(pool.take(buffer.byteLength))).length, 2)
})

test('small buffers are not kept: a pool does not fill with what is quicker to make than to find', () => {
  const pool = bufferPool()
  const small = Array.from({ length: 1_000 }, (_, i) => pool.take(i + 1))
  assert.ok(small.every((buffer, i) => buffer.byteLength === i + 1))
  pool.give(small)
  assert.ok(!small.includes(pool.take(1_000)))
})
