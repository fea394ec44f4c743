import net from 'node:net'

/** A server on loopback that speaks the protocol as badly as a test wants. */
export interface FakeServer {
  readonly url: string
  /** Every byte that clients sent, the login left out. */
  received(): Buffer
  stop(): Promise<void>
}

/** What the server does with a connection. `login` greets, takes any password, and gives the rest to `command`. */
export type Behaviour = (socket: net.Socket, fake: { login(command: (text: string) => void): void }) => void

export async function startFakeServer(behave: Behaviour): Promise<FakeServer> {
  const open = new Set<net.Socket>()
  const got: Buffer[] = []
  const server = net.createServer(socket => {
    open.add(socket)
    socket.on('error', () => {}) // the client hangs up on a hostile server
    behave(socket, { login: command => login(socket, command, got) })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  return {
    url: `mysql://me:hunter2@127.0.0.1:${port}/shop`,
    received: () => Buffer.concat(got),
    stop: () =>
      new Promise(resolve => {
        for (const socket of open) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

/** One packet. */
export function packet(number: number, body: Buffer | string): Buffer {
  const bytes = Buffer.from(body)
  const frame = Buffer.alloc(4)
  frame.writeUIntLE(bytes.length, 0, 3)
  frame[3] = number
  return Buffer.concat([frame, bytes])
}

export const ok: Buffer = Buffer.from([0, 0, 0, 2, 0, 0, 0])

/** A result of texts. */
export function textResult(columns: number, rows: readonly (readonly string[])[]): Buffer {
  let number = 1
  const end = Buffer.from([0xfe, 0, 0, 2, 0])
  const definition = Buffer.concat([
    Buffer.from('\u0003def\0\0\0\u0001a\0\u000c', 'latin1'),
    Buffer.from([0x2d, 0, 255, 0, 0, 0, 253, 0, 0, 0, 0, 0]),
  ])
  const texts = rows.map(row =>
    Buffer.concat(row.map(text => Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]))),
  )
  const bodies = [Buffer.from([columns]), ...Array.from({ length: columns }, () => definition), end, ...texts, end]
  return Buffer.concat(bodies.map(body => packet(number++, body)))
}

/** Greets as MariaDB does; `tls` claims that it can encrypt. */
export function greeting(tls = false): Buffer {
  const flags = 0x00_0f_f7_ff & ~(tls ? 0 : 0x800) & ~0x20
  const low = Buffer.alloc(2)
  low.writeUInt16LE(flags & 0xffff)
  const high = Buffer.alloc(2)
  high.writeUInt16LE(flags >>> 16)
  return packet(
    0,
    Buffer.concat([
      Buffer.from('\n10.11.19-MariaDB\0', 'latin1'),
      Buffer.from([7, 0, 0, 0]),
      Buffer.from('12345678\0', 'latin1'),
      low,
      Buffer.from([45, 2, 0]),
      high,
      Buffer.from([21]),
      Buffer.alloc(10),
      Buffer.from('123456789012\0mysql_native_password\0', 'latin1'),
    ]),
  )
}

function login(socket: net.Socket, command: (text: string) => void, got: Buffer[]): void {
  socket.write(greeting())
  let known = false
  socket.on('data', chunk => {
    if (known) {
      got.push(chunk)
      command(chunk.toString('latin1', 5))
    } else {
      known = true
      socket.write(packet(2, ok))
    }
  })
}
