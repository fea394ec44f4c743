import { afterEach, describe, expect, test } from 'vitest'
import { fail } from '../../src/core/errors.ts'
import type { RunEvent } from '../../src/core/events.ts'
import { rawSql } from '../../src/core/sql.ts'
import { readDifferences } from '../../src/run/comparisons.ts'
import { openEngine } from '../../src/app/project.ts'
import type { AdapterImplementation } from '../../src/app/registry.ts'
import { runProject } from '../../src/app/run-project.ts'
import type { OpenAdapter } from '../../src/services/adapter/contract.ts'
import { never } from '../../src/testing/engine.ts'
import {
  commit,
  follow,
  item,
  scriptedProject,
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
const results = `select "table", key_after, key_up_to, rows_source::integer as theirs, rows_staged::integer as ours,
  equal, differing::integer as differing, keys, note from naru.comparison where "table" = 'item' order by at_micros`

/** Somebody writes into the database beside Naru. */
async function byHand(statement: string): Promise<void> {
  const engine = await openEngine(project.open, 'write')
  await engine.transaction(never, tx => tx.execute(rawSql(statement)))
  await engine.close()
}

const many = (count: number) =>
  Array.from({ length: count }, (_, i) => item('insert', { id: i + 1, label: `l${i + 1}`, amount: i }))

async function differences() {
  const engine = await openEngine(project.open, 'read')
  try {
    return await engine.transaction(never, readDifferences)
  } finally {
    await engine.close()
  }
}

/** A source that says where it is so many times, and then no more. */
function headless(own: AdapterImplementation, times: number): AdapterImplementation {
  let asked = 0
  const openAdapter: OpenAdapter = async given => {
    const adapter = await (await own.open()).openAdapter(given)
    const log = adapter.captures?.log
    const head = async (signal: AbortSignal): Promise<string> => {
      if (log === undefined || ++asked > times)
        throw fail('SOURCE_UNREACHABLE', { source: 'shop', address: 'here', problem: 'it is away' })
      return log.head(signal)
    }
    return { ...adapter, captures: { ...adapter.captures, ...(log && { log: { ...log, head } }) } }
  }
  return { ...own, open: () => Promise.resolve({ openAdapter }) }
}

const notes = (code: string) => project.events.filter(it => it.kind === 'note' && it.code === code)

describe('a comparison of a stream with its source', () => {
  test('names the key of a change that the stream lost, and the run says so', async () => {
    await start({ options: { loses: 2 } })
    await project.happen(commit(...many(5)))
    expect((await project.run()).differing).toEqual([])
    await project.happen(commit(item('update', { id: 3, amount: 99 })))
    await project.happen(commit(item('update', { id: 4, amount: 7 })))
    expect((await project.run()).differing).toEqual([{ table: 'shop.item', differing: 1 }])
    const [first, second] = await project.rows(results)
    expect(first).toMatchObject({ theirs: 5, ours: 5, equal: true, keys: null })
    expect(second).toMatchObject({ theirs: 5, ours: 5, equal: false, differing: 1 })
    expect(JSON.parse(String(second?.['keys']))).toEqual([{ key: '3', what: 'different' }])
    expect(notes('COMPARISON_DIFFERS')).toMatchObject([
      {
        level: 'error',
        text: expect.stringMatching(/shop\.item .* all of it, and 1 rows differ: 3 .*naru resync shop\.item/),
      },
    ])
  })

  test('is shown by the status until the range is found equal', async () => {
    await start()
    await project.happen(commit(...many(3)))
    await project.run()
    await byHand('update staging.shop_item set amount = 5 where id = 3')
    await project.run()
    expect(await differences()).toMatchObject([{ table: 'shop.item', after: null, upTo: null, differing: '1' }])
    await project.happen(commit(item('update', { id: 3, amount: 9 })))
    expect((await project.run()).differing).toEqual([])
    expect(await differences()).toEqual([])
  })

  test('finds rows that somebody changed, removed or added here', async () => {
    await start()
    await project.happen(commit(...many(5)))
    await project.run()
    await byHand(`update staging.shop_item set label = 'x' where id = 1`)
    await byHand('delete from staging.shop_item where id = 2')
    await byHand(
      `insert into staging.shop_item select 77, 'y', 1, _load, _unit, _line from staging.shop_item where id = 3`,
    )
    expect((await project.run()).differing).toEqual([{ table: 'shop.item', differing: 3 }])
    const found = (await project.rows(results)).at(-1)
    expect(JSON.parse(String(found?.['keys']))).toEqual([
      { key: '1', what: 'different' },
      { key: '2', what: 'missing here' },
      { key: '77', what: 'not in the source' },
    ])
  })

  test('walks through a table that is larger than a turn, and begins anew behind its end', async () => {
    await start({ options: { chunkRows: 3 } })
    await project.happen(commit(...many(8)))
    await project.run()
    await byHand(`update staging.shop_item set label = 'x' where id = 8`)
    expect((await project.run()).differing).toEqual([{ table: 'shop.item', differing: 1 }])
    await project.run()
    const ranges = await project.rows(results)
    expect(ranges.map(row => [row['key_after'], row['key_up_to'], row['theirs'], row['ours'], row['equal']])).toEqual([
      [null, '["3"]', 3, 3, true],
      ['["3"]', '["6"]', 3, 3, true],
      ['["6"]', null, 2, 2, false],
      [null, '["3"]', 3, 3, true],
      ['["3"]', '["6"]', 3, 3, true],
    ])
  })

  test('finds what the source lost, changed and got behind the back of the stream, in its range', async () => {
    await start({ options: { chunkRows: 3 } })
    await project.happen(commit(...many(8)))
    await project.run()
    const rows = [1, 3, 4, 5, 6, 7, 8, 9].map(id =>
      item('insert', { id, label: id === 5 ? 'other' : `l${id}`, amount: id - 1 }),
    )
    await project.rewrite(0, commit(...rows))
    expect((await project.run()).differing).toEqual([{ table: 'shop.item', differing: 1 }])
    expect((await project.run()).differing).toEqual([{ table: 'shop.item', differing: 2 }])
    const found = (await project.rows(results)).filter(row => row['equal'] === false)
    expect(found.map(row => [row['key_after'], row['key_up_to'], row['theirs'], row['ours'], row['keys']])).toEqual([
      ['["6"]', null, 3, 2, '[{"key":"9","what":"missing here"}]'],
      [null, '["4"]', 3, 4, '[{"key":"2","what":"not in the source"}]'],
      ['["4"]', '["7"]', 3, 3, '[{"key":"5","what":"different"}]'],
    ])
  })

  test('makes no alarm of a change that the stream gave and no view of the source shows yet', async () => {
    await start()
    await project.happen(commit(...many(3)))
    await project.run()
    await project.happen(commit(item('update', { id: 1, amount: 50 })), commit(item('delete', { id: 2 })))
    const late = await scriptedProject({ folder: project.folder, options: { lateViews: 2 } })
    expect((await late.run()).differing).toEqual([])
    expect((await project.run()).differing).toEqual([])
    expect((await project.rows(results)).map(row => row['equal'])).toEqual([true, true, true])
  })

  test('that its source breaks off leaves nothing behind, and is told', async () => {
    await start()
    await project.happen(commit(...many(3)))
    await project.run()
    await byHand('update staging.shop_item set amount = 5 where id = 3')
    const { open, events } = project
    // The run itself asks once where the source is; the comparison, which finds a difference, asks again.
    const sources = open.project.sources.map(it => ({ ...it, ...(it.own && { own: headless(it.own, 1) }) }))
    const emit = (event: RunEvent): void => void events.push(event)
    await runProject(
      { ...open, project: { ...open.project, sources } },
      { selectors: [], hashControls: false, emit, signal: never },
    )
    expect(notes('SOURCE_UNREACHABLE')).toMatchObject([
      { text: expect.stringContaining('could not be compared') as string },
    ])
    const left = await project.rows(
      `select table_name from information_schema.tables where table_name like '%compared'`,
    )
    expect(left).toEqual([])
  })

  test('can be left out', async () => {
    await start({ care: { compareMs: null }, options: { loses: 2 } })
    await project.happen(commit(...many(2)), commit(item('delete', { id: 1 })))
    await project.run()
    expect(await project.rows(results)).toEqual([])
  })

  test('goes on at intervals in a live session, beside the changes', async () => {
    await start({ care: { compareMs: 20 }, options: { loses: 3 } })
    await project.happen(commit(...many(5)))
    live = await follow(project)
    await live.untilRows('select count(*)::integer from ods.item', [[5]])
    await project.happen(commit(item('update', { id: 1, amount: 50 })))
    await project.happen(commit(item('delete', { id: 2 })))
    await project.happen(commit(item('update', { id: 3, amount: 60 })))
    await live.untilRows(items, [
      [1, 'l1', 50],
      [2, 'l2', 1],
      [3, 'l3', 60],
      [4, 'l4', 3],
      [5, 'l5', 4],
    ])
    await live.until(() => notes('COMPARISON_DIFFERS').length > 0, 'the difference to be told')
    const [found] = await live.rows(`select keys from naru.comparison where equal = false limit 1`)
    expect(JSON.parse(String(found?.['keys']))).toEqual([{ key: '2', what: 'not in the source' }])
  })
})
