import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, test } from 'vitest'
import {
  compareIdPositions,
  covers,
  idPositionOf,
  idPositionText,
  nothingGiven,
  withIds,
  type IdsGiven,
} from './id-gaps.ts'
import { Suspects } from './mysql/change-table/suspects.ts'

/** Whether a number is given. */
const has = ({ max, gaps }: IdsGiven, id: bigint): boolean =>
  id <= max && !gaps.some(it => id >= it.from && id <= it.to)

describe('numbers that were given, and the holes between them', () => {
  const ids = fc.uniqueArray(fc.bigInt(1n, 40n)).map(it => it.sort((a, b) => (a < b ? -1 : 1)))

  test('a number is given exactly when its row was read, in whatever turns', () => {
    fc.assert(
      fc.property(fc.array(ids, { maxLength: 5 }), turns => {
        let given = nothingGiven
        const read = new Set<bigint>()
        for (const turn of turns) {
          given = withIds(
            given,
            turn.filter(id => !has(given, id)),
          )
          for (const id of turn) read.add(id)
        }
        for (let id = 1n; id <= given.max; id++) assert.equal(has(given, id), read.has(id), `${id}`)
      }),
    )
  })

  test('a position covers another exactly when it has all of its numbers, and is the same after it was written', () => {
    fc.assert(
      fc.property(ids, ids, (a, b) => {
        const [x, y] = [withIds(nothingGiven, a), withIds(nothingGiven, b)]
        assert.equal(
          covers(x, y),
          b.every(id => a.includes(id)),
        )
        const position = (given: IdsGiven) => ({ log: 'l/1', tables: new Map([['a "b"', given]]) })
        assert.deepEqual(idPositionOf(idPositionText(position(x))), position(x))
        assert.equal(compareIdPositions(position(x), position(x)), 0)
      }),
    )
  })

  test.each(['', 'x', '[]', '[1]', '["a",["b"]]', '["a",["b","c",""]]'])('%j is no position', text => {
    assert.equal(idPositionOf(text), null)
  })
})

describe('when a hole is forgotten', () => {
  const hole = [{ table: 't', from: 3n, to: 3n }]
  const key = 't 3-3'

  test('at once when nothing is going on, and only then', () => {
    assert.deepEqual([...new Suspects().cleared(hole, { transactions: [], statements: [] })], [key])
    assert.deepEqual([...new Suspects().cleared(hole, { transactions: ['7@1'], statements: [] })], [])
  })

  test('when every transaction that was open has ended, whatever has begun since', () => {
    const suspects = new Suspects()
    assert.equal(suspects.cleared(hole, { transactions: ['7@1', '8@2'], statements: [] }).size, 0)
    assert.equal(suspects.cleared(hole, { transactions: ['8@2', '9@1'], statements: [] }).size, 0)
    assert.equal(suspects.cleared(hole, { transactions: ['9@1', '10@2'], statements: [] }).size, 1)
  })

  test('not while the transaction is open that a running statement began', () => {
    const suspects = new Suspects()
    assert.equal(suspects.cleared(hole, { transactions: [], statements: ['5:100'] }).size, 0)
    assert.equal(suspects.cleared(hole, { transactions: ['11@5'], statements: [] }).size, 0)
    assert.equal(suspects.cleared(hole, { transactions: ['11@5'], statements: ['5:101'] }).size, 0)
    assert.equal(suspects.cleared(hole, { transactions: ['12@5'], statements: [] }).size, 1)
  })
})
