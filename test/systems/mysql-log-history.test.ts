import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isNaruError } from '../../src/core/errors.ts'
import type { ColumnDef } from '../../src/core/types.ts'
import { eventsOf, follow, imageOf, items, type Event } from '../../src/services/adapter/conformance-capture-support.ts'
import { int64, never, readAll, shapeOf, text } from '../../src/services/adapter/conformance-support.ts'
import type { CapturedTable, Captures, ChangeStream } from '../../src/services/adapter/contract-capture.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { hardTypes } from '../../src/testing/mysql/hard-values.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'
import { startCutting } from '../support/cutting.ts'

let server: MariaDb
let client: Connection
let spillDir: string
beforeAll(async () => {
  server = await startMariaDb({ 'log-bin': 'mysqld-bin', 'server-id': '5', 'binlog-format': 'ROW' })
  client = await connectMysql(server.url())
  spillDir = mkdtempSync(path.join(os.tmpdir(), 'naru-spill-'))
})
afterAll(async () => {
  await client?.end()
  await server?.stop()
  rmSync(spillDir, { recursive: true, force: true })
})

const versions: CapturedTable = {
  name: 'version',
  ...shapeOf(
    'capture_versions',
    [
      ['n', int64],
      ['id', int64],
      ['op', text],
      ['version', int64],
    ],
    ['n'],
  ),
}

/** Four writers for so many transactions each; triggers write down every version. */
async function writeHistory(transactions: number): Promise<void> {
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    const session = await connectMysql(server.url())
    let seed = writer + 1
    const next = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
    for (let t = 0; t < transactions; t++) {
      await session.query('begin')
      for (let i = next(5); i >= 0; i--) {
        const id = writer * 10 + next(10)
        const kind = next(5)
        if (kind === 0) await session.query(`delete from capture_items where id = ${id}`)
        else
          await session.query(
            `insert into capture_items values (${id}, '${'n'.repeat(next(300))}', 1) on duplicate key update name = values(name), version = version + 1`,
          )
      }
      await session.query(next(6) === 0 ? 'rollback' : 'commit')
    }
    await session.end()
  })
  await Promise.all(writers)
}

test('through connections that are cut at random bytes, every key has the versions that triggers wrote down: none lost, none twice', async () => {
  await client.query(`drop table if exists capture_items, capture_versions`)
  await client.query(`create table capture_items (id bigint primary key, name text, version bigint)`)
  await client.query(
    `create table capture_versions (n bigint auto_increment primary key, id bigint, op varchar(10), version bigint)`,
  )
  for (const [event, op, row] of [
    ['insert', 'insert', 'new'],
    ['update', 'update', 'new'],
    ['delete', 'delete', 'old'],
  ]) {
    await client.query(
      `create trigger capture_${op} after ${event} on capture_items for each row insert into capture_versions (id, op, version) values (${row}.id, '${op}', ${row}.version)`,
    )
  }
  const direct = await openMysql(server.url())
  const log = direct.captures?.log as Captures
  const tables = [items, versions]
  let at = await log.install(tables, never)
  const writing = writeHistory(60)
  const events: Event[] = []
  let cuts = 0
  let seed = 7
  let isWritten = false
  void writing.then(() => (isWritten = true))
  for (let isDone = false; !isDone;) {
    seed = (seed * 48_271) % 2_147_483_647
    const bytes = cuts < 40 ? 9_000 + (seed % 30_000) : 1e9
    const proxy = await startCutting(server.port, bytes)
    const adapter = await openMysql(server.url().replace(String(server.port), String(proxy.port)))
    const captures = adapter.captures?.log as Captures
    // What has no position yet does not count.
    let held: Event[] = []
    try {
      const stream = await captures.open({ tables, from: at, spillDir, sliceBytes: 2_000 }, never)
      while (!isDone) {
        const came = structuredClone(await stream.next())
        assert.ok(!('kind' in came))
        held.push(...eventsOf(came))
        if (came.position === null) continue
        events.push(...held)
        held = []
        at = came.position
        if (isWritten) isDone = log.compare(at, await log.head(never)) >= 0
      }
    } catch (error) {
      assert.ok(isNaruError(error) && error.retry === 'later', String(error))
      cuts++
    } finally {
      await adapter.close()
      await proxy.stop()
    }
  }
  await writing
  const [rows] = await client.query({
    sql: 'select id, op, version from capture_versions order by n',
    rowsAsArray: true,
  })
  const wanted = (rows as unknown as readonly (readonly [number, string, number])[]).map(row => row.map(String))
  const came = events.filter(({ table }) => table === 'item')
  expect(cuts).toBeGreaterThan(5)
  for (let id = 0; id < 40; id++) {
    const own = came
      .filter(({ row }) => row[0] === String(id))
      .map(({ op, row }) => (op === 'delete' ? op : `${op} ${row[2]}`))
    const told = wanted
      .filter(row => row[0] === String(id))
      .map(([, op, version]) => (op === 'delete' ? op : `${op} ${version}`))
    assert.deepEqual(own, told, `the versions of ${id}`)
  }
  const view = await direct.tables?.openSnapshot(never)
  assert.ok(view !== undefined)
  const byId = (a: readonly unknown[], b: readonly unknown[]): number => Number(a[0]) - Number(b[0])
  assert.deepEqual(
    [...imageOf(events, 'item').values()].toSorted(byId),
    [...(await readAll(view, items)).rows].toSorted(byId),
  )
  await view.close()
  await direct.close()
})

test.each(['FULL', 'NOBLOB', 'MINIMAL'])(
  'random rows and updates leave the copy equal to the table, with image %s',
  async image => {
    // A blob in the key is none of the point.
    const columns = hardTypes.map(({ type }, i): ColumnDef => ({
      name: `c${i}`,
      type,
      nullable: true,
      personal: false,
    }))
    const table: CapturedTable = {
      name: 'random',
      remote: 'random_rows',
      key: ['id'],
      columns: [{ name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false }, ...columns],
    }
    const session = await connectMysql(server.url())
    const natives = hardTypes.map(
      ({ native }, i) => `c${i} ${native}${native.startsWith('timestamp') ? '' : ' null'} default null`,
    )
    await session.query(`set sql_mode = '', binlog_row_image = '${image}'`)
    const adapter = await openMysql(server.url())
    const log = adapter.captures?.log as Captures
    const change = fc.record({
      id: fc.integer({ min: 1, max: 8 }),
      to: fc.integer({ min: 1, max: 8 }),
      kind: fc.constantFrom('insert', 'update', 'update', 'update', 'move', 'delete'),
      cells: fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 6 }),
    })
    const set = (cells: readonly (readonly [number, number])[]): string =>
      [...new Map(cells.map(([column, value]) => [column % hardTypes.length, value]))]
        .map(([c, value]) => {
          const values = ['null', ...(hardTypes[c]?.values ?? [])]
          return `c${c} = ${values[value % values.length]}`
        })
        .join(', ')
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(change, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 6 }),
          async groups => {
            await session.query(
              `create or replace table random_rows (id int primary key, ${natives.join(', ')}) charset utf8mb4`,
            )
            const from = await log.install([table], never)
            const stream: ChangeStream = await log.open({ tables: [table], from, spillDir }, never)
            try {
              for (const group of groups) {
                await session.query('begin')
                for (const { id, to, kind, cells } of group) {
                  if (kind === 'insert')
                    await session.query(`insert ignore into random_rows set id = ${id}, ${set(cells)}`)
                  else if (kind === 'update')
                    await session.query(`update random_rows set ${set(cells)} where id = ${id}`)
                  else if (kind === 'move')
                    await session.query(`update ignore random_rows set id = ${to}, ${set(cells)} where id = ${id}`)
                  else await session.query(`delete from random_rows where id = ${id}`)
                }
                await session.query('commit')
              }
              const { events, rejects } = await follow(log, stream, await log.head(never))
              const view = await adapter.tables?.openSnapshot(never)
              assert.ok(view !== undefined)
              const { rows } = await readAll(view, table)
              await view.close()
              assert.deepEqual(rejects, [])
              assert.deepEqual(new Map(rows.map(row => [row[0], row])), imageOf(events, 'random'))
            } finally {
              await stream.close()
            }
          },
        ),
        { numRuns: 12, endOnFailure: true },
      )
    } finally {
      await session.end()
      await adapter.close()
    }
  },
)
