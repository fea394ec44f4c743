import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'

/** A server on loopback that misbehaves. */
export interface BadServer {
  readonly port: number
  stop(): Promise<void>
}

/** Accepts every connection and never says a word: a machine that hangs, or a firewall that swallows. */
export function startSilent(): Promise<BadServer> {
  return listen(() => {})
}

/** Passes everything on to `port` until the client's bytes hold `word`; from then on it is silent in both directions. */
export function startFallsSilent(port: number, word: string): Promise<BadServer> {
  return listen(client => {
    const server = net.connect({ host: '127.0.0.1', port })
    const both = [client, server]
    for (const socket of both) {
      socket.on('error', () => {})
      socket.on('close', () => both.forEach(it => it.destroy()))
    }
    let silent = false
    server.on('data', bytes => !silent && client.write(bytes))
    client.on('data', bytes => {
      silent ||= bytes.includes(word)
      if (!silent) server.write(bytes)
    })
  })
}

/** A port on loopback where nobody listens. */
export async function closedPort(): Promise<number> {
  const server = await listen(() => {})
  await server.stop()
  return server.port
}

async function listen(onClient: (client: Socket) => void): Promise<BadServer> {
  const clients = new Set<Socket>()
  const server = net.createServer(client => {
    clients.add(client)
    client.on('error', () => {})
    onClient(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      clients.forEach(client => client.destroy())
      server.close()
      await once(server, 'close')
    },
  }
}
