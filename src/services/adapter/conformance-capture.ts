import assert from 'node:assert/strict'
import { realEnv } from '../../core/env.ts'
import { isNaruError } from '../../core/errors.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { typeCases } from '../../testing/suite/type-cases.ts'
import { batchOf } from '../../testing/suite/batches.ts'
import { cellText } from '../../core/cell-text.ts'
import type { ColumnData } from '../../core/batch.ts'
import { concurrencyPromises } from './conformance-capture-writers.ts'
import {
  capturesOf,
  eventsOf,
  inTime,
  items,
  others,
  refusal,
  said,
  withCapture,
  type CapturePromise,
  type CaptureSystem,
  type Event,
  type Row,
} from './conformance-capture-support.ts'
import { int64, never, shapeOf } from './conformance-support.ts'
import type { CapturedTable, Captures } from './contract-capture.ts'

export type { CapturePromise, CaptureSystem } from './conformance-capture-support.ts'

/** The promises that captures with these claims must keep on this system. */
export function capturePromisesFor(can: Captures['can'], system: CaptureSystem): readonly CapturePromise[] {
  return capturePromises.filter(({ when }) => when?.(can, system) !== false)
}

const { clock } = realEnv()

/** An event without its place, for comparing. */
const brief = ({ table, op, row }: Event): readonly unknown[] => [table, op, ...row]

const writesPromises: readonly CapturePromise[] = [
  {
    name: 'inserts and updates come in order with their values, NULLs among them',
    check: system =>
      withCapture(system, async ({ insert, update, stream, catchUp }) => {
        const open = await stream()
        await insert(items, ['1', 'one', '1'])
        assert.deepEqual((await catchUp(open)).events.map(brief), [['item', 'insert', '1', 'one', '1']])
        await update(items, '1', ['1', null, '2'])
        await insert(others, ['1', "it's"])
        const { events } = await catchUp(open)
        const [first, second] = events.map(({ table, row }) => [table, ...row.map(it => it ?? null)])
        assert.deepEqual(first, ['item', '1', null, '2'])
        assert.deepEqual(second, ['other', '1', "it's"])
      }),
  },
  {
    name: 'what was committed before the install does not come, and what came after it comes though no stream was open',
    check: system =>
      withCapture(system, async ({ insert, captures, tables, stream, catchUp }) => {
        await insert(items, ['1', 'before', '1'])
        const first = await stream()
        await catchUp(first)
        await first.close()
        const again = await captures.install(tables, never)
        assert.ok(captures.compare(again, await captures.head(never)) <= 0)
        await insert(items, ['2', 'after', '1'])
        const open = await refusedOnce(stream, again)
        const { events } = await catchUp(open)
        assert.ok(events.some(({ row }) => row[0] === '2'))
      }),
  },
  {
    name: 'a delete comes with its key',
    when: can => can.deletes,
    check: system =>
      withCapture(system, async ({ insert, remove, stream, catchUp }) => {
        const open = await stream()
        await insert(items, ['1', 'one', '1'])
        await remove(items, '1')
        const last = (await catchUp(open)).events.at(-1)
        assert.deepEqual(brief(last as Event), ['item', 'delete', '1', null, null])
      }),
  },
  {
    name: 'deletes do not come, as it says',
    when: can => !can.deletes,
    check: system =>
      withCapture(system, async ({ insert, run, stream, catchUp }) => {
        await insert(items, ['1', 'one', '1'])
        const open = await stream()
        await catchUp(open)
        await run('delete from capture_items')
        assert.deepEqual((await catchUp(open)).events, [])
      }),
  },
  {
    name: 'every version of a row comes',
    when: can => can.everyVersion,
    check: system =>
      withCapture(system, async ({ insert, update, stream, catchUp }) => {
        await insert(items, ['1', 'v', '1'])
        for (let version = 2; version <= 20; version++) await update(items, '1', ['1', 'v', String(version)])
        const { events } = await catchUp(await stream())
        const versions = events.map(({ row }) => row[2])
        assert.deepEqual(
          versions,
          Array.from({ length: 20 }, (_, i) => String(i + 1)),
        )
      }),
  },
  {
    name: 'the last version of a row comes though those between do not, as it says',
    when: can => !can.everyVersion,
    check: system =>
      withCapture(system, async ({ insert, update, stream, catchUp }) => {
        await insert(items, ['1', 'v', '1'])
        for (let version = 2; version <= 20; version++) await update(items, '1', ['1', 'v', String(version)])
        const { events } = await catchUp(await stream())
        assert.equal(events.at(-1)?.row[2], '20')
        assert.ok(events.length < 20, 'it gives every version: then it should say so')
      }),
  },
  {
    name: 'writers that know nothing of the capture are seen',
    when: can => can.silentWriters,
    check: system =>
      withCapture(system, async ({ run, stream, catchUp }) => {
        const open = await stream()
        await run(`insert into capture_items (id, name, version) values (7, 'silent', 1)`)
        await run(`update capture_items set name = 'silent too' where id = 7`)
        const { events } = await catchUp(open)
        assert.equal(events.at(-1)?.row[1], 'silent too')
      }),
  },
  {
    name: 'writers that know nothing of the capture are not seen, as it says',
    when: can => !can.silentWriters,
    check: system =>
      withCapture(system, async ({ insert, run, stream, catchUp }) => {
        const open = await stream()
        await insert(items, ['7', 'told', '1'])
        await catchUp(open)
        await run(`update capture_items set name = 'silent' where id = 7`)
        const { events } = await catchUp(open)
        assert.ok(events.every(({ row }) => row[1] !== 'silent'))
      }),
  },
  {
    name: 'another key is the delete of the old one and, right behind it, a move to the new one',
    when: can => can.deletes && can.silentWriters,
    check: system =>
      withCapture(system, async ({ insert, run, stream, catchUp }) => {
        const open = await stream()
        await insert(items, ['1', 'one', '1'])
        await catchUp(open)
        await run('update capture_items set id = 9 where id = 1')
        const { events } = await catchUp(open)
        assert.deepEqual(
          events.map(({ op, row }) => [op, row[0]]),
          [
            ['delete', '1'],
            ['move', '9'],
          ],
        )
      }),
  },
  {
    name: 'a table that is emptied at once comes as such',
    when: can => can.truncates,
    check: system =>
      withCapture(system, async ({ insert, run, stream, catchUp }) => {
        const open = await stream()
        await insert(items, ['1', 'one', '1'])
        await run(truncate(system))
        await insert(items, ['2', 'two', '1'])
        const { events } = await catchUp(open)
        assert.deepEqual(
          events.map(({ op, row }) => [op, row[0]]),
          [
            ['insert', '1'],
            ['truncate', null],
            ['insert', '2'],
          ],
        )
      }),
  },
  {
    name: 'a table that is emptied at once shows no truncate, as it says',
    when: can => !can.truncates,
    check: system =>
      withCapture(system, async ({ insert, run, stream, catchUp }) => {
        const open = await stream()
        await insert(items, ['1', 'one', '1'])
        await catchUp(open)
        await run(truncate(system))
        const { events } = await catchUp(open)
        assert.ok(events.every(({ op }) => op !== 'truncate'))
      }),
  },
  {
    name: 'a value of every type arrives exactly',
    check: async system => {
      const types = typeCases.filter(({ type }) => type.kind !== 'enum')
      const table: CapturedTable = {
        name: 'typed',
        ...shapeOf('capture_types', [['id', int64], ...types.map(({ type }, i) => [`c${i}`, type] as const)], ['id']),
      }
      const rows = types.flatMap(({ type, values }, i) =>
        values.map((value): { readonly at: number; readonly text: string } => {
          const [def] = [{ name: 'c', type, nullable: true, personal: false }]
          const cell = batchOf([def], [[value]]).columns[0] as ColumnData
          return { at: i + 1, text: cellText(type, cell, 0) as string }
        }),
      )
      await withCapture(
        system,
        async ({ insert, stream, catchUp }) => {
          const expected: Row[] = []
          for (const [i, { at, text }] of rows.entries()) {
            const row = table.columns.map((_, c) => (c === 0 ? String(i) : c === at ? text : null))
            // A value that the system does not have is not the stream's to bring.
            const isTaken = await insert(table, row).then(
              () => true,
              () => false,
            )
            if (isTaken) expected.push(row)
          }
          assert.ok(expected.length > rows.length / 2, 'most values are taken')
          const { events, rejects } = await catchUp(await stream())
          assert.deepEqual(rejects, [])
          for (const [i, { row }] of events.entries()) {
            const wanted = expected[i] as Row
            const at = wanted.findIndex((cell, c) => c > 0 && cell !== null)
            if (table.columns[at]?.type.kind === 'float') assert.equal(Number(row[at]), Number(wanted[at]))
            else if (table.columns[at]?.type.kind === 'json') assert.deepEqual(json(row[at]), json(wanted[at]))
            else assert.deepEqual(row, wanted)
          }
          assert.equal(events.length, expected.length)
        },
        [table],
      )
    },
  },
]

const slicesPromises: readonly CapturePromise[] = [
  {
    name: 'changes of two tables keep their order, and a slice ends where a transaction ends and names it',
    when: can => can.transactions && can.everyVersion,
    check: system =>
      withCapture(system, async ({ insert, update, session, stream, catchUp }) => {
        const writer = await session()
        const before = clock.nowMicros() - 600_000_000n
        await writer.execute('begin')
        await insert(items, ['1', 'a', '1'], writer)
        await insert(others, ['1', 'b'], writer)
        await update(items, '1', ['1', 'c', '2'], writer)
        await writer.execute('commit')
        await insert(others, ['2', 'd'])
        const { slices } = await catchUp(await stream())
        const filled = slices.filter(({ tables }) => tables.length > 0)
        assert.deepEqual(
          filled.flatMap(eventsOf).map(({ table }) => table),
          ['item', 'other', 'item', 'other'],
        )
        const ends = filled.flatMap(({ transactions }) => [...transactions.ends])
        assert.deepEqual(filled.length === 1 ? ends : [3, 4], [3, 4])
        for (const { transactions, position, committedMicros } of filled) {
          assert.ok(position !== null && committedMicros !== null)
          assert.equal(transactions.ids.length, transactions.ends.length)
          assert.ok([...transactions.committedMicros].every(it => it > before))
        }
      }),
  },
  {
    name: 'a large transaction comes in several slices, of which only the last has a position',
    when: can => can.transactions && can.everyVersion,
    check: system =>
      withCapture(system, async ({ insert, session, stream, catchUp }) => {
        const writer = await session()
        const name = 'n'.repeat(1000)
        await writer.execute('begin')
        for (let id = 1; id <= 300; id++) await insert(items, [String(id), name, '1'], writer)
        await writer.execute('commit')
        const { slices, events } = await catchUp(await stream(undefined, { sliceBytes: 32_768 }))
        assert.deepEqual(
          events.map(({ row }) => row[0]),
          Array.from({ length: 300 }, (_, i) => String(i + 1)),
        )
        const filled = slices.filter(({ tables }) => tables.length > 0)
        assert.ok(filled.length >= 5, `${filled.length} slices`)
        assert.ok(filled.slice(0, -1).every(({ position }) => position === null))
        assert.ok(filled.at(-1)?.position !== null)
      }),
  },
  {
    name: 'positions grow, and head lies at or behind everything that is committed',
    check: system =>
      withCapture(system, async ({ insert, captures, from, stream, catchUp }) => {
        const open = await stream()
        let last = from
        for (let id = 1; id <= 5; id++) {
          await insert(items, [String(id), 'a', '1'])
          const head = await captures.head(never)
          const { slices } = await catchUp(open)
          for (const { position } of slices) {
            if (position === null) continue
            assert.ok(captures.compare(last, position) <= 0)
            assert.ok(captures.compare(position, last) >= 0)
            last = position
          }
          assert.ok(captures.compare(last, head) >= 0)
          assert.equal(captures.compare(head, head), 0)
        }
      }),
  },
  {
    name: 'nothing but a sign of life comes while nothing happens, and it does come within ten seconds',
    check: system =>
      withCapture(system, async ({ stream, catchUp }) => {
        const open = await stream()
        await catchUp(open)
        const began = clock.monotonicMs()
        for (let signs = 0; signs < 2; signs++) {
          const came = await inTime('a sign of life', () => open.next())
          assert.ok(!('kind' in came) && came.tables.length === 0 && came.position !== null)
        }
        assert.ok(clock.monotonicMs() - began < 22_000)
      }),
  },
  {
    name: 'a column that is added or dropped is told in order, and no row before or behind it is lost',
    when: can => can.silentWriters && can.everyVersion,
    check: system =>
      withCapture(system, async ({ insert, run, stream, catchUp }) => {
        const open = await stream()
        await insert(items, ['1', 'one', '1'])
        await catchUp(open)
        await run(`alter table capture_items add column extra ${system.typeName(int64)}`)
        await run(`insert into capture_items (id, name, version, extra) values (2, 'two', 1, 5)`)
        const added = await catchUp(open)
        assert.ok(
          added.schemas.some(({ table, columns }) => table === 'item' && columns.some(it => it.name === 'extra')),
        )
        assert.deepEqual(
          added.events.map(({ row }) => row.slice(0, 3)),
          [['2', 'two', '1']],
        )
        await run('alter table capture_items drop column name')
        await run('insert into capture_items (id, version) values (3, 1)')
        const dropped = await catchUp(open)
        const last = dropped.schemas.at(-1)
        assert.ok(last !== undefined && last.columns.every(it => it.name !== 'name'))
        assert.deepEqual(last.key, ['id'])
        assert.equal(dropped.events.at(-1)?.row[0], '3')
        assert.deepEqual(
          dropped.slices.findLast(({ tables }) => tables.length > 0)?.tables[0]?.columns.map(it => it.name),
          ['id', 'version'],
        )
      }),
  },
]

const placesPromises: readonly CapturePromise[] = [
  {
    name: 'a stream that is opened behind any slice gives the rest, nothing twice and nothing lost',
    check: system =>
      withCapture(system, async ({ insert, update, captures, from, stream }) => {
        const mayRepeat = captures.can.repeats === true
        const writes = 12
        for (let id = 1; id <= writes; id++) {
          await insert(items, [String(id), 'a', '1'])
          if (id > 1) await update(items, '1', ['1', 'x', String(id)])
        }
        const head = await captures.head(never)
        const seen: string[] = []
        for (let at = from, opened = 0; captures.compare(at, head) < 0; opened++) {
          assert.ok(opened < writes * 4, 'each stream gets further')
          const open = await stream(at, { sliceBytes: 64, lingerMs: 0 })
          for (;;) {
            const came = await inTime('the next slice', () => open.next())
            assert.ok(!('kind' in came))
            seen.push(...eventsOf(came).map(({ row }) => `${row[0]} ${row[2]}`))
            if (came.position === null) continue
            at = came.position
            // Every other stream ends without a word to the source: what we kept counts, not what it was told.
            if (opened % 2 === 0) await open.confirm(at)
            break
          }
          await open.close()
        }
        if (!mayRepeat) assert.equal(new Set(seen).size, seen.length, `something came twice: ${seen.join(', ')}`)
        for (let id = 2; id <= writes; id++) assert.ok(seen.includes(`${id} 1`), `${id} was lost`)
        assert.ok(seen.includes(`1 ${writes}`))
      }),
  },
  {
    name: 'what was not confirmed comes again, and confirming twice does no harm',
    check: system =>
      withCapture(system, async ({ insert, captures, from, stream, catchUp }) => {
        await insert(items, ['1', 'a', '1'])
        const first = await stream()
        const head = await captures.head(never)
        for (;;) {
          const came = await inTime('the first slice', () => first.next())
          if (!('kind' in came) && came.position !== null && captures.compare(came.position, head) >= 0) break
        }
        await first.close()
        const second = await stream(from)
        const { events, slices } = await catchUp(second)
        assert.equal(events.length, 1)
        const { position } = slices.at(-1) as { position: string }
        await second.confirm(position)
        await second.confirm(position)
        await second.close()
        assert.equal((await catchUp(await stream(position))).events.length, 0)
      }),
  },
  {
    name: 'a second stream is refused while one is open, and let in after it',
    check: system =>
      withCapture(system, async ({ stream, from, tables }) => {
        const first = await stream()
        const adapter = await system.open()
        try {
          const again = capturesOf(adapter, system)
          const asked = { tables, from, spillDir: await system.spillDir() }
          await rejectsWith('CAPTURE_HELD', again.open(asked, never))
          await first.close()
          const second = await inTime('the second stream', () => again.open(asked, never))
          await second.close()
        } finally {
          await adapter.close()
        }
      }),
  },
  {
    name: 'a position of a log that was made anew, and text that is no position, are refused and never skipped',
    check: system =>
      withCapture(system, async ({ insert, captures, tables, from, stream, catchUp }) => {
        await rejectsWith('POSITION_LOST', stream('no position at all'))
        const open = await stream()
        await insert(items, ['1', 'a', '1'])
        const { slices } = await catchUp(open)
        const last = slices.findLast(({ position }) => position !== null)?.position as string
        await open.close()
        await captures.remove(never)
        await system.makeAnew?.()
        await insert(items, ['2', 'never seen', '1']).catch(() => undefined) // an outbox may be gone with it
        const anew = await captures.install(tables, never)
        await rejectsWith('POSITION_LOST', stream(last))
        await rejectsWith('POSITION_LOST', stream(from))
        await catchUp(await stream(anew))
      }),
  },
  {
    name: 'a stream whose connection ends says so, and the next one goes on from what was kept',
    when: (_, system) => system.cut !== undefined,
    check: system =>
      withCapture(system, async ({ insert, from, stream, catchUp }) => {
        const open = await stream()
        await insert(items, ['1', 'a', '1'])
        const { slices } = await catchUp(open)
        const kept = slices.findLast(({ position }) => position !== null)?.position ?? from
        await system.cut?.()
        const error = await refusal(
          inTime('the end of the connection', async () => {
            for (;;) await open.next()
          }),
        )
        assert.ok(isNaruError(error) && error.retry === 'later', said(error))
        await open.close()
        await insert(items, ['2', 'b', '1'])
        const { events } = await catchUp(await refusedOnce(stream, kept))
        assert.deepEqual(
          events.map(({ row }) => row[0]),
          ['2'],
        )
      }),
  },
  {
    name: 'a stream ends at its signal, and closing it twice does no harm',
    check: system =>
      withCapture(system, async ({ captures, tables, from, stream, catchUp }) => {
        const stop = new AbortController()
        const open = await captures.open({ tables, from, spillDir: await system.spillDir() }, stop.signal)
        const waiting = (async () => {
          for (;;) await open.next()
        })()
        stop.abort()
        await rejectsWith(
          'CANCELLED',
          inTime('the end of the stream', () => waiting),
        )
        await open.close()
        await open.close()
        await catchUp(await refusedOnce(stream, from))
      }),
  },
]

const setupPromises: readonly CapturePromise[] = [
  {
    name: 'install and remove may be repeated, are shown before, and leave nothing to say',
    check: system =>
      withCapture(system, async ({ captures, tables, from }) => {
        const again = await captures.install(tables, never)
        assert.ok(captures.compare(again, from) >= 0)
        const { install, remove } = captures.script(tables)
        assert.ok(install.every(it => it.trim() !== '') && remove.every(it => it.trim() !== ''))
        const fatal = (await captures.inspect(tables, never)).filter(it => it.isFatal)
        assert.deepEqual(fatal, [])
        await captures.remove(never)
        await captures.remove(never)
        const anew = await captures.install(tables, never)
        assert.equal(typeof anew, 'string')
      }),
  },
  {
    name: 'a table that is not there is a fatal problem with a way out, and is not installed',
    check: system =>
      withCapture(system, async ({ captures, tables }) => {
        const missing: CapturedTable = { ...(tables[0] as CapturedTable), name: 'ghost', remote: 'no_such_table' }
        const problems = await captures.inspect([missing], never)
        assert.ok(problems.some(it => it.isFatal && it.table === 'ghost' && it.text !== '' && it.fix !== ''))
        await rejectsWith('CAPTURE_NOT_READY', captures.install([missing], never))
      }),
  },
  {
    name: 'lag counts what is not confirmed, and is told while a slice is waited for',
    check: system =>
      withCapture(system, async ({ insert, stream, catchUp }) => {
        const open = await stream()
        await catchUp(open)
        const waiting = open.next()
        const before = await open.lag(never)
        assert.ok(before.bytes === null || before.bytes >= 0n)
        assert.equal(before.trouble, null)
        await waiting
        for (let id = 1; id <= 50; id++) await insert(items, [String(id), 'l'.repeat(500), '1'])
        const behind = await open.lag(never)
        if (behind.bytes !== null && before.bytes !== null) assert.ok(behind.bytes > before.bytes)
        await catchUp(open)
      }),
  },
  {
    name: 'a view tells which transactions it has seen',
    when: (can, system) => can.transactions && system.oneWriter !== true,
    check: system =>
      withCapture(system, async ({ adapter, insert, session, stream, catchUp }) => {
        const open = await stream()
        await insert(items, ['1', 'before', '1'])
        const writer = await session()
        await writer.execute('begin')
        await insert(items, ['2', 'open', '1'], writer)
        const view = await adapter.tables?.openSnapshot(never)
        try {
          await writer.execute('commit')
          await insert(items, ['3', 'after', '1'])
          const { slices } = await catchUp(open)
          if (view?.includes === undefined) return
          const seen = slices.flatMap(({ transactions }) => [...transactions.ids].map(id => view.includes?.(id)))
          assert.deepEqual(seen, [true, false, false])
        } finally {
          await view?.close()
        }
      }),
  },
]

/** What every capture must keep. The test runner of the caller names and runs each; see `capturePromisesFor`. */
export const capturePromises: readonly CapturePromise[] = [
  ...writesPromises,
  ...slicesPromises,
  ...placesPromises,
  ...setupPromises,
  ...concurrencyPromises,
]

function truncate(system: CaptureSystem): string {
  return system.truncate?.(items.remote) ?? `truncate table ${items.remote}`
}

function json(text: string | null | undefined): unknown {
  return text == null ? null : JSON.parse(text)
}

/** Opens a stream behind one that has just ended: the source may need a moment to see its end. */
async function refusedOnce<T>(stream: (from: string) => Promise<T>, from: string): Promise<T> {
  return inTime('the end of the stream before', async () => {
    for (;;) {
      try {
        return await stream(from)
      } catch (error) {
        if (!isNaruError(error, 'CAPTURE_HELD')) throw error
      }
    }
  })
}
