import assert from 'node:assert/strict'
import { realEnv } from '../../core/env.ts'
import {
  imageOf,
  items,
  withCapture,
  type Bench,
  type CapturePromise,
  type Event,
  type Row,
  type WriterSession,
} from './conformance-capture-support.ts'
import { never, readAll } from './conformance-support.ts'

/** How long several writers write at once. */
const RACE_MS = 2_500
const WRITERS = 4
const KEYS = 20
const { clock } = realEnv()

/** What holds while several transactions are open at once. */
export const concurrencyPromises: readonly CapturePromise[] = [
  {
    name: 'a transaction that commits late is not lost behind one that began later',
    when: (_, system) => system.oneWriter !== true,
    check: system =>
      withCapture(system, async ({ insert, session, stream, catchUp }) => {
        const open = await stream()
        const late = await session()
        await late.execute('begin')
        await insert(items, ['1', 'late', '1'], late)
        await insert(items, ['2', 'early', '1'])
        const first = (await catchUp(open)).events.map(({ row }) => row[0])
        assert.deepEqual(first, ['2'])
        await late.execute('commit')
        const second = (await catchUp(open)).events.map(({ row }) => row[0])
        assert.deepEqual(second, ['1'])
      }),
  },
  {
    name: 'a stream that is opened anew while a transaction is open does not lose it',
    when: (_, system) => system.oneWriter !== true,
    check: system =>
      withCapture(system, async ({ insert, session, stream, catchUp }) => {
        const late = await session()
        await late.execute('begin')
        await insert(items, ['1', 'late', '1'], late)
        await insert(items, ['2', 'early', '1'])
        const first = await stream()
        const { slices } = await catchUp(first)
        const at = slices.findLast(({ position }) => position !== null)?.position as string
        await first.close()
        await insert(items, ['3', 'between', '1'])
        await late.execute('commit')
        const { events } = await catchUp(await stream(at))
        assert.deepEqual(events.map(({ row }) => row[0]).toSorted(), ['1', '3'])
      }),
  },
  {
    name: 'what is rolled back never comes, also where it is a part of a transaction',
    check: system =>
      withCapture(system, async ({ insert, session, stream, catchUp }) => {
        const writer = await session()
        await writer.execute('begin')
        await insert(items, ['1', 'gone', '1'], writer)
        await writer.execute('rollback')
        await writer.execute('begin')
        await insert(items, ['2', 'kept', '1'], writer)
        await writer.execute('savepoint part')
        await insert(items, ['3', 'gone', '1'], writer)
        await writer.execute('rollback to savepoint part')
        await insert(items, ['4', 'kept', '1'], writer)
        await writer.execute('commit')
        const { events } = await catchUp(await stream())
        assert.deepEqual(
          events.map(({ row }) => row[0]),
          ['2', '4'],
        )
      }),
  },
  {
    name: 'under concurrent writers the copy equals the table, and every key has its versions in order',
    check: system =>
      withCapture(system, async bench => {
        const { adapter, captures, stream, catchUp } = bench
        const { can } = captures
        const open = await stream()
        const until = clock.monotonicMs() + RACE_MS
        const count = system.oneWriter === true ? 1 : WRITERS
        const writing = Promise.all(Array.from({ length: count }, (_, i) => write(bench, i, until)))
        const events: Event[] = []
        for (let isOver = false; !isOver;) {
          isOver = clock.monotonicMs() > until
          if (isOver) await writing
          events.push(...(await catchUp(open)).events)
        }
        const histories = new Map((await writing).flatMap(it => [...it]))
        const view = await adapter.tables?.openSnapshot(never)
        assert.ok(view !== undefined)
        const { rows } = await readAll(view, items)
        await view.close()
        const image = imageOf(events, 'item')
        assert.deepEqual([...image.values()].toSorted(byId), [...rows].toSorted(byId))
        if (!can.everyVersion) return
        for (const [id, versions] of histories) {
          const came = events.filter(it => it.row[0] === id).map(({ op, row }) => (op === 'delete' ? '-' : row[2]))
          assert.deepEqual(came, versions, `the versions of ${id}`)
        }
      }),
  },
]

function byId(a: Row, b: Row): number {
  return Number(a[0]) - Number(b[0])
}

/** One writer with keys of its own: small and held transactions, some rolled back. Gives what it committed, by key. */
async function write(bench: Bench, writer: number, until: number): Promise<ReadonlyMap<string, readonly string[]>> {
  const session = await bench.session()
  const histories = new Map<string, string[]>()
  const state = new Map<string, number>()
  let seed = writer + 1
  const next = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return (seed >> 8) % below
  }
  while (clock.monotonicMs() < until) {
    const before = new Map(state)
    const made: [string, string][] = []
    await session.execute('begin')
    for (let i = next(6) + 1; i > 0; i--) {
      const id = String(writer * KEYS + next(KEYS))
      made.push([id, await change(bench, { session, id, state, isDelete: next(5) === 0 })])
    }
    if (next(10) === 0) await clock.sleep(next(200))
    if (next(8) > 0) {
      await session.execute('commit')
      for (const [id, version] of made) histories.set(id, [...(histories.get(id) ?? []), version])
      continue
    }
    await session.execute('rollback')
    state.clear()
    for (const [id, version] of before) state.set(id, version)
  }
  await session.close()
  return new Map([...histories].map(([id, versions]) => [id, versions.filter(it => it !== '')]))
}

/** One change of one key; gives the version that it has then, `-` for none. */
async function change(
  { insert, update, remove, captures }: Bench,
  given: {
    readonly session: WriterSession
    readonly id: string
    readonly state: Map<string, number>
    readonly isDelete: boolean
  },
): Promise<string> {
  const { session, id, state } = given
  const version = state.get(id)
  if (given.isDelete && version !== undefined && captures.can.deletes) {
    await remove(items, id, session)
    state.delete(id)
    return '-'
  }
  const now = (version ?? 0) + 1
  state.set(id, now)
  const row = [id, `version ${now}`, String(now)]
  await (version === undefined ? insert(items, row, session) : update(items, id, row, session))
  return String(now)
}
