import { expect, test } from 'vitest'
import { realEnv } from '../../core/env.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { readAddress } from './address.ts'

const read = (address: string): ReturnType<typeof readAddress> =>
  readAddress({ ...realEnv(), variables: { PLACE: address } }, 'env:PLACE#part', '/nowhere/naru.config.ts')

test.each([
  ['postgres://me:hidden@h/d', 'postgres', 'url'],
  ['mariadb://me:hidden@h/d', 'mysql', 'url'],
  ['sftp://me:hidden@h/in', 'files', 'url'],
  ['DSN=erp;UID=naru;PWD=hidden', 'odbc', 'dsn'],
  ['Driver={PostgreSQL Unicode};Server=h;PWD={a;b=c}', 'odbc', 'dsn'],
  ['UID=naru; driver = SQLite3; Database=/x/erp.db', 'odbc', 'dsn'],
  ['mysql://me:a;dsn=b@h/d', 'mysql', 'url'],
])('a variable with %s names its adapter, and keeps the address to itself', async (address, adapter, option) => {
  const { system, table } = await read(address)
  expect([system.adapter, table]).toEqual([adapter, 'part'])
  expect(system.options).toEqual({ [option]: { kind: 'secret', from: 'env', name: 'PLACE' } })
})

test.each([
  ['oracle://me:hidden@h/d', '"oracle"'],
  ['Server=h;PWD=hidden', 'has no scheme'],
  ['hidden', 'has no scheme'],
])('%s is refused by what is wrong with it, and not shown', async (address, says) => {
  const error = await read(address).catch((it: unknown) => it)
  await rejectsWith('TRANSFER_ADDRESS', Promise.reject(error as Error), says)
  expect(String(error)).toContain('DSN=')
  expect(String(error)).not.toContain('hidden')
})
