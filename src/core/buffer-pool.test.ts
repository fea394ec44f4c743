import assert from 'node:assert/strict'
import { test } from 'vitest'
import { bufferPool } from './buffer-pool.ts'

const MiB = 1024 * 1024

test('a buffer that came back is used again for what fits into it', () => {
  const pool = bufferPool()
  const buffer = pool.take(1_000)
  pool.give([buffer])
  assert.equal(pool.take(100).byteLength, 100)
  assert.notEqual(pool.take(2_000), buffer)
  assert.equal(pool.take(900), buffer)
  assert.notEqual(pool.take(900), buffer)
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
