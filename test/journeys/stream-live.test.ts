import { afterEach, describe, expect, test } from 'vitest'
import { openProjectBus } from '../../src/app/bus.ts'
import { openEngine } from '../../src/app/project.ts'
import type { AdapterImplementation } from '../../src/app/registry.ts'
import { runProject } from '../../src/app/run-project.ts'
import { resync } from '../../src/app/resync.ts'
import { openStream } from '../../src/app/stream/session.ts'
import { streamsOf, type StreamDef } from '../../src/app/stream/streams.ts'
import { defaultContract } from '../../src/config/model.ts'
import type { RunEvent } from '../../src/core/events.ts'
import { checkProject } from '../../src/app/check/check.ts'
import { logColumnDefs } from '../../src/config/append.ts'
import { realEnv } from '../../src/core/env.ts'
import { fail } from '../../src/core/errors.ts'
import type { ReadsTables } from '../../src/services/adapter/contract.ts'
import type { LiveSource } from '../../src/app/live/status-types.ts'
import { never } from '../../src/testing/engine.ts'
import type { StoryLine } from '../../src/testing/scripted/story.ts'
import {
  col,
  commit,
  follow,
  item,
  itemColumns,
  place,
  placeColumns,
  scriptedProject,
  withAdapter,
  withCaptures,
  withReads,
  type Following,
  type ScriptedOptions,
  type ScriptedProject,
} from '../support/scripted.ts'

let project: ScriptedProject
let live: Following | undefined

const start = async (options?: ScriptedOptions): Promise<void> => void (project = await scriptedProject(options))

afterEach(async () => {
  await live?.stop()
  live = undefined
  await project.remove()
})

const items = 'select id, label, amount from ods.item order by id'
const places = 'select id, name from ods.place order by id'

describe('a live session', () => {
  test('follows its source through every stage, and says how far behind it is', async () => {
    await start()
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    live = await follow(project)
    await live.untilRows(items, [[1, 'a', 1]])
    await project.happen(
      commit(item('insert', { id: 2, label: 'b', amount: 2 }), place('insert', { id: 1, name: 'p' })),
    )
    await live.untilRows(items, [
      [1, 'a', 1],
      [2, 'b', 2],
    ])
    await project.happen(commit(item('update', { id: 1, amount: 5 })), commit(item('delete', { id: 2 })))
    await live.untilRows(items, [[1, 'a', 5]])
    await live.untilRows(places, [[1, 'p']])
    const table = live.status()?.tables.find(it => it.table === 'shop.item')
    expect(table).toMatchObject({ state: 'live', technique: 'log', position: 'story-1:000004', rows: 3, error: null })
    expect(table?.behindMs).not.toBeNull()
    expect(live.status()?.sources).toMatchObject([{ source: 'shop', technique: 'log', trouble: null }])
  })

  test('goes on where it ended, without reading the tables again', async () => {
    await start()
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    live = await follow(project)
    await live.untilRows(items, [[1, 'a', 1]])
    await live.stop()
    await project.happen(commit(item('insert', { id: 2, label: 'b', amount: 2 })))
    live = await follow(project)
    await live.untilRows(items, [
      [1, 'a', 1],
      [2, 'b', 2],
    ])
    const loads = await live.rows(`select scope, state from naru.load where "table" = 'item' order by load`)
    expect(loads.map(row => Object.values(row))).toEqual([
      ['all', 'published'],
      ['delta', 'published'],
    ])
    await live.stop()
    live = undefined
    expect(await project.rows('select distinct state from naru.run')).toEqual([{ state: 'done' }])
  })

  test('a durable log that somebody removes stops its stream before anything else is written', async () => {
    await start()
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    live = await follow(project)
    await live.untilRows(items, [[1, 'a', 1]])
    await project.loseLog()
    const codes = (): unknown => live?.status()?.sources.map(it => it.trouble?.code)
    await live.until(() => JSON.stringify(codes()) === '["STREAM_LOG_GONE"]', 'the log to be missed')
    expect(live.status()?.tables.map(it => [it.state, it.error?.code])).toEqual([
      ['stopped', 'STREAM_LOG_GONE'],
      ['stopped', 'STREAM_LOG_GONE'],
    ])
    await live.stop()
    live = undefined
    expect(await project.rows('select "table", code from naru.stopped order by 1')).toEqual([
      { table: 'item', code: 'STREAM_LOG_GONE' },
      { table: 'place', code: 'STREAM_LOG_GONE' },
    ])
    expect(await project.rows('select id from ods.item')).toEqual([{ id: 1 }])
  })

  test('a table whose source is away waits for it, and says so until it is back', async () => {
    await start()
    let isAway = false
    const away = fail('SOURCE_UNREACHABLE', { source: 'shop', address: 'shop', problem: 'no route' })
    const { open } = withCaptures(project, captures => ({
      ...captures,
      open: async (request, signal) => {
        if (isAway) throw away
        const stream = await captures.open(request, signal)
        const next: typeof stream.next = () => (isAway ? Promise.reject(away) : stream.next())
        return { ...stream, next }
      },
    }))
    live = await follow({ ...project, open })
    const states = (): string => String(live?.status()?.tables.map(it => it.state))
    await live.until(() => states() === 'live,live', 'the stream')
    isAway = true
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    await live.until(() => states() === 'waiting,waiting', 'the source to be missed')
    const trouble = live.status()?.sources[0]?.trouble
    expect(trouble).toMatchObject({
      code: 'SOURCE_UNREACHABLE',
      failures: expect.any(Number),
      againMicros: expect.any(BigInt),
    })
    isAway = false
    await live.untilRows(items, [[1, 'a', 1]])
    await live.until(() => states() === 'live,live', 'the stream again')
  })

  test('a table that is new joins while the others go on', async () => {
    await start({ options: { chunkRows: 2 } })
    const rows = Array.from({ length: 9 }, (_, i) => place('insert', { id: i + 1, name: `p${i + 1}` }))
    await project.happen(commit(...rows, item('insert', { id: 1, label: 'a', amount: 1 })))
    await project.run(['shop.item'])
    await project.happen(commit(place('update', { id: 3, name: 'P3' }), item('update', { id: 1, label: 'b' })))
    live = await follow(project)
    await live.untilRows(items, [[1, 'b', 1]])
    await project.happen(commit(place('delete', { id: 1 }), place('update', { id: 2, name: 'P2' })))
    await live.untilRows('select count(*)::integer, min(name), max(id) from ods.place', [[8, 'P2', 9]])
    expect(live.status()?.tables.map(it => it.state)).toEqual(['live', 'live'])
  })

  test('a table whose shape its contract does not take stops, and the others go on', async () => {
    await start()
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    live = await follow(project)
    await live.untilRows(items, [[1, 'a', 1]])
    const columns = itemColumns.filter(column => column.name !== 'label')
    await project.happen(
      commit(item('insert', { id: 2, label: 'b', amount: 2 })),
      { at: 1, schema: { table: 'item', columns, key: ['id'] } },
      commit(item('insert', { id: 3, amount: 3 }), place('insert', { id: 1, name: 'p' })),
    )
    await live.untilRows(places, [[1, 'p']])
    expect(await live.rows('select id from ods.item order by id')).toEqual([{ id: 1 }, { id: 2 }])
    const stopped = live.status()?.tables.find(it => it.table === 'shop.item')
    expect(stopped).toMatchObject({
      state: 'stopped',
      error: { code: 'SOURCE_COLUMN_GONE' },
      position: 'story-1:000002',
    })
    expect(await live.rows('select "table", code from naru.stopped')).toEqual([
      { table: 'item', code: 'SOURCE_COLUMN_GONE' },
    ])
  })

  test('values that no longer fit their type are rejected, and the rest of the tick is there', async () => {
    await start({ tables: { item: { contract: { ...defaultContract, types: 'evolve' } } } })
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    live = await follow(project)
    await live.untilRows(items, [[1, 'a', 1]])
    const columns = [col('id', { kind: 'int', bits: 32 }), col('label'), col('amount')]
    await project.happen(
      { at: 1, schema: { table: 'item', columns, key: ['id'] } },
      commit(
        { table: 'item', op: 'insert', row: { id: 2, label: 'b', amount: '7' } },
        { table: 'item', op: 'insert', row: { id: 3, label: 'c', amount: 'seven' } },
        place('insert', { id: 1, name: 'p' }),
      ),
    )
    await live.untilRows(items, [
      [1, 'a', 1],
      [2, 'b', 7],
    ])
    const rejects = await live.rows('select reason, row_key, content from naru.reject')
    expect(rejects).toEqual([{ reason: 'VALUE_NOT_IN_TYPE', row_key: '{"id":"3"}', content: 'amount: seven' }])
    expect(live.status()?.tables[0]).toMatchObject({ state: 'live', rejected: 1 })
  })

  test.each([1, 4])(
    'what builds on a rejected change is set aside, until the row comes whole: %i changes at once',
    async sliceLines => {
      await start({ tables: { item: { contract: { ...defaultContract, types: 'evolve' } } }, options: { sliceLines } })
      await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
      await project.run()
      const columns = [col('id', { kind: 'int', bits: 32 }), col('label'), col('amount')]
      const changed = (row: Record<string, string | number>): StoryLine =>
        commit({ table: 'item', op: 'update', row: { id: 1, ...row } })
      await project.happen(
        { at: 1, schema: { table: 'item', columns, key: ['id'] } },
        changed({ label: 'b', amount: 'seven' }),
        changed({ label: 'c' }),
        changed({ amount: '8' }),
      )
      if (sliceLines === 1) await project.run()
      live = await follow(project)
      const rejects = `select reason from naru.reject where row_key = '{"id":"1"}' order by load, line`
      await live.untilRows(rejects, [['VALUE_NOT_IN_TYPE'], ['CHANGE_INCOMPLETE'], ['CHANGE_INCOMPLETE']])
      expect(await live.rows(items)).toEqual([{ id: 1, label: 'a', amount: 1 }])
      await project.happen(changed({ label: 'd', amount: '9' }), changed({ label: 'e' }))
      await live.untilRows(items, [[1, 'e', 9]])
    },
  )

  test('a column that is new and taken in is read for the rows that are there already', async () => {
    await start({ tables: { item: { contract: { ...defaultContract, added: 'evolve' } } } })
    await project.happen(
      commit(item('insert', { id: 1, label: 'a', amount: 1 }), item('insert', { id: 2, label: 'b', amount: 1 })),
    )
    live = await follow(project)
    await live.untilRows('select id from ods.item order by id', [[1], [2]])
    const columns = [...itemColumns, col('colour')]
    await project.happen(
      { at: 1, schema: { table: 'item', columns, key: ['id'] } },
      commit({ table: 'item', op: 'update', row: { id: 1, colour: 'red' } }),
      commit({ table: 'item', op: 'insert', row: { id: 3, label: 'c', amount: 3, colour: 'blue' } }),
    )
    await live.untilRows('select id, label, colour from staging.shop_item order by id', [
      [1, 'a', 'red'],
      [2, 'b', null],
      [3, 'c', 'blue'],
    ])
    await project.happen(commit({ table: 'item', op: 'update', row: { id: 2, colour: 'green' } }))
    await live.untilRows(`select label, colour from staging.shop_item where id = 2`, [['b', 'green']])
  })

  test.each([
    ['a column that its contract takes in', [...itemColumns, col('colour')], undefined],
    ['rows that no change tells of', itemColumns, 'a partition was dropped'],
  ] as const)('%s, told during a first load: the table is read again, and joins', async (_, columns, unseen) => {
    await start({ tables: { item: { contract: { ...defaultContract, added: 'evolve' } } } })
    await project.happen(
      commit(item('insert', { id: 1, label: 'a', amount: 1 }), place('insert', { id: 1, name: 'p' })),
    )
    await project.run(['shop.place'])
    await project.meanwhile(
      { at: 1, schema: { table: 'item', columns, key: ['id'], ...(unseen && { unseen }) } },
      commit(item('insert', { id: 2, label: 'b', amount: 2 }), place('insert', { id: 2, name: 'q' })),
    )
    live = await follow(project)
    await live.untilRows(items, [
      [1, 'a', 1],
      [2, 'b', 2],
    ])
    await project.happen(commit(item('update', { id: 1, amount: 5 }), place('delete', { id: 1 })))
    await live.untilRows('select amount from ods.item order by id', [[5], [2]])
    await live.untilRows(places, [[2, 'q']])
    const told = project.events.filter(event => event.kind === 'note' && event.code === 'STREAM_UNSEEN')
    expect(told).toHaveLength(unseen === undefined ? 0 : 1)
  })

  test('a table whose shape changed while a run read it first is read by the next run', async () => {
    await start({ tables: { item: { contract: { ...defaultContract, added: 'evolve' } } } })
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    await project.meanwhile(
      { at: 1, schema: { table: 'item', columns: [...itemColumns, col('colour')], key: ['id'] } },
      commit({ table: 'item', op: 'insert', row: { id: 2, label: 'b', amount: 2, colour: 'red' } }),
    )
    await project.run()
    await project.run()
    const colours = await project.rows('select id, colour from staging.shop_item order by id')
    expect(colours.map(row => Object.values(row))).toEqual([
      [1, null],
      [2, 'red'],
    ])
  })

  test('a change without a column of the config, that is not in the rows read just now, stops the table and is told', async () => {
    await start({ options: { lateViews: 1 } })
    await project.happen(
      commit(item('insert', { id: 1, label: 'a', amount: 1 }), place('insert', { id: 1, name: 'p' })),
      commit(),
    )
    await project.run()
    await project.happen(
      { at: 1, schema: { table: 'item', columns: itemColumns, key: ['id'], unseen: 'a partition was dropped' } },
      commit(),
    )
    await project.run()
    await project.meanwhile(
      { at: 1, schema: { table: 'item', columns: itemColumns.filter(it => it.name !== 'label'), key: ['id'] } },
      commit({ table: 'item', op: 'update', row: { id: 1, amount: 5 } }),
    )
    const { stopped } = await project.run()
    expect(stopped.map(({ table, error }) => [table.name, error.code])).toEqual([['item', 'SOURCE_COLUMN_GONE']])
    expect(await project.rows(items)).toEqual([{ id: 1, label: 'a', amount: 1 }])
  })

  test('a table gets a new column while another waits to be there: both are there', async () => {
    await start({ tables: { place: { contract: { ...defaultContract, added: 'evolve' } } } })
    await project.happen(
      commit(item('insert', { id: 1, label: 'a', amount: 1 }), place('insert', { id: 1, name: 'p' })),
    )
    await project.run(['shop.place'])
    let asked = 0
    // The first time it says more than it has: whoever waits for that waits for ever.
    const waiting = withCaptures(project, captures => ({
      ...captures,
      head: signal => (++asked === 1 ? Promise.resolve('story-1:999999') : captures.head(signal)),
    }))
    live = await follow(waiting)
    await live.until(() => asked === 1, 'the first load of item to wait')
    await project.happen(
      { at: 1, schema: { table: 'place', columns: [...placeColumns, col('colour')], key: ['id'] } },
      commit({ table: 'place', op: 'insert', row: { id: 2, name: 'q', colour: 'red' } }),
    )
    await live.untilRows(items, [[1, 'a', 1]])
    await live.untilRows('select id, colour from staging.shop_place order by id', [
      [1, null],
      [2, 'red'],
    ])
  })

  test('a source that fails when a table is read already: the table joins once it answers', async () => {
    const env = realEnv()
    const { clock } = env
    await start({ env: { ...env, clock: { ...clock, sleep: (ms, signal) => clock.sleep(Math.min(ms, 20), signal) } } })
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    await project.run(['shop.place'])
    let asked = 0
    const failing = withCaptures(project, captures => ({
      ...captures,
      head: signal => {
        const error = fail('SOURCE_UNREACHABLE', { source: 'shop', address: 'story', problem: 'the connection ended' })
        return ++asked === 1 ? Promise.reject(error) : captures.head(signal)
      },
    }))
    live = await follow(failing)
    await live.untilRows(items, [[1, 'a', 1]])
    expect(asked).toBeGreaterThan(1)
  })

  test('a table without a key whose source tells nothing of its views stops alone, before it is read, and a check says so', async () => {
    const keyless = {
      append: true as const,
      key: ['log_load', 'log_line'],
      columns: [...placeColumns, ...logColumnDefs],
    }
    await start({ tables: { place: keyless } })
    await project.happen(
      commit(item('insert', { id: 1, label: 'a', amount: 1 }), place('insert', { id: 1, name: 'p' })),
    )
    const { stopped } = await project.run()
    expect(stopped.map(it => [it.table.name, it.error.code])).toEqual([['place', 'APPEND_UNABLE']])
    expect(await project.rows(`select "table" from naru.load where state <> 'published'`)).toEqual([])
    live = await follow(project)
    await project.happen(commit(item('update', { id: 1, amount: 2 })))
    await live.untilRows(items, [[1, 'a', 2]])
    const isTold = (): boolean => live?.status()?.tables[1]?.error?.code === 'APPEND_UNABLE'
    await live.until(isTold, 'place to be told as stopped')
    const problems = await checkProject(project.open, never)
    expect(problems).toContainEqual(
      expect.objectContaining({ where: 'shop.place', level: 'error', code: 'APPEND_UNABLE' }),
    )
  })

  test.each([{ by: 'run' }, { by: 'session' }])(
    'a table that its stream gives no more stops alone, and is read again by its name: $by',
    async ({ by }) => {
      await start()
      await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
      await project.run()
      const problem = 'it was made anew'
      project = withCaptures(project, captures => ({
        ...captures,
        lost: async tables =>
          tables.flatMap(it => (it.name === 'item' && it.isFollowed === true ? [{ table: it.name, problem }] : [])),
      }))
      await project.happen(commit(item('update', { id: 1, amount: 2 }), place('insert', { id: 1, name: 'p' })))
      if (by === 'run') {
        const asked = { selectors: [], hashControls: false, emit: () => {}, signal: never }
        const { stopped } = await runProject(project.open, asked)
        expect(stopped.map(it => [it.table.name, it.error.code])).toEqual([['item', 'STREAM_TABLE_LOST']])
      } else {
        live = await follow(project)
        await live.untilRows(places, [[1, 'p']])
        await live.untilRows('select "table", code from naru.stopped', [['item', 'STREAM_TABLE_LOST']])
        const states = live.status()?.tables.map(it => [it.state, it.error?.code])
        expect(states).toEqual([
          ['stopped', 'STREAM_TABLE_LOST'],
          ['live', undefined],
        ])
        await live.stop()
        live = undefined
      }
      expect(await project.rows(items)).toEqual([{ id: 1, label: 'a', amount: 1 }])
      expect(await project.rows(places)).toEqual([{ id: 1, name: 'p' }])
      await resync(project.open, { selector: 'shop.item', emit: () => {}, signal: never })
      expect(await project.rows('select "table" from naru.stopped')).toEqual([])
      expect(await project.rows(items)).toEqual([{ id: 1, label: 'a', amount: 2 }])
    },
  )

  test('a stream that is lost in a tick takes nothing with it of what was polled', async () => {
    const env = realEnv()
    const { clock } = env
    let isLost = false
    // Between the end of the poll and the tick that takes it the stream brings something, which is gone by then.
    const sleep: typeof clock.sleep = async (ms, signal) => {
      const seen = (check: (it: LiveSource) => boolean): boolean => live?.status()?.sources.some(check) ?? false
      if (ms === 1 && !isLost && seen(({ readMicros }) => readMicros !== null)) {
        isLost = true
        await project.happen(commit(item('update', { id: 1, amount: 3 })))
        await live?.until(() => seen(({ logged }) => logged === 'story-1:000003'), 'the stream to be read')
      }
      await clock.sleep(ms, signal)
    }
    await start({
      env: { ...env, clock: { ...clock, sleep } },
      tables: { place: { change: { technique: 'full' } } },
      care: { compareMs: null, everyMs: 3_600_000 },
    })
    await project.happen(
      commit(item('insert', { id: 1, label: 'a', amount: 1 }), place('insert', { id: 1, name: 'p' })),
    )
    await project.run()
    await project.happen(commit(item('update', { id: 1, amount: 2 }), place('insert', { id: 2, name: 'q' })))
    const lost = await withReads(project, () => {
      if (!isLost) return Promise.resolve()
      throw fail('BUS_GAP', { topic: 'changes', after: '1', until: '2', most: 1, why: 'removed' })
    })
    live = await follow(lost)
    await live.untilRows(places, [
      [1, 'p'],
      [2, 'q'],
    ])
    const table = live.status()?.tables.find(it => it.table === 'shop.item')
    expect(table).toMatchObject({ state: 'stopped', error: { code: 'BUS_GAP' } })
    expect(isLost).toBe(true)
    await live.stop()
    live = undefined
    await lost.open.bus?.close()
  })

  test('whatever a poll fails with holds up no other source', async () => {
    await start({ tables: { place: { change: { technique: 'full' } } }, care: { compareMs: null, everyMs: 300 } })
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    await project.run()
    const openSnapshot = (): Promise<never> =>
      Promise.reject(fail('ODBC_DRIVER_MISSING', { source: 'shop', problem: 'none' }))
    project = withAdapter(project, adapter => ({
      ...adapter,
      tables: { ...adapter.tables, openSnapshot } as ReadsTables,
    }))
    live = await follow(project)
    const poll = (): LiveSource | undefined => live?.status()?.sources.find(it => it.technique === 'poll')
    await live.until(() => poll()?.trouble?.code === 'ODBC_DRIVER_MISSING', 'the poll to fail')
    await project.happen(commit(item('update', { id: 1, amount: 2 })))
    await live.untilRows(items, [[1, 'a', 2]])
    expect(poll()?.trouble?.againMicros).not.toBeNull()
  })

  test('a run that finds a gap in the durable log at its end publishes the rest, and names it', async () => {
    await start({ tables: { place: { change: { technique: 'full' } } } })
    await project.happen(
      commit(item('insert', { id: 1, label: 'a', amount: 1 }), place('insert', { id: 1, name: 'p' })),
    )
    await project.run()
    await project.happen(commit(item('update', { id: 1, amount: 2 }), place('insert', { id: 2, name: 'q' })))
    // The first read counts what waits.
    let reads = 0
    const lost = await withReads(project, () => {
      if (++reads === 1) return Promise.resolve()
      throw fail('BUS_GAP', { topic: 'changes', after: '1', until: '2', most: 1, why: 'removed' })
    })
    const asked = { selectors: [], hashControls: false, emit: () => {}, signal: never }
    const { stopped } = await runProject(lost.open, asked)
    await lost.open.bus?.close()
    expect(stopped.map(it => [it.table.name, it.error.code])).toEqual([['item', 'BUS_GAP']])
    expect(reads).toBe(2)
    expect(await project.rows('select count(*)::integer as n from ods.place')).toEqual([{ n: 2 }])
    expect(await project.rows('select amount from ods.item')).toEqual([{ amount: 1 }])
  })

  test('a source whose connection breaks is connected again, and nothing is lost or doubled', async () => {
    await start({ options: { breaksAfter: 2, sliceRows: 2 } })
    await project.happen(commit(item('insert', { id: 0, label: 'first', amount: 0 })))
    live = await follow(project)
    const isBroken = (): boolean =>
      project.events.some(event => event.kind === 'note' && event.code === 'SOURCE_UNREACHABLE')
    for (let i = 1; i <= 4; i++) {
      await project.happen(commit(...[1, 2].map(n => item('insert', { id: i * 10 + n, label: 'x', amount: n }))))
      if (i === 2) await live.until(isBroken, 'the connection to break')
    }
    await live.untilRows('select count(*)::integer, sum(amount)::integer from ods.item', [[9, 12]])
    expect(await live.rows('select * from staging.shop_item__past')).toEqual([])
  })

  test('a log that is not the one it was read from stops with a name, and everything stays', async () => {
    await start()
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    await project.run()
    await project.renew('story-2')
    live = await follow(project)
    await live.until(() => live?.status()?.tables[0]?.state === 'stopped', 'the stream to stop')
    expect(live.status()?.sources[0]?.trouble?.code).toBe('POSITION_LOST')
    expect(live.status()?.tables.map(it => it.state)).toEqual(['stopped', 'stopped'])
    await live.stop()
    live = undefined
    await expect(project.run()).rejects.toMatchObject({ code: 'POSITION_LOST' })
    expect(await project.rows(items)).toHaveLength(1)
  })

  test('a durable log that is gone is named, and not begun anew', async () => {
    await start()
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    await project.run()
    const confirmed = await project.confirmed()
    await project.loseLog()
    await expect(project.run()).rejects.toMatchObject({ code: 'STREAM_LOG_GONE' })
    live = await follow(project)
    await live.until(() => live?.status()?.tables[0]?.state === 'stopped', 'the stream to stop')
    expect(live.status()?.sources[0]?.trouble).toMatchObject({ code: 'STREAM_LOG_GONE', againMicros: null })
    expect(await project.confirmed()).toEqual(confirmed)
  })

  test('a durable log that is gone leaves no empty one, whatever fails meanwhile', async () => {
    await start()
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    await project.run()
    await project.loseLog()
    const { open, events } = project
    const [def] = streamsOf(open.project.sources) as [StreamDef]
    const engine = await openEngine(open, 'write')
    const bus = await openProjectBus(open, () => {})
    const given = { open, engine, bus, emit: (event: RunEvent) => void events.push(event), signal: never }
    const own = { ...(def.source.own as AdapterImplementation), open: () => Promise.reject(new Error('no driver')) }
    await expect(openStream(given, { ...def, source: { ...def.source, own } })).rejects.toThrow('no driver')
    expect(await bus.topics()).toEqual([])
    const removeTopic = (): Promise<void> => Promise.reject(new Error('the disk is read only'))
    const stuck = {
      ...given,
      bus: {
        kind: 'log',
        openTopic: bus.openTopic.bind(bus),
        lookAt: bus.lookAt.bind(bus),
        topics: bus.topics.bind(bus),
        close: bus.close.bind(bus),
        removeTopic,
      },
    }
    const stream = await openStream(stuck, def)
    expect(stream.reader.status().error).toMatchObject({ code: 'STREAM_LOG_GONE' })
    await stream.close()
    expect(events).toContainEqual(
      expect.objectContaining({ level: 'warn', text: expect.stringMatching(/changes.shop .*read only/) }),
    )
    await bus.close()
    await engine.close()
  })

  test('a table that begins now has only the changes since, which is said', async () => {
    await start({ tables: { place: { change: { technique: 'log', start: 'now' } } } })
    await project.happen(
      commit(place('insert', { id: 1, name: 'old' }), item('insert', { id: 1, label: 'a', amount: 1 })),
    )
    await project.run()
    await project.happen(commit(place('insert', { id: 2, name: 'new' })))
    await project.run()
    expect(await project.rows(places)).toEqual([{ id: 2, name: 'new' }])
    const notes = project.events.flatMap(event => (event.kind === 'note' ? (event.code ?? []) : []))
    expect(notes.filter(code => code === 'STREAM_FROM_NOW')).toHaveLength(1)
  })

  test('a table that begins now may have changes before anything of it was published', async () => {
    await start({ tables: { place: { change: { technique: 'log', start: 'now' } } } })
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    await project.meanwhile(commit(place('insert', { id: 2, name: 'new' })))
    await project.run()
    expect(await project.rows(places)).toEqual([{ id: 2, name: 'new' }])
  })

  test('space of deleted rows that cannot be given back is told once, and ends nothing', async () => {
    const real = realEnv()
    let laterMs = 0
    const env = { ...real, clock: { ...real.clock, monotonicMs: () => real.clock.monotonicMs() + laterMs } }
    await start({ env })
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 0 })))
    let refused = 0
    live = await follow(project, engine => ({
      checkpoint: (withinMs, signal) => {
        if (withinMs !== 200) return engine.checkpoint(withinMs, signal)
        refused++
        return Promise.reject(fail('INTERNAL', { what: 'a compaction' }))
      },
    }))
    await live.until(() => live?.status() !== null, 'its first status')
    for (let amount = 1; amount <= 3; amount++) {
      laterMs += 31_000
      await project.happen(commit(item('update', { id: 1, amount })))
      await live.untilRows(items, [[1, 'a', amount]])
      await live.until(() => refused === amount, `compaction ${amount}`)
    }
    const notes = project.events.filter(it => it.kind === 'note' && it.text.includes('space of deleted rows'))
    expect(notes).toMatchObject([{ level: 'warn', code: 'INTERNAL' }])
    expect(await live.rows(`select state from naru.run where state = 'failed'`)).toEqual([])
  })

  test('control tables do not grow with its ticks', async () => {
    await start()
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 0 })))
    live = await follow(project)
    await live.untilRows(items, [[1, 'a', 0]])
    const grown = async (from: number, to: number): Promise<unknown> => {
      for (let amount = from; amount <= to; amount++) {
        await project.happen(commit(item('update', { id: 1, amount })))
        await live?.untilRows(items, [[1, 'a', amount]])
      }
      const tables = [
        'load',
        'run',
        'stage_control',
        'profile',
        'rule_result',
        'unit',
        'control_total',
        'position',
        'stream',
        'definition',
      ]
      return (
        await live?.rows(
          tables.map(name => `select '${name}' as t, count(*)::integer as n from naru.${name}`).join(' union all '),
        )
      )?.map(row => Object.values(row))
    }
    const before = await grown(1, 3)
    expect(await grown(4, 12)).toEqual(before)
    const [load] = await live.rows(`select rows_read from naru.load where scope = 'delta'`)
    expect(load).toEqual({ rows_read: 12n })
    const history = await live.rows(`select amount from staging.shop_item__past order by "_load", "_line" nulls first`)
    expect(history.map(row => row['amount'])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  })
})
