import assert from 'node:assert/strict'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { capturesOf, eventsOf, inTime, items, withCapture, type CapturePromise } from './conformance-capture-support.ts'
import type { ChangeSlice } from '../../core/change-slice.ts'
import { int64, never, shapeOf } from './conformance-support.ts'
import type { CapturedTable, ChangeStream } from './contract-capture.ts'

/** The next slice with rows. */
async function claimed(stream: ChangeStream): Promise<ChangeSlice & { readonly position: string }> {
  return inTime('a claim', async () => {
    for (;;) {
      const came = await stream.next()
      if ('kind' in came || came.tables.length === 0) continue
      assert.ok(came.position !== null)
      return { ...structuredClone(came), position: came.position }
    }
  })
}

const brief = (slice: ChangeSlice): readonly (readonly unknown[])[] => eventsOf(slice).map(({ row }) => row)

const flagged: CapturedTable = {
  name: 'sent',
  ...shapeOf(
    'capture_sent',
    [
      ['id', int64],
      ['sent', { kind: 'bool' }],
    ],
    ['id'],
  ),
}

/** What a system keeps that gives changes by claiming rows, beside the promises of every capture. */
export const claimPromises: readonly CapturePromise[] = [
  {
    name: 'a row that is changed while it is claimed waits for the claim, and is claimed again',
    check: system =>
      withCapture(system, async ({ insert, update, session, stream }) => {
        const open = await stream()
        await insert(items, ['1', 'first', '1'])
        const first = await claimed(open)
        assert.deepEqual(brief(first), [['1', 'first', '1']])
        const writer = await session()
        const writing = update(items, '1', ['1', 'second', '2'], writer)
        await open.confirm(first.position)
        await writing
        const second = await claimed(open)
        assert.deepEqual(brief(second), [['1', 'second', '2']])
        await open.confirm(second.position)
      }),
  },
  {
    name: 'a row that a writer holds is left until it is free, and its place is not passed before',
    when: (_, system) => system.oneWriter !== true,
    check: system =>
      withCapture(system, async ({ insert, update, session, captures, stream }) => {
        await insert(items, ['1', 'held', '1'])
        await insert(items, ['2', 'free', '1'])
        const writer = await session()
        await writer.execute('begin')
        await update(items, '1', ['1', 'later', '2'], writer)
        const open = await stream()
        const head = await captures.head(never)
        const first = await claimed(open)
        assert.deepEqual(brief(first), [['2', 'free', '1']])
        assert.ok(captures.compare(first.position, head) < 0, 'a row committed before the head is still to come')
        await open.confirm(first.position)
        await writer.execute('commit')
        const second = await claimed(open)
        assert.deepEqual(brief(second), [['1', 'later', '2']])
        assert.ok(captures.compare(second.position, head) >= 0)
      }),
  },
  {
    name: 'what was not confirmed is claimed again by the next stream, as it is then',
    check: system =>
      withCapture(system, async ({ insert, update, stream }) => {
        await insert(items, ['1', 'first', '1'])
        const open = await stream()
        const first = await claimed(open)
        await open.close()
        await update(items, '1', ['1', 'second', '2'])
        assert.deepEqual(brief(await claimed(await stream(first.position))), [['1', 'second', '2']])
      }),
  },
  {
    name: 'a reader that another one overtook is refused: what that one claimed would be missed',
    check: system =>
      withCapture(system, async ({ insert, from, tables, stream }) => {
        await insert(items, ['1', 'taken', '1'])
        const other = await system.open()
        try {
          const open = await capturesOf(other, system).open({ tables, from, spillDir: await system.spillDir() }, never)
          const { position } = await claimed(open)
          await open.confirm(position)
          await open.close()
        } finally {
          await other.close()
        }
        await rejectsWith('POSITION_LOST', stream(from))
      }),
  },
  {
    name: 'claims are bounded, and all rows come',
    check: system =>
      withCapture(system, async ({ insert, run, captures, stream }) => {
        for (let id = 1; id <= 40; id++) await insert(items, [String(id), 'x'.repeat(1000), '1'])
        const head = await captures.head(never)
        const open = await stream(undefined, { sliceBytes: 8_000 })
        const ids: unknown[] = []
        for (let claims = 1; ids.length < 40; claims++) {
          const slice = await claimed(open)
          assert.ok(brief(slice).length <= 12, 'a claim is not larger than a slice')
          ids.push(...brief(slice).map(row => row[0]))
          assert.equal(captures.compare(slice.position, head) >= 0, ids.length === 40)
          await open.confirm(slice.position)
          assert.ok(claims < 40)
        }
        assert.equal(new Set(ids).size, 40)
        await run('select 1')
      }),
  },
  {
    name: 'a flag of true and false is set back',
    check: async system => {
      const plain = { ...system, captured: asFlagged, createTable: undefined, cooperate: undefined }
      const bench = plain as unknown as typeof system
      await withCapture(
        bench,
        async ({ run, stream }) => {
          await run('insert into capture_sent (id, sent) values (1, false)')
          await run('insert into capture_sent (id, sent) values (2, true)')
          const open = await stream()
          const slice = await claimed(open)
          assert.deepEqual(brief(slice), [['1', 'true']])
          await open.confirm(slice.position)
          await run('update capture_sent set sent = false where id = 2')
          assert.deepEqual(brief(await claimed(open)), [['2', 'true']])
        },
        [flagged],
      )
    },
  },
]

function asFlagged(table: CapturedTable): CapturedTable {
  return { ...table, status: { column: 'sent', pending: 'false', done: 'true' } }
}
