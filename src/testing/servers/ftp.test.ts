import fs from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { Client } from 'basic-ftp'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startFtp, type FtpServer } from './ftp.ts'

let root: string
let server: FtpServer
let signalListeners: number

beforeAll(async () => {
  signalListeners = process.listenerCount('SIGTERM')
  root = await fs.mkdtemp(path.join(os.tmpdir(), 'naru-ftp-'))
  await fs.mkdir(path.join(root, 'in'))
  await fs.writeFile(path.join(root, 'in', '공항.csv'), 'iata,name\nICN,Incheon\n')
  server = await startFtp({ root, user: 'partner', password: 'river' })
})

afterAll(async () => {
  await server.stop()
  await fs.rm(root, { recursive: true, force: true })
})

async function session<T>(password: string, task: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(10_000)
  try {
    await client.access({ host: '127.0.0.1', port: server.port, user: 'partner', password })
    return await task(client)
  } finally {
    client.close()
  }
}

test('a client lists and downloads what lies in the folder', async () => {
  const parts: Buffer[] = []
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      parts.push(chunk)
      done()
    },
  })
  const names = await session('river', async client => {
    const entries = await client.list('/in')
    await client.downloadTo(sink, '/in/공항.csv')
    return entries.map(entry => entry.name)
  })
  expect(names).toEqual(['공항.csv'])
  expect(Buffer.concat(parts).toString()).toBe('iata,name\nICN,Incheon\n')
})

test('a wrong password is refused', async () => {
  await expect(session('lake', client => client.list())).rejects.toThrow(/530/)
})

test('no client leaves the folder', async () => {
  await expect(session('river', client => client.list('/../..'))).resolves.toMatchObject([{ name: 'in' }])
})

test('it does not take over the signals of the process', () => {
  expect(process.listenerCount('SIGTERM')).toBe(signalListeners)
})

test('a stopped server has closed its port and cut its clients', async () => {
  const other = await startFtp({ root, user: 'partner', password: 'river' })
  const client = new Client(5000)
  await client.access({ host: '127.0.0.1', port: other.port, user: 'partner', password: 'river' })
  await other.stop()
  await other.stop()
  await expect(client.list()).rejects.toThrow(/closed|FIN|reset/i)
  client.close()
  const refused = new Promise<string | undefined>(resolve => {
    net.connect(other.port, '127.0.0.1').once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
  })
  expect(await refused).toBe('ECONNREFUSED')
})

test('a port that is taken is an error with a code', async () => {
  const again = startFtp({ root, user: 'partner', password: 'river', port: server.port })
  await expect(again).rejects.toMatchObject({ code: 'LOCAL_SERVER_START' })
})
