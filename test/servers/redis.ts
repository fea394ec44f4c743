import { rmSync } from 'node:fs'
import type { Certificate } from './certificate.ts'
import { needDebian } from './install.ts'
import { freePort, makeFolder, startServer, type Server } from './server.ts'

export interface RedisServer extends Server {
  readonly port: number
  /** The address with the password of its account. */
  readonly url: string
}

/** Installs Redis when it is missing, and starts it on loopback with a password and without a file; with a certificate it speaks TLS only. */
export async function startRedis(more: readonly string[] = [], tls?: Certificate): Promise<RedisServer> {
  needDebian('redis-server')
  const port = await freePort()
  const folder = makeFolder('redis')
  const password = 'redis-password'
  const ports = tls === undefined ? ['--port', port] : ['--port', 0, '--tls-port', port, ...tlsSettings(tls)]
  const settings = [...ports, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--requirepass', password]
  const server = await startServer('redis-server', [...settings.map(String), ...more], { ready: port })
  const stop = async (): Promise<void> => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  return { ...server, port, url: `${tls === undefined ? 'redis' : 'rediss'}://:${password}@127.0.0.1:${port}/0`, stop }
}

function tlsSettings({ certificate, key }: Certificate): readonly string[] {
  const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate]
  return [...files, '--tls-auth-clients', 'no']
}
