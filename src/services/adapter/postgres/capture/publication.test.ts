import os from 'node:os'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { realEnv } from '../../../../core/env.ts'
import { readOptions } from '../../../../core/implementation.ts'
import { Secret } from '../../../../core/secret.ts'
import { never } from '../../conformance-support.ts'
import { Connection } from '../connection.ts'
import { postgres } from '../index.ts'
import { targetOf } from '../target.ts'
import { startLogBench, type LogBench } from './log.test.support.ts'
import { readPublication } from './publication.ts'

let bench: LogBench
let connection: Connection

beforeAll(async () => {
  bench = await startLogBench()
  const target = targetOf({
    source: 'ops',
    options: readOptions(postgres.options, { url: { kind: 'secret', from: 'env', name: 'OPS_URL' } }, 'source "ops"'),
    secret: () => new Secret(bench.database.url),
    configDir: os.tmpdir(),
    stateDir: os.tmpdir(),
    env: realEnv(),
  })
  connection = await Connection.open(realEnv(), target, 'read')
})
afterAll(async () => {
  await connection?.close()
  await bench?.database.stop()
})

test('what is in a publication is what the server says is in it', async () => {
  await bench.run(`create schema far; create table plain (id int primary key); create table "Odd. name" (id int primary key);
    create table far.one (id int primary key); create unlogged table far.quick (id int); create view far.seen as select 1;
    create table sale (id int, day int, primary key (id, day)) partition by range (day);
    create table sale_1 partition of sale for values from (0) to (10);
    create table sale_2 partition of sale for values from (10) to (20) partition by range (id);
    create table far.sale_2a partition of sale_2 for values from (0) to (10);
    create table heir () inherits (plain)`)
  const members = [
    'table plain, "Odd. name"',
    'table only plain',
    'table plain where (id > 5), far.one where (id = 1)',
    'table sale',
    'table sale, sale_1',
    'table sale_1, sale_2',
    'table far.sale_2a where (id < 3)',
    'tables in schema far',
    'tables in schema far, public',
    'table sale, tables in schema far',
    'table plain where (id > 5), tables in schema far',
  ]
  for (const of of ['', ...members.map(it => ` for ${it}`)]) {
    for (const isByRoot of [true, false]) {
      if (!isByRoot && /sale.* where/.test(of)) continue
      await bench.run(`create publication looked${of} with (publish_via_partition_root = ${isByRoot})`)
      const settings = { publication: 'looked' } as Parameters<typeof readPublication>[0]['settings']
      const found = await readPublication({ connection, settings }, never)
      const said = await bench.database.client.query<{ readonly it: string; readonly filter: string | null }>(
        `select format('%I.%I', schemaname, tablename)::regclass::oid::text as it, rowfilter as filter
           from pg_publication_tables where pubname = 'looked'`,
      )
      const expected = new Map(said.rows.map(({ it, filter }) => [it, { filter }]))
      expect([of, isByRoot, [...(found?.tables ?? [])].sort()]).toEqual([of, isByRoot, [...expected].sort()])
      await bench.run('drop publication looked')
    }
  }
})
