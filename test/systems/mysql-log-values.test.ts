import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { ColumnDef } from '../../src/core/types.ts'
import { follow, type Followed } from '../../src/services/adapter/conformance-capture-support.ts'
import { never, readAll } from '../../src/services/adapter/conformance-support.ts'
import type { CapturedTable, Captures } from '../../src/services/adapter/contract-capture.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { hardGenerated, hardTypes } from '../../src/testing/mysql/hard-values.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'

let server: MariaDb
let client: Connection
let spillDir: string
beforeAll(async () => {
  server = await startMariaDb({
    'log-bin': 'mysqld-bin',
    'server-id': '7',
    'binlog-format': 'ROW',
    'max-allowed-packet': '64M',
  })
  client = await connectMysql(server.url())
  spillDir = mkdtempSync(path.join(os.tmpdir(), 'naru-spill-'))
})
afterAll(async () => {
  await client?.end()
  await server?.stop()
  rmSync(spillDir, { recursive: true, force: true })
})

/** Follows what `write` does to some tables. */
async function changesOf(
  tables: readonly CapturedTable[],
  write: () => Promise<void>,
  options: Readonly<Record<string, unknown>> = {},
): Promise<Followed & { readonly adapter: Adapter }> {
  const adapter = await openMysql(server.url(), options)
  const log = adapter.captures?.log as Captures
  const from = await log.install(tables, never)
  const stream = await log.open({ tables, from, spillDir }, never)
  await write()
  const followed = await follow(log, stream, await log.head(never))
  return { ...followed, adapter }
}

/** Every hard type, one row for each of its values, in settings of the log. */
const all = [...hardTypes, ...hardGenerated]
const hard: CapturedTable = {
  name: 'hard',
  remote: 'hard',
  key: ['id'],
  columns: [
    { name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false },
    ...all.map(({ type }, i): ColumnDef => ({ name: `c${i}`, type, nullable: true, personal: false })),
  ],
}

async function makeHard(): Promise<void> {
  await client.query(`set sql_mode = ''; drop table if exists hard`)
  await client.query(
    `create table hard (id int primary key, ${all.map(({ native }, i) => `c${i} ${native}`).join(', ')}) charset utf8mb4`,
  )
}

async function writeHard(): Promise<{ readonly unfit: readonly string[] }> {
  let id = 0
  const unfit: string[] = []
  for (const [column, { values, unfit: bad = [] }] of hardTypes.entries()) {
    for (const value of [...values, ...bad]) {
      id++
      await client.query(`insert into hard (id, c${column}) values (${id}, ${value})`)
      if (bad.includes(value)) unfit.push(String(id))
    }
  }
  return { unfit }
}

describe.each([
  ['as the server has them', ''],
  ['with rows that are packed', `set global log_bin_compress = on, global log_bin_compress_min_len = 10`],
])('hard values %s', (_, setting) => {
  test('arrive through the log exactly as through a read of the table', async () => {
    if (setting !== '') await client.query(setting)
    await client.end()
    client = await connectMysql(server.url())
    await makeHard()
    let unfit: readonly string[] = []
    const { events, rejects, adapter } = await changesOf([hard], async () => {
      unfit = (await writeHard()).unfit
    })
    const view = await adapter.tables?.openSnapshot(never)
    assert.ok(view !== undefined)
    const read = await readAll(view, hard)
    await view.close()
    await adapter.close()
    const byId = (a: readonly unknown[], b: readonly unknown[]): number => Number(a[0]) - Number(b[0])
    const expected = [...read.rows].sort(byId)
    const came = events
      .filter(({ op }) => op === 'insert')
      .map(({ row }) => row)
      .sort(byId)
    const deleted = events.filter(({ op }) => op === 'delete').map(({ row }) => row[0])
    assert.deepEqual(deleted.toSorted(), [...unfit].toSorted())
    for (const [i, row] of expected.entries()) {
      for (const [c, value] of row.entries()) {
        assert.equal(came[i]?.[c], value, `${c === 0 ? 'id' : all[c - 1]?.native} of row ${row[0]}`)
      }
    }
    assert.equal(came.length, expected.length)
    assert.deepEqual(rejects.map(({ reject }) => reject.key?.['id']).toSorted(), [...unfit].toSorted())
  })
})
