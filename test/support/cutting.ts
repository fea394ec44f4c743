import net from 'node:net'

/** A proxy in front of a server on this machine that cuts each connection after it gave so many bytes. */
export interface CuttingProxy {
  readonly port: number
  stop(): Promise<void>
}

/** `once`: what connects after that gets everything. */
export async function startCutting(
  target: number,
  bytes: number,
  { once = false }: { readonly once?: boolean } = {},
): Promise<CuttingProxy> {
  const sockets = new Set<net.Socket>()
  let left = bytes
  let isOver = false
  const server = net.createServer(client => {
    const upstream = net.connect(target, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => [client.destroy(), upstream.destroy()])
    }
    client.pipe(upstream)
    upstream.on('data', data => {
      if (isOver) return void client.write(data)
      client.write(data.subarray(0, left))
      left -= data.length
      if (left > 0) return
      isOver = once
      client.resetAndDestroy()
      upstream.destroy()
    })
  })
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    stop: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise(resolve => void server.close(() => resolve()))
    },
  }
}

/** A proxy in front of a server on this machine that passes everything on and says how much came from there. */
export interface WatchingProxy {
  readonly port: number
  /** Resolves when so many more bytes have come. */
  after(bytes: number): Promise<void>
  /** Ends every connection that there is; new ones are let through. */
  cut(): void
  /** Every connection that there is stays open, and nothing passes any more. */
  hush(): void
  stop(): Promise<void>
}

export async function startWatching(target: number): Promise<WatchingProxy> {
  const sockets = new Set<net.Socket>()
  const listeners = new Set<() => void>()
  let seen = 0
  const server = net.createServer(client => {
    const upstream = net.connect(target, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => [client.destroy(), upstream.destroy()])
    }
    client.pipe(upstream)
    upstream.pipe(client)
    upstream.on('data', data => {
      seen += data.length
      listeners.forEach(listener => listener())
    })
  })
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    after: bytes => {
      const wanted = seen + bytes
      return new Promise(resolve => listeners.add(() => seen >= wanted && resolve()))
    },
    hush: () => sockets.forEach(socket => socket.unpipe().pause()),
    cut: () => sockets.forEach(socket => socket.resetAndDestroy()),
    stop: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise(resolve => void server.close(() => resolve()))
    },
  }
}
