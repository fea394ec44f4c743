import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { expect, test } from 'vitest'
import { startTestDatabase } from '../../src/testing/postgres/database.ts'
import { startNaru, type Ended } from '../support/command.ts'

test('of three calls of one transfer at once one goes on, and the others are refused by its name', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'naru-race-'))
  const target = await startTestDatabase()
  try {
    const source = new sqlite.Database(path.join(folder, 'from.db'))
    source.exec(`create table item (id bigint primary key, name text); insert into item values (1, 'a'), (2, 'b')`)
    source.close()
    await target.client.query('create table item (id bigint primary key, name text)')
    await target.client.query('begin; lock table item')
    const args = ['transfer', 'from.db#item', 'env:SHOP#item', '--mode', 'upsert']
    const calls = [1, 2, 3].map(() => startNaru(folder, args, { variables: { SHOP: target.url } }))
    const refused: Ended[] = []
    // The one that goes on waits for the table; who ends before it may have it was refused.
    await new Promise<void>(resolve => {
      for (const call of calls) void call.ended.then(end => refused.push(end) === 2 && resolve())
    })
    for (const end of refused) {
      expect(end.stderr).toContain('[RUN_HELD]')
      expect(end.stderr).toContain('naru transfer from.db#item → env:SHOP#item (process')
      expect(end.status).toBe(1)
    }
    await target.client.query('commit')
    const [done] = (await Promise.all(calls.map(call => call.ended))).filter(end => end.status === 0)
    expect(done?.stdout).toContain('2 inserted')
    expect((await target.client.query('select * from item')).rowCount).toBe(2)
    expect(await readdir(path.join(folder, '.naru/transfer'))).toEqual([])
  } finally {
    await target.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
