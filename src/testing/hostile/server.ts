import net from 'node:net'

/** A server on loopback that speaks a protocol as badly as a test wants. */
export interface HostileServer {
  readonly port: number
  stop(): Promise<void>
}

/** Starts it: `behave` gets each connection. */
export async function startHostile(behave: (socket: net.Socket) => void): Promise<HostileServer> {
  const open = new Set<net.Socket>()
  const server = net.createServer(socket => {
    open.add(socket)
    socket.on('error', () => {}) // the client hangs up on a hostile server
    behave(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    stop: () =>
      new Promise(resolve => {
        for (const socket of open) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

/** Sends the same bytes for as long as the client takes them. */
export function flood(socket: net.Socket, bytes: Buffer | string): void {
  const send = (): void => {
    if (!socket.destroyed && socket.write(bytes)) setImmediate(send)
  }
  socket.on('drain', send)
  send()
}

/** Sends one byte at a time: never silent, never done. */
export function drip(socket: net.Socket, byte: string): void {
  const timer = setInterval(() => socket.write(byte), 20)
  socket.on('close', () => clearInterval(timer))
}

/** Runs a task and tells how much the process grew at most meanwhile, in bytes. */
export async function growth(task: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage().rss
  let most = before
  const timer = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 50)
  try {
    await task()
  } finally {
    clearInterval(timer)
  }
  return Math.max(most, process.memoryUsage().rss) - before
}
