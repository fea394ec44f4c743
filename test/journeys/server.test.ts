import { existsSync } from 'node:fs'
import { mkdir, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { expectNoSecret, expectRefused, jsonOf } from '../support/project.ts'
import { addressOf, connectBare, startServer, statusOf } from '../support/server.ts'
import { sales, shopConfig, startSystems, type Shop, type Systems, holdSales, untilWaiting } from '../support/shop.ts'

// `naru start`, `naru stop`, `naru status`, and what others are answered meanwhile. (The line protocol: src/app/server/wire.test.ts.)

let systems: Systems
beforeAll(async () => void (systems = await startSystems()))
afterAll(() => systems.stop())

const often = { config: shopConfig({ ops: "every: '300ms',", partner: "every: '1h'," }) }
const seldom = { config: shopConfig({ ops: "every: '1h',", partner: "every: '1h'," }) }
// Generous: on a loaded machine a run takes many seconds.
const waits = { timeout: 120_000, interval: 100 }
vi.setConfig({ testTimeout: 240_000 })
const changeSales = 'update sale set amount = amount + 1, updated_at = now() where id <= 3'

/** A shop with one run behind it. */
const loadedShop = (given: Parameters<Systems['shop']>[0] = seldom): Promise<Shop> => systems.loadedShop(given)

/** The answer of `naru sql`, as a person gets it. */
async function ask(shop: Shop, query: string): Promise<readonly (readonly unknown[])[]> {
  const ended = await shop.naru(['sql', '--json', query])
  expect(ended.status, ended.stderr).toBe(0)
  return (jsonOf(ended) as { rows: unknown[][] }).rows
}

const martAmount = 'select cast(sum(amount) as varchar) from mart.monthly'

async function sourceAmount(shop: Shop): Promise<string> {
  const { rows } = await shop.db.query<{ amount: string }>('select sum(amount) as amount from sale')
  return rows[0]?.amount ?? ''
}

describe('while a run has the database open', () => {
  test('others are answered from what was published, with the masks of any other time', async () => {
    const shop = await loadedShop()
    await shop.db.query(changeSales)
    await holdSales(shop)
    const run = shop.start(['run'])
    await untilWaiting(systems, shop)
    const sql = await shop.naru(['sql', 'select name, town from ods.customer order by id limit 1'])
    expect(sql.stdout).toContain('***   T1')
    expect(sql.stderr).toContain(`asked naru run (process ${run.child.pid}), which has the database open`)
    expectNoSecret(sql, shop.secrets)
    expect(await ask(shop, 'select count(*) from staging.ops_sale')).toEqual([[String(sales)]])
    const status = await statusOf(shop)
    expect([status.server?.process, status.runs[0]?.state]).toEqual([run.child.pid, 'running'])
    for (const args of [['plan'], ['quarantine', 'list'], ['report'], ['lineage', 'mart.monthly.amount']]) {
      const ended = await shop.naru(args)
      expect(ended.status, `${args.join(' ')}: ${ended.stderr}`).toBe(0)
    }
    expectRefused(await shop.naru(['undo', '1']), { status: 1, code: 'RUN_HELD', says: [`process ${run.child.pid}`] })
    expectRefused(await shop.naru(['stop']), { status: 1, code: 'SERVER_ONCE', says: [`process ${run.child.pid}`] })
    await shop.db.query('rollback')
    expect((await run.ended).status).toBe(0)
    expect(await ask(shop, martAmount)).toEqual([[await sourceAmount(shop)]])
    expect(existsSync(path.join(shop.folder, '.naru', 'server.json'))).toBe(false)
  })

  test('a first load has published nothing: that is said, and the process is shown', async () => {
    const shop = await systems.shop(seldom)
    await holdSales(shop)
    const run = shop.start(['run'])
    await untilWaiting(systems, shop)
    expect((await statusOf(shop)).server?.process).toBe(run.child.pid)
    expect((await shop.naru(['sql', 'select * from ods.sale'])).stderr).toContain('[SQL_FAILED]')
    await shop.db.query('rollback')
    expect((await run.ended).status).toBe(0)
  })
})

describe('a server', () => {
  test('keeps the mart behind its sources, and stops when it is asked', async () => {
    const shop = await systems.shop(often)
    const server = await startServer(shop)
    await expect.poll(async () => (await shop.naru(['sql', martAmount])).status, waits).toBe(0)
    await shop.db.query(changeSales)
    const amount = await sourceAmount(shop)
    await expect.poll(() => ask(shop, martAmount), waits).toEqual([[amount]])
    expect(await statusOf(shop)).toMatchObject({ server: { state: 'well', process: server.child.pid } })
    expect((await shop.naru(['status'])).stdout).toMatch(/Server: naru start, process \d+ on .*: all is well/)
    const stopped = await shop.naru(['stop', '--json'])
    expect(jsonOf(stopped)).toMatchObject({ ok: true, stopped: true, process: server.child.pid })
    const ended = await server.ended
    expect(ended.status, ended.stderr).toBe(0)
    expectNoSecret(ended, shop.secrets)
    expect((await statusOf(shop)).server).toBeNull()
    expect(jsonOf(await shop.naru(['stop', '--json']))).toEqual({ ok: true, stopped: false })
  })

  test('nobody else may use its socket, or read what leads there', async () => {
    const shop = await loadedShop()
    await startServer(shop)
    const { address } = await addressOf(shop)
    const modes = [address, path.dirname(address), path.join(shop.folder, '.naru', 'server.json')]
    const found = await Promise.all(modes.map(async it => (await stat(it)).mode & 0o777))
    expect(found).toEqual([0o600, 0o700, 0o600])
  })

  test('has a socket also where the path of the project is longer than that of a socket may be', async () => {
    const folder = path.join(systems.base, 'a-long-name-'.repeat(12))
    await mkdir(folder)
    const shop = await loadedShop({ ...seldom, folder })
    const server = await startServer(shop)
    const { address } = await addressOf(shop)
    expect(address.startsWith(folder)).toBe(false)
    expect((await stat(path.dirname(address))).mode & 0o777).toBe(0o700)
    expect(await ask(shop, 'select count(*) from ods.sale')).toEqual([[String(sales)]])
    server.child.kill('SIGKILL')
    await server.ended
    await startServer(shop)
    expect(existsSync(path.dirname(address))).toBe(false)
  })

  test('a second one is refused with its holder, and so is nothing else of it', async () => {
    const shop = await loadedShop()
    const first = await startServer(shop)
    const holder = `naru start (process ${first.child.pid})`
    expectRefused(await shop.naru(['start']), { status: 1, code: 'RUN_HELD', says: [holder, 'since'] })
    expect(await ask(shop, 'select 1')).toEqual([[1]])
  })

  test('many ask at once, and each gets its own answer', async () => {
    const shop = await loadedShop()
    await startServer(shop)
    const bare = await Promise.all(Array.from({ length: 60 }, () => connectBare(shop)))
    for (const [i, { ask: send }] of bare.entries()) {
      send({ ask: 'query', sql: `select ${i} as n, count(*) as rows from ods.sale, range(2000)` })
    }
    await Promise.all(bare.map(({ ended }) => ended))
    for (const [i, { text }] of bare.entries()) expect(text()).toContain(`{"page":[[${i},{"$int":"${sales * 2000}"}]]}`)
    const commands = await Promise.all([1, 2, 3].map(n => ask(shop, `select ${n}`)))
    expect(commands).toEqual([[[1]], [[2]], [[3]]])
  })

  test('those who leave in the middle of a hundred million rows hold nothing up', async () => {
    const shop = await loadedShop()
    const server = await startServer(shop)
    for (let i = 0; i < 10; i++) {
      const bare = await connectBare(shop)
      bare.ask({ ask: 'query', sql: 'select range, hash(range) from range(100000000)' })
      // Of an error the text says what it was.
      const text = (): true | string => bare.text().length > 1_000_000 || bare.text().slice(0, 500)
      await expect.poll(text, waits).toBe(true)
      bare.socket.destroy()
    }
    expect(await ask(shop, 'select count(*) from ods.sale')).toEqual([[String(sales)]])
    // Its rows are cut where the limit is, and what is behind it is cancelled.
    expect(await ask(shop, 'select range from range(100000000) limit 2')).toEqual([['0'], ['1']])
    server.child.kill('SIGTERM')
    expect((await server.ended).status).toBe(0)
  })

  test('what is no request is refused, whatever it is, and the server goes on', async () => {
    const shop = await loadedShop()
    await startServer(shop)
    const sent = [
      'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
      `{"ask":"${'x'.repeat(20 * 1024 * 1024)}"}\n`,
      Buffer.alloc(17 * 1024 * 1024, 7),
      '{"ask":"query","sql":"select 1"}\n',
      `{"ask":"stop","token":"${'0'.repeat(48)}"}\n`,
    ]
    for (const bytes of sent) {
      const bare = await connectBare(shop)
      bare.socket.write(bytes)
      await bare.ended
      expect(bare.text(), String(bytes.slice(0, 40))).toContain('"code":"SERVER_REQUEST"')
    }
    expect(await ask(shop, 'select 1')).toEqual([[1]])
  })

  test('a request that may not be is refused by its name, and nothing is changed', async () => {
    const shop = await loadedShop()
    await startServer(shop)
    const asked: readonly (readonly [object, string])[] = [
      [{ ask: 'everything' }, 'SERVER_REQUEST'],
      [{ ask: 'constructor' }, 'SERVER_REQUEST'],
      [{ ask: 'query', sql: 7 }, 'SERVER_REQUEST'],
      [{ ask: 'query', sql: 'select 1', masked: [1] }, 'SERVER_REQUEST'],
      [{ ask: 'query', sql: 'delete from ods.sale' }, 'SQL_NOT_ALLOWED'],
      [{ ask: 'query', sql: 'select * from _naru.ods.customer' }, 'SQL_NOT_ALLOWED'],
      [{ ask: 'query', sql: 'delete from ods.sale', people: false }, 'ENGINE_SQL'],
      [{ ask: 'work', job: { kind: 'drop' } }, 'SERVER_REQUEST'],
      [{ ask: 'work', job: { kind: 'run', selectors: 'ops' } }, 'SERVER_REQUEST'],
    ]
    for (const [request, code] of asked) {
      const bare = await connectBare(shop)
      bare.ask(request)
      await bare.ended
      expect(bare.text(), JSON.stringify(request)).toContain(`"code":"${code}"`)
    }
    expect(await ask(shop, 'select count(*) from ods.sale')).toEqual([[String(sales)]])
  })

  test('a reader cannot leave its view to write behind it', async () => {
    const shop = await loadedShop()
    await startServer(shop)
    const bare = await connectBare(shop)
    bare.ask({ ask: 'read' })
    await expect.poll(bare.text, waits).toContain('"ready":true')
    bare.socket.write('{"rows":"commit"}\n{"rows":"drop table ods.sale"}\n')
    await bare.ended
    expect(bare.text()).toContain('"code":"ENGINE_SQL"')
    expect(await ask(shop, 'select count(*) from ods.sale')).toEqual([[String(sales)]])
  })

  test('killed, it leaves nothing that stops anybody: others open the database, and the next start goes on', async () => {
    const shop = await loadedShop(often)
    const first = await startServer(shop)
    first.child.kill('SIGKILL')
    await first.ended
    expect(existsSync((await addressOf(shop)).address)).toBe(true)
    expect(await ask(shop, 'select count(*) from ods.sale')).toEqual([[String(sales)]])
    await shop.db.query(changeSales)
    await startServer(shop)
    const amount = await sourceAmount(shop)
    await expect.poll(() => ask(shop, martAmount), waits).toEqual([[amount]])
  })

  test('killed in the middle of a read, it is where it was, and the next start completes', async () => {
    const shop = await loadedShop()
    await shop.db.query(changeSales)
    await holdSales(shop)
    const first = await startServer(shop)
    await untilWaiting(systems, shop)
    first.child.kill('SIGKILL')
    await first.ended
    await shop.db.query('rollback')
    await startServer(shop)
    const amount = await sourceAmount(shop)
    await expect.poll(() => ask(shop, martAmount), waits).toEqual([[amount]])
  })

  test.each(['SIGTERM', 'SIGINT', 'naru stop'] as const)(
    'asked to end by %s in the middle of a read it ends in time, says what was going on, and keeps what was published',
    async how => {
      const shop = await loadedShop()
      const before = await shop.visible()
      await shop.db.query(changeSales)
      await holdSales(shop)
      const server = await startServer(shop)
      await untilWaiting(systems, shop)
      const beganMs = performance.now()
      if (how === 'naru stop') expect((await shop.naru(['stop'])).stdout).toContain('Taken back')
      else server.child.kill(how)
      const ended = await server.ended
      expect(performance.now() - beganMs).toBeLessThan(30_000)
      expect(ended.status, ended.stderr).toBe(0)
      expect(ended.stdout).toMatch(/done again by the next start: .*interface ops\.sale/)
      await shop.db.query('rollback')
      expect(await shop.visible()).toEqual(before)
      await shop.run()
      expect(await ask(shop, martAmount)).toEqual([[await sourceAmount(shop)]])
    },
  )

  test('a source that fails does not end it: it says so, tries again, and goes on', async () => {
    const shop = await loadedShop(often)
    const server = await startServer(shop)
    await shop.db.query('alter table customer rename to customer_away')
    await expect.poll(async () => (await statusOf(shop)).server?.state, waits).toBe('trouble')
    const { server: told } = await statusOf(shop)
    expect(told?.troubles[0]?.text).toMatch(/customer/)
    expect((await shop.naru(['status'])).stdout).toContain('IN TROUBLE')
    await shop.db.query(`alter table customer_away rename to customer; ${changeSales}`)
    const amount = await sourceAmount(shop)
    await expect.poll(() => ask(shop, martAmount), waits).toEqual([[amount]])
    await expect.poll(async () => (await statusOf(shop)).server?.state, waits).toBe('well')
    server.child.kill('SIGTERM')
    const { stderr } = await server.ended
    expect(stderr).toContain('goes well again')
    // With its time, and not with each try.
    const lines = stderr.split('\n').filter(line => /error: .*customer/.test(line))
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00 error: /)
  })
})

describe('work that is handed to a server', () => {
  test('a run reads now, with its progress and its figures', async () => {
    const shop = await loadedShop()
    const server = await startServer(shop)
    await shop.db.query(changeSales)
    const run = await shop.run('ops.sale')
    expect(run).toMatchObject({ ok: true, rowsStaged: 3 })
    expect(run.stderr).toContain(`handed to naru start (process ${server.child.pid})`)
    expect(run.stderr).toContain('interface ops.sale')
    expect(await ask(shop, martAmount)).toEqual([[await sourceAmount(shop)]])
  })

  test('an undo and the repair of a row are done by it', async () => {
    const shop = await loadedShop()
    await startServer(shop)
    await shop.db.query(changeSales)
    const { run } = await shop.run('ops.sale')
    const [[load]] = (await ask(shop, `select load from naru.load where published_run = ${run}`)) as [[string]]
    expect((await shop.naru(['undo', load, '--keep-position'])).status).toBe(0)
    // The rows may be there again already: the server goes on reading, behind the horizon of the position.
    expect(await ask(shop, `select state from naru.load where load = ${load}`)).toEqual([['undone']])
    await shop.db.query("insert into sale values (1000, 1, -5, '2026-01-01', now())")
    await shop.run('ops.sale')
    expect((await shop.naru(['quarantine', 'list'])).stdout).toContain('1000')
    expect((await shop.naru(['quarantine', 'fix', 'sale', '1000', 'amount', '50'])).status).toBe(0)
    expect((await shop.naru(['quarantine', 'recycle', 'sale', '1000'])).stdout).toContain('tried again')
    await shop.run('ops.sale')
    expect(await ask(shop, 'select amount from ods.sale where id = 1000')).toEqual([[50]])
  })

  test('what it throws is what the command ends with', async () => {
    const shop = await loadedShop()
    await startServer(shop)
    expectRefused(await shop.naru(['undo', '4711']), { status: 2, code: 'LOAD_UNKNOWN', says: ['4711'] })
    expectRefused(await shop.naru(['run', 'ops.nope']), { status: 2, code: 'SELECTOR_UNKNOWN', says: ['ops.nope'] })
  })

  test('Ctrl-C of the command takes its own work back, and the server goes on', async () => {
    const shop = await loadedShop()
    const server = await startServer(shop)
    await expect.poll(async () => (await statusOf(shop)).server?.doing, waits).toBeNull()
    const before = await ask(shop, martAmount)
    await shop.db.query(changeSales)
    await holdSales(shop)
    const run = shop.start(['run', 'ops.sale'])
    await untilWaiting(systems, shop)
    expect((await statusOf(shop)).server?.doing).toBe('naru run')
    run.child.kill('SIGINT')
    expectRefused(await run.ended, { status: 1, code: 'CANCELLED', says: [] })
    expect(await ask(shop, martAmount)).toEqual(before)
    expect((await statusOf(shop)).server?.process).toBe(server.child.pid)
    await shop.db.query('rollback')
    expect((await shop.run('ops.sale')).ok).toBe(true)
    expect(await ask(shop, martAmount)).toEqual([[await sourceAmount(shop)]])
  })

  test('a server of an older configuration takes none', async () => {
    const shop = await loadedShop()
    await startServer(shop)
    await shop.configure(shopConfig({ ops: "every: '2h',", partner: "every: '1h'," }))
    expectRefused(await shop.naru(['run']), { status: 1, code: 'SERVER_CONFIG', says: ['naru start (process'] })
    expect(await ask(shop, 'select count(*) from ods.sale')).toEqual([[String(sales)]])
  })

  test('it is seen and stopped also when the configuration was edited, or does not load any more', async () => {
    const shop = await loadedShop()
    const server = await startServer(shop)
    const otherConfig = 'The configuration on disk is not the one that this process works by'
    expect((await shop.naru(['status'])).stdout).not.toContain(otherConfig)
    await shop.configure(shopConfig({ ops: "every: '2h',", partner: "every: '1h'," }))
    expect((await shop.naru(['status'])).stdout).toContain(otherConfig)
    expect(await statusOf(shop)).toMatchObject({ server: { process: server.child.pid, isOtherConfig: true } })
    await shop.configure('export default defineConfig({')
    const status = await shop.naru(['status'])
    expect(status.stdout).toContain(`process ${server.child.pid}`)
    expect(status.stdout).toContain('[CONFIG_INVALID]')
    const seen = { server: { process: server.child.pid }, config: { code: 'CONFIG_INVALID' } }
    expect(jsonOf(await shop.naru(['status', '--json']))).toMatchObject(seen)
    const stopped = jsonOf(await shop.naru(['stop', '--json']))
    expect(stopped).toMatchObject({ ok: true, stopped: true, process: server.child.pid })
    expect((await server.ended).status).toBe(0)
    expectRefused(await shop.naru(['status']), { status: 2, code: 'CONFIG_INVALID', says: [] })
  })

  test('nothing of all this stays in the state folder but what the next command needs', async () => {
    const shop = await loadedShop()
    const server = await startServer(shop)
    expect((await shop.naru(['stop'])).status).toBe(0)
    expect((await server.ended).status).toBe(0)
    const names = await readdir(path.join(shop.folder, '.naru'))
    expect(names.filter(name => /socket|server\.json/.test(name))).toEqual([])
  })
})
