import { cp, readdir, rm, truncate } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { runProject } from '../../src/app/run-project.ts'
import { never } from '../../src/testing/engine.ts'
import {
  commit,
  item,
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
    const steps = project.events.filter(
      it => it.kind === 'step' && it.step === 'staging shop.item' && it.state === 'end',
    )
    expect(steps.length).toBeGreaterThan(1)
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
