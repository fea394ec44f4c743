import { cp, readdir, rm, truncate } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { AdapterImplementation } from '../../src/app/registry.ts'
import { openEngine } from '../../src/app/project.ts'
import { runOn, runProject, type RunOutcome } from '../../src/app/run-project.ts'
import type { RuleDef } from '../../src/config/model.ts'
import { realEnv, type Env } from '../../src/core/env.ts'
import { fail } from '../../src/core/errors.ts'
import type { Emit } from '../../src/core/events.ts'
import { never } from '../../src/testing/engine.ts'
import { scriptedCaptures } from '../../src/testing/scripted/index.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { opening } from '../support/instead.ts'
import {
  commit,
  item,
  itemColumns,
  place,
  scriptedProject,
  type ScriptedOptions,
  type ScriptedProject,
} from '../support/scripted.ts'

let project: ScriptedProject
const start = async (options?: ScriptedOptions): Promise<void> => void (project = await scriptedProject(options))
afterEach(() => project.remove())

const items = async (): Promise<unknown> =>
  (await project.rows('select id, label, amount from staging.shop_item order by id')).map(row => Object.values(row))

const range = (max: number): RuleDef['check'] => ({ kind: 'range', min: null, max })

/** A source that gives so many slices, and the others after `gate`. */
function givingLast(slices: number, gate: Promise<void>): AdapterImplementation {
  const open = opening(scriptedCaptures, adapter => {
    const log = adapter.captures?.log
    if (log === undefined) throw new Error('a story has a log')
    const openStream: typeof log.open = async (request, signal) => {
      const stream = await log.open(request, signal)
      let left = slices
      const next: typeof stream.next = async () => {
        if (left === 0) await gate
        left = Math.max(0, left - 1)
        return stream.next()
      }
      return { ...stream, next }
    }
    return { ...adapter, captures: { log: { ...log, open: openStream } } }
  })
  return { ...scriptedCaptures, open }
}

describe('a run with tables whose changes come from the log of their source', () => {
  test('loads them once, then follows the log from where the rows were', async () => {
    await start()
    await project.happen(
      commit(item('insert', { id: 1, label: 'a', amount: 1 }), place('insert', { id: 1, name: 'p' })),
    )
    const first = await project.run()
    expect(first.rowsStaged).toBe(2)
    expect(await items()).toEqual([[1, 'a', 1]])
    await project.happen(
      commit(item('insert', { id: 2, label: 'b', amount: 2 })),
      commit(item('update', { id: 1, label: 'A' }), item('update', { id: 2, amount: 3 })),
      commit(item('delete', { id: 2 }), item('move', { id: 3 })),
    )
    const second = await project.run()
    expect(await items()).toEqual([
      [1, 'A', 1],
      [3, 'b', 3],
    ])
    expect({ read: second.rowsRead, staged: second.rowsStaged }).toEqual({ read: 5, staged: 2 })
    const past = await project.rows(
      `select id, label, amount, "_op" as op from staging.shop_item__past order by "_load", "_line"`,
    )
    expect(past.map(row => Object.values(row))).toEqual([
      [1, 'a', 1, 'u'],
      [2, 'b', 2, 'u'],
      [2, 'b', 3, 'd'],
    ])
    expect(await project.rows('select id, label, amount from ods.item order by id')).toHaveLength(2)
    expect(await project.rows('select * from ods.place')).toHaveLength(1)
  })

  test('takes what waits for it in steps that memory holds, as if it were one', async () => {
    await start()
    await project.happen(commit(item('insert', { id: 0, label: 'a', amount: 0 })))
    await project.run()
    const inserts = Array.from({ length: 12 }, (_, i) => item('insert', { id: i + 1, label: 'b', amount: i }))
    await project.happen(
      commit(item('update', { id: 0, amount: 1 })),
      ...inserts.map(insert => commit(insert)),
      commit(item('update', { id: 0, amount: 2 }), place('insert', { id: 1, name: 'p' })),
    )
    project.events.splice(0)
    const run = await runProject(project.open, {
      selectors: [],
      hashControls: false,
      emit: event => void project.events.push(event),
      signal: never,
      stepBytes: 4_000,
    })
    expect(run.rowsRead).toBe(15)
    const steps = project.events.filter(it => it.kind === 'step' && it.step === 'staging shop.item')
    expect(steps.filter(it => it.kind === 'step' && it.state === 'begin').length).toBeGreaterThan(1)
    // Told once, with what all of them did; the row of two updates is in two steps.
    expect(steps.flatMap(it => (it.kind === 'step' && (it.rows ?? 0) > 0 ? [it.rows] : []))).toEqual([14])
    expect(await project.rows('select count(*)::integer as n, sum(amount)::integer as sum from ods.item')).toEqual([
      { n: 13, sum: 68 },
    ])
    const past = await project.rows('select amount from staging.shop_item__past order by "_load", "_line"')
    expect(past.map(row => row['amount'])).toEqual([0, 1])
    expect(await project.rows('select * from ods.place')).toHaveLength(1)
    expect(await project.rows(`select rows_read from naru.load where "table" = 'item' and scope = 'delta'`)).toEqual([
      { rows_read: 14n },
    ])
  })

  test('in steps or at once: the figures of the run are those of all it took', async () => {
    const rules: RuleDef[] = [
      { id: 'amount.range', columns: ['amount'], check: range(10), severity: 'quarantine', limit: { share: 0.9 } },
    ]
    const figures: unknown[] = []
    for (const stepBytes of [undefined, 1]) {
      await start()
      const { entities } = project.open.project
      const ruled = {
        ...project.open.project,
        entities: entities.map(it => ({ ...it, rules: it.name === 'item' ? rules : [] })),
      }
      const again = (given: { readonly stepBytes?: number }): Promise<RunOutcome> =>
        runProject(
          { ...project.open, project: ruled },
          { selectors: [], hashControls: false, emit: () => {}, signal: never, ...given },
        )
      await project.happen(commit(item('insert', { id: 0, label: 'a', amount: 0 })))
      await again({})
      const all = Array.from({ length: 9 }, (_, i) => item('insert', { id: i + 1, label: 'b', amount: i + 5 }))
      await project.happen(...all.map(one => commit(one)))
      const run = await again(stepBytes === undefined ? {} : { stepBytes })
      const { rowsRead, rowsStaged, rowsMoved } = run
      figures.push({
        outcome: { rowsRead, rowsStaged, rowsMoved },
        rules: await project.rows(`select rule, rows_checked, rows_failed, samples from naru.rule_result
          where run = ${run.run} and phase = 'after' and entity = 'item' order by rule`),
        stages: await project.rows(`select "from", "to", rows_in, rows_out, aside from naru.stage_control
          where run = ${run.run} order by all`),
        loads: await project.rows(`select "table", scope, state, rows_read from naru.load order by all`),
        runs: await project.rows('select run, state from naru.run order by run'),
      })
      await project.remove()
    }
    expect(figures[1]).toEqual(figures[0])
    expect(figures[0]).toMatchObject({
      outcome: { rowsRead: 9, rowsStaged: 9 },
      rules: [
        { rule: 'amount.range', rows_checked: 9n, rows_failed: 3n },
        { rule: 'id.not-null', rows_checked: 9n },
      ],
      stages: expect.arrayContaining([
        { from: 'staging.shop_item', to: 'cleansed.item_shop', rows_in: 10n, rows_out: 7n, aside: 3n },
      ]) as unknown,
    })
  })

  test('however many steps it takes, each rule has one result, also before its end', async () => {
    const ending = new AbortController()
    await start()
    await project.happen(commit(item('insert', { id: 0, label: 'a', amount: 0 })))
    await project.run()
    await project.happen(...Array.from({ length: 12 }, (_, i) => commit(item('insert', { id: i + 1, amount: i }))))
    const emit: Emit = event => {
      if (event.kind === 'rows' && event.step === 'changes of shop' && event.done >= 4) ending.abort()
    }
    const options = { selectors: [], hashControls: false, emit, stepBytes: 1 }
    await rejectsWith('CANCELLED', runProject(project.open, { ...options, signal: ending.signal }))
    const results = await project.rows(`select rule, count(*)::integer as n, sum(rows_checked)::integer as checked
      from naru.rule_result where run = (select max(run) from naru.run) and entity = 'item' group by rule order by rule`)
    expect(results).toEqual([{ rule: 'id.not-null', n: 1, checked: 4 }])
  })

  test('a topic lets nothing go that readers keep from the main file of the engine', async () => {
    await start()
    const engine = await openEngine(project.open, 'write')
    const options = { selectors: [], hashControls: false, emit: () => {}, signal: never, stepBytes: 1 }
    const kept = async (): Promise<number> => {
      const names = await readdir(path.join(project.open.stateDir, 'bus'), { recursive: true })
      return names.filter(name => name.endsWith('.reader')).length
    }
    try {
      for (const id of [1, 2]) {
        await project.happen(commit(item('insert', { id })), commit(item('update', { id, amount: 1 })))
        await runOn(project.open, { ...engine, checkpoint: async () => 'held' }, options)
        expect(await kept()).toBe(0)
      }
      await runOn(project.open, engine, options)
      expect(await kept()).toBe(1)
    } finally {
      await engine.close()
    }
  })

  test('space that cannot be given back fails no run that is published', async () => {
    await start()
    const engine = await openEngine(project.open, 'write')
    const notes: unknown[] = []
    const checkpoint: typeof engine.checkpoint = async withinMs => {
      if (withinMs !== 0) throw fail('DISK_FULL', { path: 'data.duckdb' })
      return engine.checkpoint(0)
    }
    try {
      await project.happen(commit(item('insert', { id: 1 })))
      const emit: Emit = event => void (event.kind === 'note' && notes.push(event.code))
      const options = { selectors: [], hashControls: false, emit, signal: never }
      expect(await runOn(project.open, { ...engine, checkpoint }, options)).toMatchObject({ rowsStaged: 1 })
      expect(notes).toEqual(['DISK_FULL'])
    } finally {
      await engine.close()
    }
    expect(await project.rows('select state from naru.run')).toEqual([{ state: 'done' }])
  })

  test('a table that is read and has another shape stops alone: the stream beside it goes on', async () => {
    await start({ tables: { place: { change: { technique: 'full' } } } })
    await project.happen(commit(item('insert', { id: 1 }), place('insert', { id: 1, name: 'p' })))
    await project.run()
    const { at } = commit()
    const schema = { table: 'place', columns: itemColumns, key: ['id'] }
    await project.happen({ at, schema }, commit(item('insert', { id: 2 })))
    const run = await project.run()
    expect(run.stopped.map(({ table, error }) => [table.name, error])).toEqual([
      ['place', expect.objectContaining({ code: 'SOURCE_COLUMN_GONE' })],
    ])
    expect(await items()).toHaveLength(2)
    await rejectsWith('SOURCE_COLUMN_GONE', project.run(['shop.place']))
  })

  test('applies what has come while its source is still read', async () => {
    let tell = (): void => {}
    const stepped = new Promise<void>(resolve => (tell = resolve))
    const env: Env = {
      ...realEnv(),
      crash: point => {
        if (point === 'stream.tick.commit.after') tell()
      },
    }
    await start({ env })
    await project.happen(commit(item('insert', { id: 0, label: 'a', amount: 0 })))
    await project.run()
    await project.happen(...Array.from({ length: 12 }, (_, i) => commit(item('insert', { id: i + 1, amount: i }))))
    // The end of the story is given once a step is published: a run that reads to the end first would wait for ever.
    const own = givingLast(6, stepped)
    const { sources } = project.open.project
    const run = await runProject(
      { ...project.open, project: { ...project.open.project, sources: sources.map(it => ({ ...it, own })) } },
      { selectors: [], hashControls: false, emit: () => {}, signal: never, stepBytes: 1 },
    )
    expect(run.rowsRead).toBe(12)
    expect(await project.rows('select count(*)::integer as n from ods.item')).toEqual([{ n: 13 }])
  })

  test('reads nothing and changes nothing when the source is quiet', async () => {
    await start()
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    await project.run()
    expect(await project.run()).toMatchObject({ rowsRead: 0, rowsStaged: 0, rowsMoved: 0, stopped: [] })
  })
})

test('R3: what came later in the log is the newer one, whatever the clock of the source says', async () => {
  await start()
  await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 0 })))
  await project.run()
  const { at } = commit()
  // Two transactions of one time, one of an earlier time, and two changes of a key in one transaction.
  const amounts = [[1], [2], [3, 4]].map(them => them.map(amount => item('update', { id: 1, amount })))
  const times = [at, at, at - 60_000_000]
  for (const [i, changes] of amounts.entries()) await project.happen({ at: times[i] as number, changes })
  await project.run()
  await project.happen({ at: at - 120_000_000, changes: [item('update', { id: 1, amount: 5 })] })
  await project.run()
  expect(await items()).toEqual([[1, 'a', 5]])
  const past = await project.rows('select amount from staging.shop_item__past order by "_load", "_line"')
  expect(past.map(it => it['amount'])).toEqual([0, 1, 2, 3, 4])
})

describe('R18: an older copy that somebody brought back', () => {
  const changes = (from: number): ReturnType<typeof commit>[] =>
    [0, 1, 2].map(i => commit(item('update', { id: 1, amount: from + i })))
  /** A project, and copies of what it keeps, with changes since. */
  const copied = async (): Promise<(name: string) => Promise<void>> => {
    await start()
    await project.happen(commit(item('insert', { id: 1, label: 'a', amount: 1 })))
    await project.run()
    for (const name of ['data.duckdb', '.naru']) await cp(at(name), at(`${name}.old`), { recursive: true })
    await project.happen(...changes(10))
    await project.run()
    return async name => {
      await rm(at(name), { recursive: true })
      await cp(at(`${name}.old`), at(name), { recursive: true })
    }
  }
  const at = (name: string): string => path.join(project.folder, name)
  const versions = async (): Promise<unknown> =>
    (await project.rows('select amount from staging.shop_item__past order by "_load", "_line"')).map(it => it['amount'])

  test('of the durable log: the tables are ahead of it, which is said before anything is read', async () => {
    const bringBack = await copied()
    await bringBack('.naru')
    await project.happen(...changes(20))
    await expect(project.run()).rejects.toMatchObject({
      code: 'STREAM_LOG_GONE',
      message: expect.stringContaining('is an older copy: it ends at story-1:') as string,
      fix: expect.stringContaining('naru resync shop ') as string,
    })
    expect(await items()).toEqual([[1, 'a', 12]])
  })

  test('of the database: what the durable log has behind it comes again, once', async () => {
    const bringBack = await copied()
    await bringBack('data.duckdb')
    await project.happen(...changes(20))
    await project.run()
    expect(await items()).toEqual([[1, 'a', 22]])
    expect(await versions()).toEqual([1, 10, 11, 12, 20, 21])
  })

  test('of both: it is read again from the source, which still has it', async () => {
    const bringBack = await copied()
    await bringBack('.naru')
    await bringBack('data.duckdb')
    await project.happen(...changes(20))
    await project.run()
    expect(await versions()).toEqual([1, 10, 11, 12, 20, 21])
  })

  test('of a state file, cut off: it is refused by its name, and nothing is passed over', async () => {
    await copied()
    await project.happen(...changes(20))
    const bus = at('.naru/bus/changes.shop')
    const [segment] = (await readdir(bus)).filter(it => it.endsWith('.log'))
    const file = path.join(bus, segment ?? '')
    await truncate(file, 100)
    await expect(project.run()).rejects.toMatchObject({ code: 'STREAM_LOG_GONE' })
    expect(await items()).toEqual([[1, 'a', 12]])
  })
})
