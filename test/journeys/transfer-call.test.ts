import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import sqlite from 'node-sqlite3-wasm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { startNaru, type Ended } from '../support/command.ts'

let folder = ''
let shop: TestDatabase

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'naru-call-'))
  shop = await startTestDatabase()
  const source = new sqlite.Database(path.join(folder, 'till.db'))
  source.exec(`
    create table customer (id bigint primary key, name text, country text);
    create table sale (id bigint primary key, customer bigint, amount decimal(10,2), paid boolean);
    insert into customer values (1, 'Mina', 'KR'), (2, 'Ada', 'GB'), (3, 'Jun', 'KR');
    insert into sale values (10, 1, 1.50, 1), (11, 2, 2.25, 1), (12, 3, 9.00, 0), (13, 1, 4.00, 0)`)
  source.close()
})
afterAll(async () => {
  await shop.stop()
  await rm(folder, { recursive: true, force: true })
})

const naru = (...args: readonly string[]): Promise<Ended> =>
  startNaru(folder, ['transfer', ...args], { variables: { SHOP_URL: shop.url } }).ended

const rows = async (query: string): Promise<unknown> => (await shop.client.query(query)).rows

test('a query that joins tables, with OR in it, is moved from one system to another', async () => {
  await shop.client.query('create table owed (sale bigint primary key, customer text, amount numeric(10,2))')
  const query = `select s.id as sale, c.name as customer, s.amount from sale s join customer c on c.id = s.customer
    where c.country = 'GB' or s.paid = 0`
  const done = await naru('till.db', 'env:SHOP_URL#owed', '--query', query, '--key', 'sale', '--split-by', 'sale')
  expect(done.status, done.stderr).toBe(0)
  expect(await rows('select * from owed order by sale')).toEqual([
    { sale: '11', customer: 'Ada', amount: '2.25' },
    { sale: '12', customer: 'Jun', amount: '9.00' },
    { sale: '13', customer: 'Mina', amount: '4.00' },
  ])
  await shop.client.query('drop table owed')
})

test('a procedure is called with each row, and one that it refuses takes all calls back', async () => {
  await shop.client
    .query(`create schema sales; create table sales.taken (id bigint, amount numeric, at timestamp default now());
    create procedure sales.take(bigint, numeric) language plpgsql as $$ begin
      if $2 > 5 then raise exception 'too much: %', $2; end if;
      insert into sales.taken (id, amount) values ($1, $2);
    end $$`)
  const call = ['till.db#sale', 'env:SHOP_URL#sales.take', '--mode', 'call', '--columns', 'id,amount'] as const
  const refused = await naru(...call)
  expect(refused.stderr).toContain('[WRITE_CALL]')
  expect(refused.stderr).toMatch(/with row 3 of ".*" failed: too much: 9.00/)
  expect(await rows('select * from sales.taken')).toEqual([])
  const done = await naru(...call, '--where', 'amount <= 5')
  expect(done.stdout, done.stderr).toContain('In the target: 3 calls made.')
  expect(await rows('select id, amount from sales.taken order by id')).toEqual([
    { id: '10', amount: '1.50' },
    { id: '11', amount: '2.25' },
    { id: '13', amount: '4.00' },
  ])
  for (const odd of [['--key', 'id'], ['--create'], ['--missed', 'report']]) {
    const { status, stderr } = await naru(...call, ...odd)
    expect(stderr).toContain('does not go with --mode call')
    expect(status).toBe(2)
  }
  const wrong = await naru('till.db#sale', 'env:SHOP_URL#sales.take', '--mode', 'call')
  expect(wrong.stderr).toContain('[WRITE_TARGET]')
  expect(wrong.stderr).toContain('sales.take(bigint,numeric): it takes 2 arguments, of 4 columns')
})

test('a target without procedures says so', async () => {
  const { status, stderr } = await naru('till.db#sale', 'to.db#sale', '--mode', 'call')
  expect(stderr).toContain('"to.db#sale" cannot be written with --mode call')
  expect(status).toBe(2)
})
