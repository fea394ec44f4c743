import assert from 'node:assert/strict'
import { batches, breaking, goods, withGoods, type WritesPromise } from './conformance-goods.ts'
import { never } from './conformance-support.ts'

/** What is staged: it is kept for the next writer of its id, and for nobody else. */
export const stagesPromises: readonly WritesPromise[] = [
  {
    name: 'a write that broke off goes on behind its last whole unit',
    check: system =>
      withGoods(system, [], async ({ writer, rows }) => {
        const first = await writer('insert', 'resumed')
        assert.deepEqual(first.staged, [])
        assert.deepEqual(await first.stage('a', batches([1n, 'a', 1n], [2n, 'b', 2n]), never), { unit: 'a', rows: 2n })
        await assert.rejects(first.stage('b', breaking([3n, 'c', 3n]), never), /broken on purpose/)
        await first.close()
        const second = await writer('insert', 'resumed')
        assert.deepEqual(second.staged, [{ unit: 'a', rows: 2n }])
        await second.stage('b', batches([4n, 'd', 4n]), never)
        await second.stage('empty', batches(), never)
        await second.publish({ missed: 'refuse' }, never)
        assert.deepEqual(
          (await rows()).map(row => row[0]),
          ['1', '2', '4'],
        )
        await second.discard(never)
      }),
  },
  {
    name: 'a unit without rows is remembered, and one that is staged again replaces the first',
    check: system =>
      withGoods(system, [], async ({ writer, rows }) => {
        const first = await writer('insert', 'again')
        await first.stage('a', batches([1n, 'first', 1n]), never)
        await first.stage('none', batches(), never)
        await first.stage('a', batches([7n, 'second', 1n]), never)
        await first.close()
        const second = await writer('insert', 'again')
        assert.deepEqual(
          [...second.staged].sort((a, b) => (a.unit < b.unit ? -1 : 1)),
          [
            { unit: 'a', rows: 1n },
            { unit: 'none', rows: 0n },
          ],
        )
        await second.publish({ missed: 'refuse' }, never)
        assert.deepEqual(await rows(), [['7', 'second', '0.01']])
        await second.discard(never)
      }),
  },
  {
    name: 'what was published is told to the next writer of its id until it is discarded',
    check: system =>
      withGoods(system, [], async ({ writer, rows }) => {
        const first = await writer('insert', 'told')
        await first.stage('a', batches([1n, 'a', 1n]), never)
        assert.equal(first.published, null)
        const written = await first.publish({ missed: 'refuse' }, never)
        await first.close()
        const second = await writer('insert', 'told')
        assert.deepEqual(second.published, written)
        await second.discard(never)
        await second.close()
        const third = await writer('insert', 'told')
        assert.equal(third.published, null)
        assert.deepEqual(third.staged, [])
        await third.discard(never)
        assert.equal((await rows()).length, 1)
      }),
  },
  {
    name: 'what is discarded leaves no trace',
    check: system =>
      withGoods(system, [[1n, 'old', 1n]], async ({ writer, rows, tables }) => {
        const before = await tables()
        const one = await writer('replace')
        await one.stage('a', batches([2n, 'b', 2n]), never)
        await one.discard(never)
        await one.close()
        assert.deepEqual(await tables(), before)
        assert.deepEqual(await rows(), [['1', 'old', '0.01']])
      }),
  },
  {
    name: 'what was staged for other columns, or for a table that has changed since, begins empty',
    check: system =>
      withGoods(system, [], async ({ writer, rows }) => {
        const first = await writer('insert', 'anew')
        await first.stage('a', batches([1n, 'a', 1n]), never)
        await first.close()
        const narrower = await writer('insert', 'anew', { columns: goods.columns.slice(0, 2) })
        assert.deepEqual(narrower.staged, [])
        await narrower.stage('a', batches([2n, 'b']), never)
        await narrower.close()
        await system.execute('drop table goods')
        await system.execute('create table goods (id bigint primary key, name varchar(90), price decimal(12,2))')
        const changed = await writer('insert', 'anew', { columns: goods.columns.slice(0, 2) })
        assert.deepEqual(changed.staged, [])
        await changed.stage('b', batches([3n, 'c']), never)
        await changed.publish({ missed: 'refuse' }, never)
        assert.deepEqual(await rows(), [['3', 'c', null]])
        await changed.discard(never)
      }),
  },
  {
    name: 'a stage that was given up is removed by another write, and no other',
    check: system =>
      withGoods(system, [], async ({ writer, rows, tables }) => {
        const before = await tables()
        const one = await writer('insert', 'one')
        await one.removeAbandoned(0, never)
        await one.stage('a', batches([1n, 'a', 1n]), never)
        const left = await writer('insert', 'left')
        await left.stage('a', batches([2n, 'b', 2n]), never)
        await left.close()
        assert.equal(await one.removeAbandoned(60_000, never), 0)
        assert.equal(await one.removeAbandoned(0, never), 1)
        assert.equal(await one.removeAbandoned(0, never), 0)
        const again = await writer('insert', 'left')
        assert.deepEqual(again.staged, [])
        await again.discard(never)
        await one.publish({ missed: 'refuse' }, never)
        assert.deepEqual(await rows(), [['1', 'a', '0.01']])
        await one.discard(never)
        assert.deepEqual(await tables(), before)
      }),
  },
]
