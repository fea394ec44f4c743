import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openProject, type OpenProject } from '../../src/app/project.ts'
import { serverReport } from '../../src/app/server/report.ts'
import { startServer } from '../../src/app/server/start.ts'
import { subscribersOf } from '../../src/app/subscribe/open.ts'
import { openChanges, type ChangeSet, type ChangesOptions } from '../../src/changes.ts'
import { realEnv } from '../../src/core/env.ts'
import { t } from '../../src/index.ts'
import { never } from '../../src/testing/engine.ts'
import { beginStory, continueStory, type StoryLine } from '../../src/testing/scripted/story.ts'
import { startNaru } from '../support/command.ts'
import { commit, item, itemColumns, place, placeColumns } from '../support/scripted.ts'

const root = path.resolve(import.meta.dirname, '../..')
const schema = {
  item: { key: ['id'], columns: { id: t.int(), label: t.text().null().pii(), amount: t.int().null() } },
  place: { key: ['id'], columns: { id: t.int(), name: t.text().null() } },
} as const

let folder: string
let config: string
let story: string
let server: { readonly open: OpenProject; stop(): Promise<void> } | undefined

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-subscribe-'))
  config = path.join(folder, 'naru.config.ts')
  story = path.join(folder, 'story.ndjson')
  const tables = { item: { columns: itemColumns, key: ['id'] }, place: { columns: placeColumns, key: ['id'] } }
  await beginStory(story, { id: 'story-1', tables })
  await writeFile(
    config,
    `import { defineConfig, duckdb, source, t } from 'naru'
import { scriptedCaptures } from ${JSON.stringify(path.join(root, 'dist/testing/scripted/index.js'))}
const shop = source('shop', scriptedCaptures, {
  story: ${JSON.stringify(story)}, sliceLines: 1,
  schema: {
    item: { key: ['id'], columns: { id: t.int(), label: t.text().null().pii(), amount: t.int().null() } },
    place: { key: ['id'], columns: { id: t.int(), name: t.text().null() } },
  },
  changes: { item: { technique: 'log' }, place: { technique: 'log' } },
})
export default defineConfig({
  engine: duckdb({ path: 'data.duckdb' }), models: [shop],
  subscribers: {
    billing: { source: shop, personal: 'shown' },
    map: { source: shop, tables: ['item'] },
    slow: { source: shop },
  },
})
`,
  )
})

afterEach(async () => {
  await server?.stop()
  server = undefined
  await rm(folder, { recursive: true, force: true })
})

async function start(): Promise<void> {
  const open = await openProject(realEnv(), { config, cwd: folder })
  const ending = new AbortController()
  let isReady = (): void => {}
  const ready = new Promise<void>(resolve => (isReady = resolve))
  const tell = (event: { readonly kind: string }): void => (event.kind === 'ready' ? isReady() : undefined)
  const ended = startServer(open, { signal: ending.signal, tell, stallMs: 60_000 })
  await Promise.race([ready, ended])
  // What happens before is for the first load to read.
  for (let isLive = false; !isLive; await open.env.clock.sleep(20)) {
    const report = await serverReport(open, never)
    const tables = report !== null && 'live' in report ? (report.live?.tables ?? []) : []
    isLive = tables.length > 0 && tables.every(table => table.state === 'live')
  }
  server = {
    open,
    stop: async () => {
      ending.abort(new Error('stopped by the test'))
      await ended
    },
  }
}

const happen = (...lines: readonly StoryLine[]): Promise<void> => continueStory(story, ...lines)

type Options = ChangesOptions<typeof schema>

/** Opens the changes of a subscriber from the oldest that are kept. */
async function subscriber(as: string): Promise<{
  next(): Promise<ChangeSet<typeof schema>>
  close(): Promise<void>
}> {
  const options: Options = { as, schema, config, from: 'start' }
  const changes = await openChanges(options)
  const sets = changes[Symbol.asyncIterator]()
  return {
    next: async () => {
      const { value, done } = await sets.next()
      if (done === true) throw new Error('the changes ended')
      return value as ChangeSet<typeof schema>
    },
    close: () => changes.close(),
  }
}

async function rowsOf(set: ChangeSet<typeof schema>): Promise<readonly unknown[]> {
  const rows: unknown[] = []
  for await (const change of set.changes()) {
    const { transaction, ...rest } = change
    expect(transaction?.committedMicros).toBeGreaterThan(0n)
    rows.push(rest)
  }
  return rows
}

/** A command of ours in the folder of the project, and its words. */
async function naru(...args: readonly string[]): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const ended = await startNaru(folder, args).ended
  expect(ended.status, ended.stderr).toBe(0)
  return ended
}

async function jsonOf(...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const { stdout } = await naru(...args, '--json')
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Readonly<Record<string, unknown>>
}

const firstItem = commit(item('insert', { id: 1, label: 'secret', amount: 5 }), place('insert', { id: 9, name: 'p' }))

test('an application takes changes in order, with what changed and what did not', async () => {
  await start()
  const billing = await subscriber('billing')
  await happen(firstItem, commit(item('update', { id: 1, amount: 6 })), commit(item('delete', { id: 1 })))
  const first = await billing.next()
  expect(await rowsOf(first)).toEqual([
    { table: 'item', op: 'insert', key: { id: 1 }, row: { id: 1, label: 'secret', amount: 5 } },
    { table: 'place', op: 'insert', key: { id: 9 }, row: { id: 9, name: 'p' } },
  ])
  await first.acknowledge()
  expect(await rowsOf(await billing.next())).toEqual([
    { table: 'item', op: 'update', key: { id: 1 }, row: { id: 1, amount: 6 } },
  ])
  const last = await billing.next()
  expect(await rowsOf(last)).toEqual([{ table: 'item', op: 'delete', key: { id: 1 } }])
  await last.acknowledge()
  await billing.close()
})

test('personal values are masked unless the config shows them, and only the tables of the subscriber are given', async () => {
  await start()
  const map = await subscriber('map')
  await happen(commit(place('insert', { id: 1, name: 'other' })), firstItem)
  const set = await map.next()
  expect(await rowsOf(set)).toEqual([
    { table: 'item', op: 'insert', key: { id: 1 }, row: { id: 1, label: '***', amount: 5 } },
  ])
  await map.close()
})

test('what is released, or not acknowledged when an application ends, is given again and says how often', async () => {
  await start()
  const one = await subscriber('billing')
  await happen(firstItem)
  const first = await one.next()
  expect(first.attempts).toBe(1)
  await first.release(1)
  const again = await one.next()
  expect([again.position, again.attempts]).toEqual([first.position, 2])
  await one.close()
  const two = await subscriber('billing')
  const third = await two.next()
  expect([third.position, third.attempts]).toEqual([first.position, 3])
  await third.acknowledge()
  await happen(commit(item('insert', { id: 2 })))
  expect(await rowsOf(await two.next())).toMatchObject([{ key: { id: 2 } }])
  await expect(rowsOf(third)).rejects.toMatchObject({ code: 'SUBSCRIBER_SET_PAST' })
  await two.close()
})

test('a slow subscriber delays only itself, and the status says what it holds back', async () => {
  await start()
  const [billing, slow] = [await subscriber('billing'), await subscriber('slow')]
  await happen(firstItem)
  const held = await slow.next()
  await (await billing.next()).acknowledge()
  for (let id = 2; id < 12; id++) {
    await happen(commit(item('insert', { id })))
    const set = await billing.next()
    expect(await rowsOf(set)).toMatchObject([{ key: { id } }])
    await set.acknowledge()
  }
  const report = await serverReport((server as NonNullable<typeof server>).open, never)
  const subscribers = report !== null && 'subscribers' in report ? report.subscribers : []
  const of = (name: string): unknown => subscribers.find(it => it.name === name)?.waiting
  expect(of('map')).toBeNull()
  const { messages, bytes } = of('slow') as { messages: number; bytes: number }
  expect(messages).toBeGreaterThanOrEqual(11)
  expect(bytes).toBeGreaterThan(0)
  expect((of('billing') as { messages: number }).messages).toBeLessThan(messages)
  await held.acknowledge()
  expect(await rowsOf(await slow.next())).toMatchObject([{ key: { id: 2 } }])
  await Promise.all([billing.close(), slow.close()])
})

test('without a server the durable log is asked itself, and the place is the same', async () => {
  await start()
  const billing = await subscriber('billing')
  await happen(firstItem, commit(item('insert', { id: 2 })))
  await (await billing.next()).acknowledge()
  await billing.next()
  await server?.stop()
  server = undefined
  const later = await subscriber('billing')
  const set = await later.next()
  expect(await rowsOf(set)).toMatchObject([{ key: { id: 2 } }])
  await set.acknowledge()
  await expect(later.next()).rejects.toThrow('the changes ended')
})

test('without a server the command gives what is there, waits for nothing, and says that nothing comes', async () => {
  await naru('run')
  await naru('changes', 'pull', 'map')
  await happen(commit(place('insert', { id: 1, name: 'other' })), firstItem)
  await naru('run')
  const pulled = await naru('changes', 'pull', 'map')
  const [, position = ''] = /naru changes acknowledge map (\d{20})\./.exec(pulled.stdout) ?? []
  expect(pulled.stdout).toContain('insert item id=1')
  // No place that it was given is no lost log.
  const refused = await startNaru(folder, ['changes', 'acknowledge', 'map', String(Number(position))]).ended
  expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining('is no place that subscriber "map"')])
  await naru('changes', 'acknowledge', 'map', position)
  const nothing = await naru('changes', 'pull', 'map', '--wait', '86400')
  expect(nothing.stdout).toContain('Nothing waits. No server runs, so nothing comes')
})

test('a status without a server shows where each table of a stream is, what waits for it, and who takes changes', async () => {
  await naru('run')
  await naru('changes', 'pull', 'billing')
  await naru('changes', 'pull', 'map')
  await happen(commit(place('insert', { id: 1, name: 'other' })))
  await naru('run')
  const table = { technique: 'log', state: 'at-rest', position: 'story-1:000001', waitingBytes: 0, error: null }
  const waiting = (sets: number): object => ({ waiting: { sets, isCounted: true } })
  expect(await jsonOf('status')).toMatchObject({
    server: null,
    streams: {
      tables: [
        { table: 'shop.item', ...table },
        { table: 'shop.place', ...table },
      ],
      // What waits are sets with changes that each sees, and not what the log holds beside them.
      subscribers: [
        { name: 'billing', ...waiting(1) },
        { name: 'map', ...waiting(0) },
        { name: 'slow', waiting: null },
      ],
      unseen: null,
    },
  })
  await rm(path.join(folder, '.naru/bus'), { recursive: true })
  const lost = await naru('status')
  expect(lost.stdout).toMatch(/shop\.item +log +STOPPED/)
  expect(lost.stdout).toContain('[STREAM_LOG_GONE]')
})

test('while an application has the durable log open, a status sees it, and a run leaves only the tables of that stream as they are', async () => {
  await naru('run')
  const billing = await subscriber('billing')
  await happen(firstItem)
  expect(await jsonOf('status')).toMatchObject({
    streams: {
      tables: [{ state: 'at-rest', waitingBytes: 0 }, {}],
      subscribers: [{ name: 'billing' }, {}, {}],
      unseen: null,
    },
  })
  const alone = await startNaru(folder, ['run']).ended
  expect([alone.status, alone.stderr]).toEqual([1, expect.stringContaining('[BUS_HELD]')])
  await billing.close()
  await addSource()
  await naru('run')
  const again = await subscriber('billing')
  const stopped = await startNaru(folder, ['run']).ended
  expect([stopped.status, stopped.stdout + stopped.stderr]).toEqual([
    5,
    expect.stringMatching(/Not read, as it was before: shop\.item: .*is held/),
  ])
  expect(stopped.stdout).not.toContain('store.item')
  await again.close()
  await naru('run')
})

/** A second source beside the shop, with a stream of its own. */
async function addSource(): Promise<void> {
  const other = path.join(folder, 'other.ndjson')
  await beginStory(other, { id: 'story-2', tables: { item: { columns: itemColumns, key: ['id'] } } })
  const store = `const store = source('store', scriptedCaptures, {
  story: ${JSON.stringify(other)}, sliceLines: 1,
  schema: { item: { key: ['id'], columns: { id: t.int(), label: t.text().null().pii(), amount: t.int().null() } } },
  changes: { item: { technique: 'log' } },
})
export default`
  const text = (await readFile(config, 'utf8')).replace('export default', store)
  await writeFile(config, text.replace('models: [shop]', 'models: [shop, store]'))
}

test('a durable log that cannot be read is told by a status, which tells the rest', async () => {
  await naru('run')
  await naru('changes', 'pull', 'billing')
  await breakLog()
  const { streams } = await jsonOf('status')
  expect(streams).toMatchObject({
    tables: [{ table: 'shop.item', state: 'at-rest', waitingBytes: null }, {}],
    unseen: expect.stringContaining('cannot be read') as string,
  })
})

test('a server whose durable log cannot be read says how it is, and a subscriber can be removed', async () => {
  await start()
  const slow = await subscriber('slow')
  await slow.close()
  await happen(firstItem)
  const billing = await subscriber('billing')
  await billing.next()
  await billing.close()
  await breakLog()
  const report = await serverReport(server?.open as OpenProject, never)
  expect(report).toMatchObject({
    live: { tables: [{}, {}] },
    subscribers: expect.arrayContaining([
      expect.objectContaining({ name: 'slow', waiting: expect.objectContaining({ isCounted: false }) as object }),
    ]) as object,
  })
  await naru('changes', 'remove', 'slow')
})

/** Reading any of its messages fails from now on, as a disk does that is sick there. */
async function breakLog(): Promise<void> {
  const bus = path.join(folder, '.naru/bus')
  for (const name of await readdir(bus, { recursive: true })) {
    if (!name.endsWith('.log')) continue
    await rm(path.join(bus, name))
    await mkdir(path.join(bus, name))
  }
}

test.each([{ what: 'begun anew' }, { what: 'gone' }])(
  'a subscriber of a log that is $what goes on with the first change behind it, which is told',
  async ({ what }) => {
    await naru('run')
    await naru('changes', 'pull', 'billing')
    await happen(firstItem)
    await naru('run')
    const before = await subscriber('billing')
    const { position } = await before.next()
    await before.close()
    if (what === 'gone') await rm(path.join(folder, '.naru/bus'), { recursive: true })
    const { stderr } = await naru('resync', 'shop')
    expect(stderr).toContain('subscriber "billing" goes on with the changes from now on')
    // One set waits, and no signs of life beside it.
    const lost = 'subscriber "billing" has not acknowledged 1 set of changes.shop'
    expect(stderr.includes(lost)).toBe(what === 'begun anew')
    await happen(commit(item('insert', { id: 2 })))
    await naru('run')
    // What an application noted, and says late, is of no set of the new log.
    await naru('changes', 'acknowledge', 'billing', position)
    const billing = await subscriber('billing')
    const set = await billing.next()
    expect(await rowsOf(set)).toMatchObject([{ key: { id: 2 } }])
    expect(set.position > position).toBe(true)
    await billing.close()
  },
)

test('an application that is connected while its log is begun anew goes on in the new one, and is told', async () => {
  await start()
  const [billing, slow] = [await subscriber('billing'), await subscriber('slow')]
  await happen(firstItem)
  const first = await billing.next()
  await first.acknowledge()
  const late = await slow.next()
  const waiting = billing.next()
  const { stderr: told } = await naru('resync', 'shop')
  expect(told).toContain('subscriber "billing" goes on with the changes from now on')
  await happen(commit(item('insert', { id: 2 })), commit(item('insert', { id: 3 })))
  const set = await waiting
  expect([first.isAnew, set.isAnew, set.position > first.position]).toEqual([false, true, true])
  expect(await rowsOf(set)).toMatchObject([{ key: { id: 2 } }])
  await set.acknowledge()
  expect((await billing.next()).isAnew).toBe(false)
  expect(told.match(/"[a-z]+" has not acknowledged.*(?=:)/g)).toEqual([
    '"slow" has not acknowledged 1 set of changes.shop',
  ])
  // What it was given of the old log stands for no set of the new one.
  await late.acknowledge()
  expect(await slow.next()).toMatchObject({ position: set.position, isAnew: true })
  await Promise.all([billing.close(), slow.close()])
})

test('without a server what is released is given again after its pause, and does not end the loop', async () => {
  await naru('run')
  await (await subscriber('billing')).close()
  await happen(firstItem)
  await naru('run')
  const billing = await subscriber('billing')
  await (await billing.next()).release(300)
  const again = await billing.next()
  expect(again.attempts).toBe(2)
  await again.acknowledge()
  await expect(billing.next()).rejects.toThrow('the changes ended')
  await billing.close()
})

test('two applications cannot have one place, and a name that the config lacks is refused', async () => {
  await start()
  const one = await subscriber('billing')
  await expect(subscriber('billing')).rejects.toMatchObject({ code: 'BUS_HELD' })
  await expect(subscriber('stranger')).rejects.toMatchObject({ code: 'SUBSCRIBER_UNKNOWN' })
  await one.close()
})

test('the command takes a set, says that it is done, and forgets a place', async () => {
  await start()
  const changes = async (...args: readonly string[]): Promise<readonly Record<string, unknown>[]> => {
    const { stdout } = await naru('changes', ...args, '--json')
    return stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
  }
  await changes('pull', 'map', '--from-start')
  await happen(firstItem)
  const lines = await changes('pull', 'map', '--wait', '30')
  expect(lines[1]).toMatchObject({ table: 'item', key: { id: '1' }, row: { label: '***' } })
  const { position } = lines.at(-1) as { position: string }
  expect((await changes('pull', 'map', '--wait', '30')).at(-1)).toMatchObject({ position })
  await changes('release', 'map')
  await changes('acknowledge', 'map', position)
  expect((await changes('pull', 'map')).at(-1)).toMatchObject({ sets: 0 })
  expect(await changes('remove', 'map')).toMatchObject([{ removed: true }])
  const list = await subscribersOf((server as NonNullable<typeof server>).open, never).list()
  expect(list.find(it => it.name === 'map')?.waiting).toBeNull()
})
