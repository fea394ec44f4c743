import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testOpening } from '../../../testing/engine.ts'
import { rawSql, sql } from '../../../core/sql.ts'
import type { Cell, Engine } from '../contract.ts'
import { openEngine } from './open.ts'

const never = new AbortController().signal
let folder: string
let people: Engine

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'naru-masked-'))
  const file = path.join(folder, 'x.duckdb')
  const writer = await openEngine(testOpening(file))
  await writer.transaction(never, async tx => {
    await tx.execute(sql`create schema ods`)
    await tx.execute(sql`create table ods.person (id integer, name varchar, city varchar)`)
    await tx.execute(sql`insert into ods.person values (1, 'canary', 'Seoul'), (2, null, 'Busan')`)
    await tx.execute(sql`create view ods.everyone as select * from ods.person`)
    await tx.execute(sql`create table ods.left_the_config as select * from ods.person`)
  })
  await writer.close()
  const masked = ['person', 'everyone'].map(table => ({ schema: 'ods', table, columns: ['name', 'no_such_column'] }))
  people = await openEngine({ ...testOpening(file), access: 'people', masked, closed: ['ods'] })
})

afterAll(async () => {
  await people.close()
  await fs.rm(folder, { recursive: true })
})

async function ask(text: string): Promise<readonly (readonly Cell[])[]> {
  const rows: (readonly Cell[])[] = []
  for await (const page of (await people.query(rawSql(text), never)).pages) rows.push(...page)
  return rows
}

describe('what people see of personal columns', () => {
  test.each([
    'select name from ods.person order by id',
    'select p.name from ods.person p order by p.id',
    'select name from ods.everyone order by id',
    'with x as (from ods.person) select name from x order by id',
  ])('%s shows that there is a value, not which', async text => {
    expect(await ask(text)).toEqual([['***'], [null]])
  })

  test('a condition cannot find out a value', async () => {
    expect(await ask(`select count(*) from ods.person where name = 'canary'`)).toEqual([[0n]])
    expect(await ask(`select count(*) from ods.person where city = 'Seoul'`)).toEqual([[1n]])
  })

  test.each([
    'select name from _naru.ods.person',
    'select name from _NARU.ods.person',
    'select name from "_naru"."ods"."person"',
    `select * from query('select name from ods.person')`,
    `select * from query_table('_naru.ods.person')`,
    'summarize _naru.ods.person',
    'select (select max(name) from _naru.ods.person)',
    'select * from ods.person where id in (select id from _naru.ods.person)',
    `select * from read_csv('/etc/passwd')`,
    `select * from '/etc/passwd'`,
    `select * from pragma_storage_info('ods.person')`,
    'use _naru',
    'select 1; select name from ods.person',
    'delete from ods.person',
    'create view x as select 1',
    `attach '/tmp/other.duckdb'`,
    `copy ods.person to '/tmp/out.csv'`,
    `set search_path = '_naru.ods'`,
  ])('%s is refused', async text => {
    await expect(ask(text)).rejects.toMatchObject({ name: 'NaruError' })
  })

  test('a table that left the config is not shown', async () => {
    await expect(ask('select name from ods.left_the_config')).rejects.toThrow(/does not exist/)
  })

  test('describing and summarizing work, on what is shown', async () => {
    expect((await ask('describe ods.person')).map(row => row[0])).toEqual(['id', 'name', 'city'])
    expect(
      JSON.stringify(
        await ask(
          'select * exclude (approx_unique, count, null_percentage, avg, std, q25, q50, q75) from (summarize ods.person)',
        ),
      ),
    ).not.toContain('canary')
  })
})
