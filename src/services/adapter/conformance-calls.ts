import assert from 'node:assert/strict'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import {
  batches,
  goods,
  has,
  withGoods,
  type Goods,
  type WritesPromise,
  type WritesSystem,
} from './conformance-goods.ts'
import { never, shapeOf, text } from './conformance-support.ts'

const when = has('call')
const one = [1n, `it's "one" \\ 하나`, 150n] as const
const two = [2n, null, null] as const
const three = [3n, '', 3n] as const

/** What is handed to a procedure, row by row. */
export const callsPromises: readonly WritesPromise[] = [
  {
    name: 'a procedure is called once with each row, at the publish and never again',
    when,
    check: system =>
      withProcedure(system, 'addGood', async ({ writer, rows }) => {
        const to = { remote: 'add_good', key: [] }
        const first = await writer('call', 'called', to)
        await first.stage('b', batches(one), never)
        await first.stage('a', batches(two, three), never)
        await first.stage('none', batches(), never)
        assert.deepEqual(await rows(), [])
        assert.equal((await first.publish({ missed: 'refuse' }, never)).called, 3n)
        const all = [
          ['1', one[1], '1.50'],
          ['2', null, null],
          ['3', '', '0.03'],
        ]
        assert.deepEqual(await rows(), all)
        await first.close()
        // As after a crash between the publish and its answer.
        const again = await writer('call', 'called', to)
        assert.equal(again.published?.called, 3n)
        assert.equal((await again.publish({ missed: 'refuse' }, never)).called, 3n)
        assert.deepEqual(await rows(), all)
        await again.discard(never)
      }),
  },
  {
    name: 'a row that the procedure refuses is named with its reason, and no call has left anything',
    when,
    check: system =>
      withProcedure(system, 'addGood', async ({ writer, rows }) => {
        const calling = await writer('call', 'refused', { remote: 'add_good', key: [] })
        await calling.stage('a', batches(one, two), never)
        await calling.stage('b', batches(three, [4n, 'four', -4n], [5n, 'five', 5n]), never)
        const refused = (): Promise<unknown> => calling.publish({ missed: 'refuse' }, never)
        await rejectsWith('WRITE_CALL', refused(), 'row 2 of "b"')
        await rejectsWith('WRITE_CALL', refused(), 'no such price')
        assert.deepEqual(await rows(), [])
        await calling.stage('b', batches(three), never)
        assert.equal((await calling.publish({ missed: 'refuse' }, never)).called, 3n)
        assert.equal((await rows()).length, 3)
        await calling.discard(never)
      }),
  },
  {
    name: 'a procedure that commits by itself is refused: its first call leaves nothing',
    when,
    check: system =>
      withProcedure(system, 'commitGood', async ({ writer, rows }) => {
        const calling = await writer('call', 'commits', { remote: 'commit_good', key: [] })
        await calling.stage('a', batches(one, two), never)
        await rejectsWith('WRITE_CALL', calling.publish({ missed: 'refuse' }, never), 'commits or rolls back by itself')
        assert.deepEqual(await rows(), [])
        await calling.discard(never)
      }),
  },
  {
    name: 'a procedure that is not there, or takes other arguments, is refused before a row is sent',
    when,
    check: system =>
      withProcedure(system, 'addGood', async ({ writer }) => {
        const refused = (more: object, says: string): Promise<void> =>
          rejectsWith('WRITE_TARGET', writer('call', 'x', { remote: 'add_good', key: [], ...more }), says)
        await refused({ remote: 'no_such_procedure' }, 'no_such_procedure')
        await refused({ columns: goods.columns.slice(0, 2) }, 'bigint')
        const { columns } = shapeOf(
          'goods',
          [
            ['id', { kind: 'bytes' }],
            ['name', text],
            ['price', text],
          ],
          [],
        )
        await refused({ columns }, 'bigint')
      }),
  },
]

async function withProcedure(
  system: WritesSystem,
  which: keyof NonNullable<WritesSystem['procedures']>,
  body: (goods: Goods) => Promise<void>,
): Promise<void> {
  const { procedures } = system
  assert.ok(procedures !== undefined, 'a system with the mode "call" must say how its procedures are made')
  await withGoods(system, [], async given => {
    await system.execute(procedures[which])
    await body(given)
  })
}
