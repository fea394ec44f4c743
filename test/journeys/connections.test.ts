import { rm } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { expectNoSecret, expectRefused, type Refusal } from '../support/project.ts'
import { shopConfig, startSystems, type Shop, type Systems } from '../support/shop.ts'
import { closedPort, startFallsSilent, startSilent, type BadServer } from '../support/silent.ts'

/** Every wait of the config is this long: a run that ends at all has kept to it. */
const limit = '1s'
const config = shopConfig({ ops: `statementTimeout: '${limit}',` })
  .replace("connectTimeout: '5s'", `connectTimeout: '${limit}'`)
  .replace("timeout: '5s'", `timeout: '${limit}'`)

let systems: Systems
let shop: Shop
let before: Readonly<Record<string, string>>

beforeAll(async () => {
  systems = await startSystems()
  shop = await systems.shop({ config })
  await shop.run()
  before = await shop.visible()
})
afterAll(() => systems.stop())

// Whatever went wrong: what people had before is there as it was.
afterEach(async () => expect(await shop.visible()).toEqual(before))

type Variable = 'OPS_URL' | 'PARTNER_URL'

/** The address in a variable with another part. */
function address(variable: Variable, parts: { readonly port?: number; readonly password?: string }): string {
  const url = new URL(shop.variables[variable] as string)
  if (parts.port !== undefined) url.port = String(parts.port)
  if (parts.password !== undefined) url.password = parts.password
  return url.href
}

/** Runs one source at another address, and checks how it is refused. */
async function expectRunRefused(variable: Variable, url: string, refusal: Refusal): Promise<void> {
  const ended = await shop.naru(['run', variable === 'OPS_URL' ? 'ops' : 'partner'], { [variable]: url })
  expectRefused(ended, refusal)
  expectNoSecret(ended, [...shop.secrets, new URL(url).password])
}

async function badServer(start: Promise<BadServer>): Promise<number> {
  const server = await start
  onTestFinished(() => server.stop())
  return server.port
}

describe('a wrong password', () => {
  const wrong = 'Open-Sesame-4711'

  test('of a database names the source and the user', () =>
    expectRunRefused('OPS_URL', address('OPS_URL', { password: wrong }), {
      status: 1,
      code: 'SOURCE_LOGIN',
      says: ['source "ops"', 'user "postgres"'],
    }))

  test('of an FTP server names the source and the user', () =>
    expectRunRefused('PARTNER_URL', address('PARTNER_URL', { password: wrong }), {
      status: 1,
      code: 'STORAGE_LOGIN',
      says: ['source "partner"', 'user "partner"'],
    }))
})

describe('a server that is not reachable', () => {
  test('with a closed port: a database is named with its address', async () => {
    const port = await closedPort()
    await expectRunRefused('OPS_URL', address('OPS_URL', { port }), {
      status: 1,
      code: 'SOURCE_UNREACHABLE',
      says: ['source "ops"', `127.0.0.1:${port}`],
    })
  })

  test('with a closed port: an FTP server is named with its address', async () => {
    const port = await closedPort()
    await expectRunRefused('PARTNER_URL', address('PARTNER_URL', { port }), {
      status: 1,
      code: 'STORAGE_UNREACHABLE',
      says: ['source "partner"', `127.0.0.1:${port}`],
    })
  })

  test('hanging half-open: a database that accepts and never answers ends within the limit', async () => {
    const port = await badServer(startSilent())
    await expectRunRefused('OPS_URL', address('OPS_URL', { port }), {
      status: 1,
      code: 'SOURCE_UNREACHABLE',
      says: ['source "ops"', `127.0.0.1:${port}`, '1000 ms'],
    })
  })

  test('hanging half-open: an FTP server that accepts and never answers ends within the limit', async () => {
    const port = await badServer(startSilent())
    await expectRunRefused('PARTNER_URL', address('PARTNER_URL', { port }), {
      status: 1,
      code: 'STORAGE_TIMEOUT',
      says: ['source "partner"', `127.0.0.1:${port}`, 'the login', '1000 ms'],
    })
  })

  test('hanging in the middle: a database that falls silent while a table is read ends within the limit', async () => {
    const port = await badServer(startFallsSilent(systems.postgres.port, 'copy ('))
    await expectRunRefused('OPS_URL', address('OPS_URL', { port }), {
      status: 1,
      code: 'SOURCE_UNREACHABLE',
      says: ['source "ops"', `127.0.0.1:${port}`],
    })
  })

  test('hanging in the middle: an FTP server that falls silent at a transfer ends within the limit', async () => {
    const port = await badServer(startFallsSilent(systems.ftp.port, 'RETR'))
    await shop.drop('town_new.csv', 'code,name,people\nT9,Mokpo,1\n')
    onTestFinished(() => rm(path.join(shop.dropFolder, 'town_new.csv')))
    await expectRunRefused('PARTNER_URL', address('PARTNER_URL', { port }), {
      status: 1,
      code: 'STORAGE_TIMEOUT',
      says: ['source "partner"', '1000 ms'],
    })
  })
})

describe('a table that changed since `naru pull`', () => {
  /** Changes the source for one test. The table stays as it was, the others go on. */
  async function expectStopped(change: string, undo: string, says: readonly string[]): Promise<void> {
    await shop.db.query(change)
    onTestFinished(async () => void (await shop.db.query(undo)))
    const ended = await shop.naru(['run', 'ops'])
    expect(ended.status, ended.stderr).toBe(5)
    for (const part of [...says, 'stays as it was', 'naru pull']) expect(ended.stderr).toContain(part)
    expectNoSecret(ended, shop.secrets)
  }

  test('a table that is gone is named', () =>
    expectStopped('alter table customer rename to client', 'alter table client rename to customer', [
      '"customer"',
      'source "ops"',
    ]))

  test('a column that is gone is named', () =>
    expectStopped('alter table sale rename amount to total', 'alter table sale rename total to amount', [
      '"amount"',
      'table "sale"',
      'source "ops"',
    ]))

  test('a column of another type is named with both types', () =>
    expectStopped('alter table sale alter amount type numeric', 'alter table sale alter amount type integer', [
      '"amount"',
      'table "sale"',
      'source "ops"',
      'numeric',
      'int32',
    ]))

  test('a column that is new is told, and the run goes on', async () => {
    await shop.run() // takes what the refused runs had read already
    await shop.db.query("alter table customer add phone text default '010'")
    onTestFinished(async () => void (await shop.db.query('alter table customer drop phone')))
    const ended = await shop.naru(['run', 'ops.customer'])
    expect(ended.status, ended.stderr).toBe(0)
    expect(ended.stderr).toContain('warning: ops.customer has columns that the configuration does not name: phone')
  })
})
