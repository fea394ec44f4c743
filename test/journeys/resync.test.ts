import { afterEach, describe, expect, test, vi } from 'vitest'
import { openProjectBus } from '../../src/app/bus.ts'
import { runLive } from '../../src/app/live/run-live.ts'
import { openEngine } from '../../src/app/project.ts'
import { resync, resyncOn } from '../../src/app/resync.ts'
import type { Resynced } from '../../src/app/resync/request.ts'
import { makeCrew } from '../../src/app/server/crew.ts'
import type { Turns } from '../../src/app/live/turns.ts'
import { fail } from '../../src/core/errors.ts'
import { rawSql } from '../../src/core/sql.ts'
import type { Row } from '../../src/services/engine/contract.ts'
import { never } from '../../src/testing/engine.ts'
import {
  commit,
  follow,
  item,
  place,
  scriptedProject,
  withCaptures,
  type ScriptedProject,
} from '../support/scripted.ts'

// `naru resync`: a table is read again while its stream goes on. (On a real PostgreSQL, under writers: stream-postgres.test.ts.)

let project: ScriptedProject
afterEach(() => project.remove())

const items = 'select id, label, amount from ods.item order by id'
const row = (id: number, label: string, amount: number): { id: number; label: string; amount: number } => ({
  id,
  label,
  amount,
})

/** Ten items of amount 0, published. */
async function tenItems(options?: Parameters<typeof scriptedProject>[0]): Promise<void> {
  project = await scriptedProject(options)
  const all = Array.from({ length: 10 }, (_, i) => item('insert', { id: i + 1, label: `n${i + 1}`, amount: 0 }))
  await project.happen(commit(...all), commit(place('insert', { id: 1, name: 'here' })))
  await project.run()
}

/** What the stream did not tell: a row more, one that is gone, one of another value. */
const silently = (): Promise<void> =>
  project.rewrite(
    0,
    commit(...[1, 2, 3, 5, 6, 7, 8, 9, 10, 20].map(id => item('insert', row(id, `n${id}`, id === 3 ? 33 : 0)))),
  )

const again = (selector = 'shop.item', part: object = {}): Promise<Resynced> =>
  resync(project.open, { selector, ...part, emit: event => void project.events.push(event), signal: never })

describe('a table of a stream that is read again', () => {
  test('is what its source is, and only what differed went through the stages', async () => {
    await tenItems()
    await silently()
    await project.happen(commit(item('update', { id: 5, amount: 5 })), commit(item('delete', { id: 6 })))
    const done = await again()
    expect(done.tables).toEqual([{ table: 'shop.item', inserted: 1, updated: 1, deleted: 1, touched: 2 }])
    const all = await project.rows(items)
    expect(all).toEqual([1, 2, 3, 5, 7, 8, 9, 10, 20].map(id => row(id, `n${id}`, { 3: 33, 5: 5 }[id] ?? 0)))
    expect((await again()).tables).toEqual([{ table: 'shop.item', inserted: 0, updated: 0, deleted: 0, touched: 0 }])
    expect(await project.rows('select count(*)::integer as n from naru.reject')).toEqual([{ n: 0 }])
  })

  test('keeps what the stream says of a row that changes while it is read', async () => {
    await tenItems({ options: { chunkRows: 3, sliceLines: 1 } })
    await silently()
    await project.meanwhile(
      commit(item('update', { id: 1, amount: 1 }), item('insert', row(11, 'new', 11))),
      commit(item('delete', { id: 7 }), item('move', { id: 70 })),
      commit(item('delete', { id: 10 })),
    )
    const [done] = (await again()).tables
    expect(done).toMatchObject({ inserted: 1, updated: 1, deleted: 1 })
    expect(done?.touched).toBeGreaterThanOrEqual(5)
    const rest = [2, 3, 5, 6, 8, 9].map(id => row(id, `n${id}`, id === 3 ? 33 : 0))
    const last = [row(11, 'new', 11), row(20, 'n20', 0), row(70, 'n7', 0)]
    expect(await project.rows(items)).toEqual([row(1, 'n1', 1), ...rest, ...last])
  })

  test('is brought to where its source is in steps, however much waits', async () => {
    await tenItems()
    const waiting = Array.from({ length: 40 }, (_, i) => commit(item('update', { id: (i % 10) + 1, amount: i })))
    await project.happen(...waiting)
    await again('shop.item', { stepBytes: 1000 })
    const steps = project.events.filter(it => it.kind === 'rows' && it.step === 'changes of shop')
    expect(steps.length).toBeGreaterThan(3)
    expect(await project.rows('select sum(amount)::integer as sum from ods.item')).toEqual([{ sum: 345 }])
  })

  test('that is emptied while it is read follows its stream', async () => {
    await tenItems()
    await project.meanwhile(commit(item('truncate'), item('insert', row(1, 'again', 1))))
    expect((await again()).tables).toEqual([{ table: 'shop.item', inserted: 0, updated: 0, deleted: 0, touched: null }])
    expect(await project.rows(items)).toEqual([row(1, 'again', 1)])
  })
})

describe('a source whose place is lost', () => {
  test.each(['another log', 'no durable log'])('is installed anew, and compared: %s', async lost => {
    await tenItems()
    const change = [commit(item('update', { id: 1, amount: 1 })), commit(item('delete', { id: 2 }))]
    await project.happen(...change)
    if (lost === 'another log') await project.renew('story-2')
    else await project.loseLog()
    await expect(project.run()).rejects.toMatchObject({ fix: expect.stringContaining('naru resync') as string })
    const done = await again('shop')
    expect(done.tables[0]).toMatchObject({ table: 'shop.item', inserted: 0, updated: 1, deleted: 1 })
    expect(done.gap).toContain('shop.item: what changed between story-1:000002')
    expect(await project.rows('select count(*)::integer as n, sum(amount)::integer as sum from ods.item')).toEqual([
      { n: 9, sum: 1 },
    ])
    await project.happen(commit(item('update', { id: 3, amount: 3 })))
    await project.run()
    const live = await follow(project)
    await live.untilRows('select sum(amount)::integer from ods.item', [[4]])
    await live.stop()
  })
})

test('changes of a table whose rows are never read are taken before its stream is installed anew, and who has not read them is told', async () => {
  project = await scriptedProject({ tables: { place: { change: { technique: 'log', start: 'now' } } } })
  await project.happen(commit(item('insert', row(1, 'n1', 0))), commit(place('insert', { id: 1, name: 'before' })))
  await project.run()
  const bus = await openProjectBus(project.open, () => {})
  const topic = await bus.openTopic('changes.shop', { keepBytes: 0 })
  await (await topic.subscribe('billing', 'start')).close()
  await bus.close()
  await project.happen(commit(place('insert', { id: 2, name: 'told' })))
  const done = await again('shop')
  expect(await project.rows('select id, name from ods.place')).toEqual([{ id: 2, name: 'told' }])
  expect(done.gap).toMatch(/shop\.item: .* was found by comparing.*shop\.place: .* is not told: its rows are not read/)
  expect(project.events).toContainEqual({
    kind: 'note',
    level: 'warn',
    code: 'STREAM_ANEW',
    text: expect.stringMatching(/^subscriber "billing" has not acknowledged some messages of changes.shop/) as string,
  })
})

describe('in a server', () => {
  /** The loop of `naru start`, with the names of what it stood still for. */
  const serving = async (): Promise<{
    readonly stoodStill: readonly string[]
    again(selector: string): Promise<Resynced>
    rows(query: string): Promise<readonly Row[]>
    stop(): Promise<void>
  }> => {
    const engine = await openEngine(project.open, 'write')
    const crew = makeCrew()
    const ending = new AbortController()
    const stoodStill: string[] = []
    const emit = (): void => {}
    const loop = async (): Promise<void> => {
      while (!ending.signal.aborted) {
        const signal = AbortSignal.any([ending.signal, crew.begin()])
        await runLive(project.open, engine, { emit, signal, lingerMs: 1, waiting: crew.visits })
        await crew.work(ending.signal)
      }
    }
    const going = loop()
    const alone: Turns['alone'] = (what, signal, work) => {
      stoodStill.push(what)
      return crew.alone(what, signal, work)
    }
    return {
      stoodStill,
      again: selector => {
        const options = { selector, emit, signal: never }
        return resyncOn(project.open, engine, options, { alone, between: crew.between })
      },
      rows: query => engine.transaction(never, tx => tx.rows(rawSql(query))),
      stop: async () => {
        ending.abort(new Error('stopped by the test'))
        await going
        await engine.close()
      },
    }
  }

  test('the session stands still for the forgetting alone, and reads the tables of the source beside its ticks', async () => {
    await tenItems()
    await silently()
    const server = await serving()
    expect((await server.again('shop')).tables).toEqual([
      { table: 'shop.item', inserted: 1, updated: 1, deleted: 1, touched: 0 },
      { table: 'shop.place', inserted: 0, updated: 0, deleted: 0, touched: 0 },
    ])
    expect(server.stoodStill).toEqual(['naru resync'])
    await server.stop()
  })

  test('the session does not stand still for one table: what its stream brings meanwhile comes by ticks', async () => {
    await tenItems({ options: { chunkRows: 3, sliceLines: 1 } })
    await silently()
    const server = await serving()
    await project.meanwhile(
      commit(item('update', { id: 1, amount: 1 }), item('insert', row(11, 'new', 11))),
      commit(item('delete', { id: 7 })),
    )
    const [found] = (await server.again('shop.item')).tables
    expect(found).toMatchObject({ inserted: 1, updated: 1, deleted: 1 })
    expect(server.stoodStill).toEqual([])
    await project.happen(commit(item('update', { id: 3, amount: 34 }), item('delete', { id: 20 })))
    const rows = [1, 2, 3, 5, 6, 8, 9, 10, 11].map(id => ({ id, amount: { 1: 1, 3: 34, 11: 11 }[id] ?? 0 }))
    await vi.waitFor(
      async () => expect(await server.rows('select id, amount from ods.item order by id')).toEqual(rows),
      {
        timeout: 120_000,
      },
    )
    // Versions of a row are in order, over what the session and the resync each brought of it.
    expect(
      await server.rows(`
        select amount from (
          select "_load", "_line", amount from staging.shop_item where id = 3 union all
          select "_load", "_line", amount from staging.shop_item__past where id = 3)
        order by "_load", "_line" nulls first`),
    ).toEqual([0, 33, 34].map(amount => ({ amount })))
    await server.stop()
    expect(await project.rows(`select distinct state from naru.run`)).toEqual([{ state: 'done' }])
  })

  test.each([{ selector: 'shop' }, { selector: 'shop.item' }])(
    'a stream that stops ends the resync of $selector with its reason',
    async ({ selector }) => {
      await tenItems()
      let isRefused = false
      project = withCaptures(project, captures => ({
        ...captures,
        open: (request, signal) => {
          if (!isRefused) return captures.open(request, signal)
          return Promise.reject(fail('POSITION_LOST', { source: 'shop', technique: 'log', problem: 'it is gone' }))
        },
      }))
      if (selector === 'shop.item') isRefused = true
      const server = await serving()
      isRefused = true
      await expect(server.again(selector)).rejects.toMatchObject({ code: 'POSITION_LOST' })
      isRefused = false
      await server.stop()
    },
  )
})

test.each([
  ['shop.nothing', {}, 'the config has'],
  ['shop', { where: 'true' }, 'a part is one of a table'],
  ['shop.item', { where: 'true', range: { column: 'id', from: '1', to: '2' } }, 'not two of them'],
])('refuses %s %j', async (selector, part, problem) => {
  await tenItems()
  await expect(again(selector, part)).rejects.toMatchObject({
    code: 'RESYNC_UNABLE',
    message: expect.stringContaining(problem) as string,
  })
})
