import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { realEnv } from '../../core/env.ts'
import { removePostgres, startPostgres, stopPostgres } from './embedded-postgres.ts'
import { cachedCopy, platformPackage } from './postgres-binaries.ts'

const isAlive = (pid: number): boolean => realEnv().processes.isAlive(pid)
const settings = { fsync: 'off' }
let dir: string

beforeEach(async () => {
  dir = await fs.mkdtemp(path.join(os.tmpdir(), 'naru-test-'))
})

afterEach(async () => {
  await removePostgres(dir)
  await fs.rm(dir, { recursive: true, force: true })
})

async function ask(url: string, sql: string): Promise<unknown[]> {
  const client = new Client(url)
  try {
    await client.connect()
    const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array' })
    return rows[0] ?? []
  } finally {
    await client.end()
  }
}

async function untilEnded(pid: number): Promise<void> {
  const deadline = performance.now() + 120_000
  while (isAlive(pid)) {
    if (performance.now() > deadline) throw new Error(`process ${pid} still runs`)
    await sleep(20)
  }
}

/** Another process that starts the server of `dir`, tells its process id and then waits. */
async function startElsewhere(detached: boolean): Promise<{ starter: ChildProcess; pid: number }> {
  const module = fileURLToPath(new URL('./embedded-postgres.ts', import.meta.url))
  const script = `
    import { createJiti } from 'jiti'
    const { startPostgres } = await createJiti(process.cwd()).import(${JSON.stringify(module)})
    const { pid } = await startPostgres(${JSON.stringify({ dir, settings, detached })})
    console.log(pid)
    setInterval(() => {}, 1000)`
  const starter = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(starter.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
  return { starter, pid: Number(line.toString()) }
}

test('it is PostgreSQL 18 with logical decoding, on loopback, and asks for the password', async () => {
  const server = await startPostgres({ dir, settings })
  const facts = await ask(
    server.url,
    `select current_setting('server_version'), current_setting('wal_level'), current_setting('listen_addresses'),
       current_setting('fsync'), current_setting('TimeZone'), current_setting('server_encoding')`,
  )
  expect(facts[0]).toMatch(/^18\./)
  expect(facts.slice(1)).toEqual(['logical', '127.0.0.1', 'off', 'UTC', 'UTF8'])
  const wrong = server.url.replace(/:[^:@]+@/, ':wrong@')
  await expect(ask(wrong, 'select 1')).rejects.toThrow(/password authentication failed/)
  await server.stop()
  await server.stop()
  expect(isAlive(server.pid)).toBe(false)
})

test('a second start in the same folder finds the same data at the same address', async () => {
  const first = await startPostgres({ dir, settings })
  await ask(first.url, 'create table kept as select 7 as n')
  await first.stop()
  const second = await startPostgres({ dir, settings })
  expect(second.url).toBe(first.url)
  expect(await ask(second.url, 'select n from kept')).toEqual([7])
  await second.remove()
  expect(await fs.readdir(dir)).toEqual([])
})

test('the server ends when the process that started it is killed', async () => {
  const { starter, pid } = await startElsewhere(false)
  expect(isAlive(pid)).toBe(true)
  starter.kill('SIGKILL')
  await untilEnded(pid)
})

test('a detached server outlives its starter until it is stopped by its folder', async () => {
  const { starter, pid } = await startElsewhere(true)
  starter.kill('SIGKILL')
  await once(starter, 'exit')
  // Longer than the guard of a server that is not detached needs.
  await sleep(300)
  expect(isAlive(pid)).toBe(true)
  await stopPostgres(dir)
  await untilEnded(pid)
  await stopPostgres(dir)
})

test('a cancelled start leaves no process and no data', async () => {
  const controller = new AbortController()
  const start = startPostgres({ dir, settings, signal: controller.signal })
  const outcome = expect(start).rejects.toMatchObject({ code: 'CANCELLED' })
  await expect.poll(() => fs.readdir(dir), { interval: 5, timeout: 120_000 }).toHaveLength(1) // initdb is about to run
  controller.abort()
  await outcome
  await removePostgres(dir)
  expect(await fs.readdir(dir)).toEqual([])
})

test('a port that is taken is an error when it was asked for', async () => {
  const holder = net.createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as net.AddressInfo
  try {
    await expect(startPostgres({ dir, settings, port })).rejects.toMatchObject({ code: 'LOCAL_SERVER_START' })
  } finally {
    holder.close()
  }
})

test('a machine without binaries is named', () => {
  expect(() => platformPackage('sunos', 'x64')).toThrow(/no PostgreSQL package for sunos on x64/)
})

test('the copy for other users is made once, completed when swept, and refused when others can write to it', async () => {
  const native = path.join(dir, 'native')
  await fs.mkdir(path.join(native, 'bin'), { recursive: true, mode: 0o700 })
  await fs.writeFile(path.join(native, 'bin', 'tool'), 'one', { mode: 0o600 })
  const parent = path.join(dir, 'shared')
  await fs.mkdir(parent)
  const copy = await cachedCopy(native, parent, 'test')
  const tool = path.join(copy, 'bin', 'tool')
  expect((await fs.stat(tool)).mode & 0o777).toBe(0o755)
  expect(await cachedCopy(native, parent, 'test')).toBe(copy)

  await fs.rm(tool)
  await cachedCopy(native, parent, 'test')
  expect(await fs.readFile(tool, 'utf8')).toBe('one')

  await fs.chmod(path.dirname(copy), 0o777)
  await expect(cachedCopy(native, parent, 'test')).rejects.toMatchObject({ code: 'LOCAL_SERVER_FOLDER' })
})
