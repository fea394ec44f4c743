import { rmSync } from 'node:fs'
import { needDebian } from './install.ts'
import { freePort, makeFolder, startServer, type Server } from './server.ts'

export interface RedisServer extends Server {
  readonly port: number
  /** The address with the password of its account. */
  readonly url: string
}

/** Installs Redis when it is missing, and starts it on loopback with a password and without a file. */
export async function startRedis(more: readonly string[] = []): Promise<RedisServer> {
  needDebian('redis-server')
  const port = await freePort()
  const folder = makeFolder('redis')
  const password = 'redis-password'
  const settings = ['--port', port, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--requirepass', password]
  const server = await startServer('redis-server', [...settings.map(String), ...more], { ready: port })
  const stop = async (): Promise<void> => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  return { ...server, port, url: `redis://:${password}@127.0.0.1:${port}/0`, stop }
}
