import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Adapter, Snapshot } from '../../src/services/adapter/contract.ts'
import { collect, never, readAll, shapeOf } from '../../src/services/adapter/conformance-support.ts'
import { rejectsWith } from '../../src/testing/suite/rejects.ts'
import { drip, flood, startHostile } from '../../src/testing/hostile/server.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { openOdbc, prepareOdbc } from '../servers/odbc.ts'

const shape = shapeOf('numbers', [['id', { kind: 'int', bits: 64 }], ['body', { kind: 'text' }]], ['id']) // prettier-ignore

let odbc: ReturnType<typeof prepareOdbc>
let database: TestDatabase
let url: URL
beforeAll(async () => {
  odbc = prepareOdbc()
  database = await startTestDatabase()
  url = new URL(database.url)
  await database.client.query(
    `create table numbers as select i::bigint as id, repeat('x', 200) as body from generate_series(1, 200000) i; alter table numbers add primary key (id)`,
  )
})
afterAll(async () => {
  await database.stop()
  odbc.remove()
})

const dsn = (more: Readonly<Record<string, string>> = {}): string => {
  const words = { Driver: 'PostgreSQL', Server: url.hostname, Port: url.port, Database: url.pathname.slice(1), UID: url.username, PWD: url.password, ...more } // prettier-ignore
  return Object.entries(words).map(pair => pair.join('=')).join(';') // prettier-ignore
}

async function withAdapter(connection: string, body: (adapter: Adapter) => Promise<void>, options = {}): Promise<void> {
  const adapter = await openOdbc(connection, options)
  try {
    await body(adapter)
  } finally {
    await adapter.close()
  }
}

const snapshotOf = (adapter: Adapter): Promise<Snapshot> =>
  (adapter.tables as NonNullable<Adapter['tables']>).openSnapshot(never)

/** Processes of drivers that this process has started. */
function driverProcesses(): readonly number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(pid => {
      try {
        const parent = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
        return (
          parent === String(process.pid) &&
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(path.join('odbc', 'child'))
        )
      } catch {
        return false // it ended while we looked
      }
    })
    .map(Number)
}

/** A killed process is gone once the system has taken its memory back. */
const expectNoDriver = (): Promise<void> => expect.poll(driverProcesses, { timeout: 120_000 }).toEqual([])

/** Memory of a process; 0 when it ended while we looked. */
function residentMb(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

test('a data source that nobody defined is told apart from a system that is down', async () => {
  await withAdapter('DSN=no_such_source', async adapter => {
    await rejectsWith('ODBC_DRIVER_MISSING', snapshotOf(adapter), 'legacy')
  })
  await withAdapter('Driver=/nowhere/libnothing.so', async adapter => {
    await rejectsWith('ODBC_DRIVER_MISSING', snapshotOf(adapter), 'libnothing')
  })
  await withAdapter(dsn({ Port: '1' }), async adapter => {
    await rejectsWith('SOURCE_UNREACHABLE', snapshotOf(adapter), 'Port=1')
  })
})

test('a refused login names the user and never the password', async () => {
  await database.client.query(`create role clerk login password 'right'`)
  await withAdapter(dsn({ UID: 'clerk', PWD: 'wrong-hunter2' }), async adapter => {
    const error = await snapshotOf(adapter).then(() => null, (thrown: unknown) => thrown) // prettier-ignore
    if (error === null) return // this server trusts loopback: there is no login to refuse
    expect(error).toMatchObject({ code: 'SOURCE_LOGIN' })
    expect(String(error)).toContain('clerk')
    expect(String(error)).not.toContain('hunter2')
  })
  await withAdapter(dsn({ UID: 'nobody_here' }), async adapter => {
    await rejectsWith('SOURCE_LOGIN', snapshotOf(adapter), 'nobody_here')
  })
})

test('a server that accepts and says nothing ends with its deadline', async () => {
  const silent = net.createServer(() => {})
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
  const port = String((silent.address() as net.AddressInfo).port)
  await withAdapter(dsn({ Port: port }), async adapter => {
    await rejectsWith('SOURCE_UNREACHABLE', snapshotOf(adapter))
  }, { connectTimeout: '1s' }) // prettier-ignore
  silent.close()
  await expectNoDriver()
})

test.each<[string, (socket: net.Socket) => void]>([
  ['a banner without end', socket => flood(socket, 'SSH-2.0 '.repeat(8192))],
  [
    'a message that says it has a gigabyte, and sends it',
    socket => flood(socket, Buffer.concat([Buffer.from('R\u0040\0\0\0'), Buffer.alloc(60_000)])),
  ],
  ['one byte at a time', socket => drip(socket, 'N')],
  ['an end without a word', socket => void socket.end()],
])(
  'a server that answers with %s ends with an error in time, and with little memory',
  async (_, behave) => {
    const behaving = (socket: net.Socket): void => void socket.once('data', () => behave(socket))
    for (const driver of ['PostgreSQL', 'MariaDB']) {
      // A server of MariaDB speaks first.
      const hostile = await startHostile(driver === 'MariaDB' ? behave : behaving)
      let most = 0
      const watch = setInterval(() => (most = Math.max(most, ...driverProcesses().map(residentMb))), 100)
      await withAdapter(dsn({ Driver: driver, Port: String(hostile.port) }), async adapter => {
      await expect(snapshotOf(adapter)).rejects.toMatchObject({
        // A driver that such a server brings down takes its own process along, and no other.
        code: expect.stringMatching(/^(SOURCE_UNREACHABLE|ODBC_DRIVER_CRASHED)$/) as string,
      })
    }, { connectTimeout: '1s' }) // prettier-ignore
      clearInterval(watch)
      await hostile.stop()
      await expectNoDriver()
      expect(most).toBeLessThan(600)
    }
  },
  180_000,
)

test('a driver that crashes ends its own process, not the run, and the next read works', async () => {
  await withAdapter(dsn(), async adapter => {
    const snapshot = await snapshotOf(adapter)
    const reading = (async () => {
      for await (const { batch } of snapshot.read(shape, ['id', 'body'], {}, never)) {
        expect(batch.rows).toBeGreaterThan(0)
        for (const pid of driverProcesses()) process.kill(pid, 'SIGSEGV')
      }
    })()
    await rejectsWith('ODBC_DRIVER_CRASHED', reading, 'psqlodbc')
    expect((await readAll(await snapshotOf(adapter), shape, { upTo: ['10'] })).rows.length).toBe(10)
  })
})

test('a driver that hangs is cancelled with its process', async () => {
  await withAdapter(dsn(), async adapter => {
    const snapshot = await snapshotOf(adapter)
    const [pid] = driverProcesses() as [number]
    process.kill(pid, 'SIGSTOP')
    const abort = new AbortController()
    const reading = collect(snapshot.read(shape, ['id'], {}, abort.signal))
    setTimeout(() => abort.abort(), 200)
    await rejectsWith('CANCELLED', reading)
    await expect.poll(driverProcesses, { timeout: 120_000 }).not.toContain(pid)
  })
})

test('a connection that is cut in the middle ends the read, and says so', async () => {
  await withAdapter(dsn(), async adapter => {
    const snapshot = await snapshotOf(adapter)
    const reading = (async () => {
      for await (const { batch } of snapshot.read(shape, ['id', 'body'], {}, never)) {
        expect(batch.rows).toBeGreaterThan(0)
        await database.client.query(`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'`) // prettier-ignore
      }
    })()
    await expect(reading).rejects.toMatchObject({
      code: expect.stringMatching(/^SOURCE_(UNREACHABLE|READ)$/) as string,
      retry: 'later',
    })
  })
})

test('a slow consumer holds the driver back: memory stays flat', async () => {
  await withAdapter(dsn(), async adapter => {
    const snapshot = await snapshotOf(adapter)
    let [rows, most] = [0, 0]
    for await (const { batch } of snapshot.read(shape, ['id', 'body'], {}, never)) {
      rows += batch.rows
      await sleep(5)
      most = Math.max(most, ...driverProcesses().map(residentMb))
    }
    expect(rows).toBe(200_000)
    expect(most).toBeLessThan(250)
  })
})

test('the driver manager is the one of this machine', () => {
  expect(execFileSync('odbcinst', ['-q', '-d'], { encoding: 'utf8' })).toContain('[PostgreSQL]')
})
