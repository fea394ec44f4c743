import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { OpenProject } from '../../src/app/project.ts'
import { Secret } from '../../src/core/secret.ts'
import { defineConfig, duckdb, env, mysql, ods, t } from '../../src/index.ts'
import { openSource } from '../../src/app/extract.ts'
import { capturedTable, capturesOf, streamsOf, type StreamDef } from '../../src/app/stream/streams.ts'
import type { CapturedTable } from '../../src/services/adapter/contract-capture.ts'
import { readFrom } from '../../src/testing/capture.ts'
import { never } from '../../src/testing/engine.ts'
import { connectMysql } from '../../src/testing/mysql/database.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'
import { checkLeft, installStreams, statementsOf, type FoundLeft } from '../support/installed.ts'
import { placeIn } from '../support/place.ts'

let server: MariaDb
let db: Connection
let folders: readonly string[] = []
beforeAll(async () => {
  server = await startMariaDb()
  db = await connectMysql(server.url())
}, 300_000)
afterAll(async () => {
  await db?.end()
  await server?.stop()
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  await db.query('drop database shop; create database shop; use shop')
  await db.query(`create table item (id integer primary key, label text); create table place (id integer primary key, label text);
    insert into item values (1, 'a'); insert into place values (1, 'p')`)
})

async function folder(): Promise<string> {
  const made = await mkdtemp(path.join(os.tmpdir(), 'naru-leaving-'))
  folders = [...folders, made]
  return made
}

type Technique = 'trigger' | 'event' | 'full'

function project(
  at: string,
  { item, place }: { readonly item: Technique; readonly place: Technique },
  url: string = server.url(),
): OpenProject {
  const columns = { id: t.int(), label: t.text().null() }
  const shop = mysql('shop', {
    url: env('SHOP_URL'),
    schema: { item: { key: ['id'], columns }, place: { key: ['id'], columns } },
    changes: { item: { technique: item }, place: { technique: place } } as never,
  })
  const items = ods.entity('item', { key: 'id', columns }).from(shop.item, r => ({ ...r }))
  const places = ods.entity('place', { key: 'id', columns }).from(shop.place, r => ({ ...r }))
  return {
    project: defineConfig({
      name: 'leaving',
      engine: duckdb({ path: 'data.duckdb' }),
      models: { item: ods.export('item', items), place: ods.export('place', places) },
    }),
    ...placeIn(at),
    secret: () => new Secret(url),
  }
}

const follow = async (left: FoundLeft | undefined): Promise<void> =>
  void (await db.query(statementsOf(left as FoundLeft)))

async function names(): Promise<readonly string[]> {
  const [tables] = await db.query(`select table_name as name from information_schema.tables where table_schema = 'shop'
    union all select trigger_name from information_schema.triggers where trigger_schema = 'shop' order by 1`)
  return (tables as unknown as readonly { readonly name: string }[])
    .map(it => it.name)
    .filter(it => it.startsWith('naru'))
}

test('MariaDB: a table that is left out of its triggers, then all of them, are told with what removes exactly that', async () => {
  const at = await folder()
  await installStreams(project(at, { item: 'trigger', place: 'trigger' }))
  expect(await checkLeft(project(at, { item: 'trigger', place: 'trigger' }))).toEqual([])
  const less = project(at, { item: 'trigger', place: 'full' })
  const [left, ...more] = await checkLeft(less)
  expect(more).toEqual([])
  expect(left?.message).toMatch(/`naru_changes_place` with the triggers on "place"; .*a second time, for ever/)
  await follow(left)
  expect(await checkLeft(less)).toEqual([])
  const ofItem = ['naru_changes_item', 'naru_delete_item', 'naru_insert_item', 'naru_update_item']
  expect(await names()).toEqual(['naru_captured', ...ofItem, 'naru_stream'].toSorted())

  const none = project(at, { item: 'full', place: 'full' })
  const [whole] = await checkLeft(none)
  await follow(whole)
  expect(await names()).toEqual([])
  expect(await checkLeft(none)).toEqual([])
})

test('MariaDB: changes of one project are refused to another, and what is removed of some tables leaves the others theirs', async () => {
  const open = project(await folder(), { item: 'trigger', place: 'trigger' })
  const [def] = streamsOf(open.project.sources) as [StreamDef]
  const adapter = await openSource(open, def.source)
  try {
    const captures = capturesOf(adapter, def)
    const of = (owner: string, more = {}): readonly CapturedTable[] =>
      def.tables.map(table => ({ ...capturedTable(table), owner, ...more }))
    const from = await captures.install(of('one'), never)
    const [problem] = await captures.inspect(of('two'), never)
    expect(problem?.text).toContain('belong to one,')
    await expect(captures.install(of('two'), never)).rejects.toMatchObject({ code: 'CAPTURE_NOT_READY' })
    await captures.remove(never, ['item'])
    await db.query(`insert into item values (2, 'unseen'); insert into place values (2, 'seen')`)
    await expect(captures.install(of('one', { isFollowed: true }), never)).rejects.toMatchObject({
      code: 'POSITION_LOST',
      message: expect.stringContaining('any more of "item"') as string,
    })
    const { events } = await readFrom(captures, { tables: of('one').slice(1), from })
    expect(events.map(it => it.row[1])).toEqual(['seen'])
    await db.query(/: (update .*;)$/.exec(problem?.fix ?? '')?.[1] ?? '')
    await captures.install(of('two'), never)
    await captures.remove(never)
    expect(await names()).toEqual([])
  } finally {
    await adapter.close()
  }
})

test('MariaDB: what writes past the triggers is told before they are installed, and statements that replace rows are seen', async () => {
  await db.query(`create table kind (id integer primary key) engine = InnoDB; drop table item;
    create table item (id integer primary key, label text, kind integer, code integer unique,
      foreign key (kind) references kind (id) on delete cascade) engine = InnoDB; drop table place;
    create table place (id integer primary key, label text) partition by hash (id) partitions 2; insert into place values (1, 'p')`)
  const open = project(await folder(), { item: 'trigger', place: 'trigger' })
  const [def] = streamsOf(open.project.sources) as [StreamDef]
  const adapter = await openSource(open, def.source)
  try {
    const captures = capturesOf(adapter, def)
    const tables = def.tables.map(capturedTable)
    const told = await captures.inspect(tables, never)
    const of = (name: string): string => told.flatMap(it => (it.table === name ? [it.text] : [])).join('; ')
    expect(of('item')).toMatch(/TRUNCATE fires no trigger.*UPDATE IGNORE.*foreign keys delete or change/)
    expect(of('place')).toMatch(/UPDATE IGNORE.*EXCHANGE PARTITION fires no trigger/)
    expect(told.some(it => it.isFatal)).toBe(false)
    const from = await captures.install(tables, never)
    await db.query(`insert into item values (1, 'a', null, 10); insert ignore into item values (1, 'b', null, 11);
      replace into item values (1, 'c', null, 10); insert into item values (2, 'x', null, 10) on duplicate key update label = 'd';
      replace into item values (3, 'e', null, 10); update item i join place p on p.id = 1 set i.label = 'f', p.label = 'q'`)
    const { events } = await readFrom(captures, { tables, from })
    const last = events.filter(it => it.table === 'item')
    expect(last.map(it => [it.op, it.row[0], it.row[1]])).toEqual([
      ['insert', '1', 'a'],
      ['delete', '1', null],
      ['insert', '1', 'c'],
      ['update', '1', 'd'],
      ['delete', '1', null],
      ['insert', '3', 'e'],
      ['update', '3', 'f'],
    ])
    expect(events.filter(it => it.table === 'place').map(it => it.row[1])).toEqual(['q'])
  } finally {
    await adapter.close()
  }
})

test('MariaDB: an outbox that is left is told, beside triggers that go on', async () => {
  const at = await folder()
  await installStreams(project(at, { item: 'event', place: 'trigger' }))
  const left = project(at, { item: 'full', place: 'trigger' })
  const [outbox, ...more] = await checkLeft(left)
  expect(more).toEqual([])
  expect(outbox?.message).toContain('the outbox `shop`.`naru_outbox`')
  await follow(outbox)
  expect(await checkLeft(left)).toEqual([])
  expect(await names()).toContain('naru_stream')
})

test('MariaDB: what other projects made is not claimed, nor what was made anew; what an account may not see is told', async () => {
  const [ours, theirs] = [await folder(), await folder()]
  await installStreams(project(theirs, { item: 'trigger', place: 'event' }))
  const none = project(ours, { item: 'full', place: 'full' })
  expect(await checkLeft(none)).toEqual([])

  await installStreams(project(ours, { item: 'full', place: 'event' }))
  await db.query('drop table naru_outbox')
  await installStreams(project(theirs, { item: 'trigger', place: 'event' }))
  expect(await checkLeft(none)).toEqual([])

  await db.query(
    `create or replace user reader identified by 'r'; grant select on shop.item to reader; grant select on shop.place to reader`,
  )
  const unseen = project(theirs, { item: 'full', place: 'full' }, server.url('reader', 'r'))
  const found = await checkLeft(unseen)
  expect(found.map(it => it.code)).toEqual(['CAPTURE_LEFT_UNSEEN', 'CAPTURE_LEFT_UNSEEN'])
  expect(found.every(it => /shows an account only what it may use, and user "reader" lacks/.test(it.message))).toBe(
    true,
  )
})
